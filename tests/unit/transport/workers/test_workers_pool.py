"""The pool: real processes, on the loop of the test."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agpd.config import Config, Listen
from agpd.transport.sockets import BindError, bind
from agpd.transport.workers import codec
from agpd.transport.workers import pool as module
from agpd.transport.workers.pool import Pool, WorkerError

DEADLINE_S = 20.0


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Place:
    """A pool of two, and whether it accepts."""

    def __init__(self) -> None:
        self.accepting = True
        config = Config(listen=Listen(native="127.0.0.1:0", plaintext=True, workers=2))
        self.pool = Pool(config, Echo, lambda: self.accepting)

    async def served(self) -> bool:
        """Is a new connection answered?"""
        try:
            reader, writer = await asyncio.open_connection(*self.pool.address)
            writer.write(b"hello")
            answer = await asyncio.wait_for(reader.read(100), DEADLINE_S)
            writer.close()
            await writer.wait_closed()
        except OSError:
            return False
        return answer == b"hello"


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    place.pool.start()
    await asyncio.wait_for(place.pool.ready(), DEADLINE_S)
    yield place
    await asyncio.wait_for(place.pool.end(), DEADLINE_S)


async def test_it_serves_until_it_stops_and_nobody_is_left(place: Place) -> None:
    pids = [worker.pid for worker in place.pool._workers.values()]
    assert len(set(pids)) == 2
    for _ in range(8):
        assert await place.served()
    await place.pool.stop()
    assert not await place.served()
    await place.pool.stop()
    await place.pool.end()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_clients_stay_when_it_stops_and_are_cut_when_it_ends(place: Place) -> None:
    reader, writer = await asyncio.open_connection(*place.pool.address)
    writer.write(b"one")
    assert await reader.readexactly(3) == b"one"
    await place.pool.stop()
    writer.write(b"two")
    assert await reader.readexactly(3) == b"two"
    await place.pool.end()
    assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
    writer.close()


async def test_who_ends_is_replaced_and_what_waits_at_its_socket_is_served(place: Place, caplog) -> None:
    old = place.pool._workers[0]
    os.kill(old.pid, signal.SIGKILL)
    await asyncio.wait_for(old.ended, DEADLINE_S)
    answers = await asyncio.wait_for(asyncio.gather(*(place.served() for _ in range(8))), DEADLINE_S)
    assert all(answers)
    assert "worker ended" in caplog.text


async def test_new_clients_are_refused_while_they_are_not_welcome(place: Place) -> None:
    place.accepting = False
    place.pool.check()
    async with asyncio.timeout(DEADLINE_S):
        while await place.served():
            pass  # the word is on its way
    place.accepting = True
    place.pool.check()
    async with asyncio.timeout(DEADLINE_S):
        while not await place.served():
            pass


async def test_one_that_takes_the_place_of_another_knows_that_clients_are_not_welcome(place: Place) -> None:
    place.accepting = False
    place.pool.check()
    for old in list(place.pool._workers.values()):
        os.kill(old.pid, signal.SIGKILL)
        await asyncio.wait_for(old.ended, DEADLINE_S)
    for _ in range(4):
        assert not await place.served()


async def test_all_answer_a_reload_even_those_that_end_instead(place: Place) -> None:
    done: list[asyncio.Future[int]] = [asyncio.get_running_loop().create_future() for _ in range(2)]
    place.pool.reload(done[0].set_result)
    assert await asyncio.wait_for(done[0], DEADLINE_S) == 0
    os.kill(place.pool._workers[1].pid, signal.SIGSTOP)
    place.pool.reload(done[1].set_result)
    assert not done[1].done()
    os.kill(place.pool._workers[1].pid, signal.SIGKILL)
    assert await asyncio.wait_for(done[1], DEADLINE_S) == 0


async def test_those_that_could_not_reload_are_counted(place: Place) -> None:
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    place.pool.reload(done.set_result)
    place.pool._workers[0]._heard(codec.RELOADED, 0)  # before its own answer, which nobody waits for then
    assert await asyncio.wait_for(done, DEADLINE_S) == 1


async def test_a_worker_that_does_not_end_is_killed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXIT_LIMIT_S", 0.05)
    worker = place.pool._workers[0]
    os.kill(worker.pid, signal.SIGSTOP)
    await asyncio.wait_for(place.pool.end(), DEADLINE_S)
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


async def test_an_end_in_the_middle_of_the_start() -> None:
    place = Place()
    place.pool.start()
    await asyncio.sleep(0)  # the processes are being started
    await asyncio.wait_for(place.pool.end(), DEADLINE_S)


async def test_a_worker_that_cannot_be_started_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    place = Place()
    place.pool.start()
    with pytest.raises(WorkerError, match=r"worker \d ended before it listened"):
        await asyncio.wait_for(place.pool.ready(), DEADLINE_S)
    await place.pool.end()


async def test_an_interpreter_that_is_not_there_is_the_same(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setattr(module.sys, "executable", "/nowhere/python")
    place = Place()
    place.pool.start()
    with pytest.raises(WorkerError):
        await asyncio.wait_for(place.pool.ready(), DEADLINE_S)
    await place.pool.end()
    assert "worker not started" in caplog.text


def test_sockets_share_one_port_and_nobody_elses() -> None:
    sockets = module._bind("127.0.0.1", 0, 3)
    port = sockets[0].getsockname()[1]
    assert [sock.getsockname()[1] for sock in sockets] == [port] * 3
    with pytest.raises(BindError, match="in use"):
        module._bind("127.0.0.1", port, 2)
    for sock in sockets:
        sock.close()
    again = module._bind("127.0.0.1", port, 2)
    for sock in again:
        sock.close()
    other = bind("127.0.0.1", 0, reuse_port=True)
    with pytest.raises(BindError):
        module._bind("127.0.0.1", other.getsockname()[1], 2)
    other.close()
