"""Request handlers: what they take, how many run, how they end."""

import asyncio
import logging
import sys
import threading
from typing import Any

import pytest

import agpd_client as agp
from agpd_client.testing import MemoryGateway

WRITER, READER = "acme/prod/writer", "acme/prod/reader"


async def pair(near: agp.Gateway, far: agp.Gateway) -> tuple[agp.Agent, agp.Agent]:
    return await near.create_agent(WRITER), await far.create_agent(READER)


async def test_the_annotation_or_the_type_says_what_comes(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await pair(near, far)

    @reader.on_request
    async def annotated(x: int) -> int:
        return x + 1

    assert await writer.request(READER, 1) == 2
    with pytest.raises(agp.RemoteError, match="DecodeError"):
        await writer.request(READER, "one")

    @reader.on_request(type=str)
    async def told(x: Any) -> str:
        return str(x * 2)

    assert await writer.request(READER, "ab") == "abab"

    @reader.on_request
    async def anything(x: Any) -> str:
        return type(x).__name__

    assert await writer.request(READER, [1]) == "list"


async def test_functions_that_block_run_in_threads(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await pair(near, far)
    threads: list[threading.Thread] = []

    @reader.on_request
    def block(x):  # type: ignore[no-untyped-def]
        threads.append(threading.current_thread())
        return x

    assert await writer.request(READER, 5) == 5
    assert threads[0] is not threading.main_thread()

    async def later(x: int) -> int:
        return x + 1

    reader.on_request(lambda x: later(x))
    assert await writer.request(READER, 5) == 6


@pytest.mark.parametrize(
    ("function", "text"),
    [(lambda: 1, "not 0 parameters"), (lambda a, b, c: 1, "not 3 parameters")],
)
async def test_a_function_of_the_wrong_shape_is_refused(near: agp.Gateway, function: Any, text: str) -> None:
    reader = await near.create_agent(READER)
    with pytest.raises(TypeError, match=text):
        reader.on_request(function)


async def test_other_mistakes_are_told_when_the_handler_is_set(near: agp.Gateway) -> None:
    reader = await near.create_agent(READER)

    async def unknown(x: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    with pytest.raises(TypeError, match="on_request\\(type="):
        reader.on_request(unknown)
    with pytest.raises(ValueError, match="at least 1"):
        reader.on_request(concurrency=0)(print_nothing)


async def print_nothing(_: object) -> None:
    pass


async def test_at_most_so_many_run_and_the_rest_wait_in_order(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await pair(near, far)
    running: list[int] = []
    gates = [asyncio.Event() for _ in range(4)]

    @reader.on_request(concurrency=2)
    async def slow(number: int) -> int:
        running.append(number)
        await gates[number].wait()
        return number

    asked = [asyncio.create_task(writer.request(reader.name, number)) for number in range(4)]
    while len(running) < 2 or len(reader.handler._inbox.items) < 2:  # type: ignore[union-attr]
        await asyncio.sleep(0)
    assert running == [0, 1]
    gates[1].set()
    assert await asked[1] == 1
    while len(running) < 3:
        await asyncio.sleep(0)
    assert running == [0, 1, 2]
    for gate in gates:
        gate.set()
    assert await asyncio.gather(*asked) == [0, 1, 2, 3]
    await reader.idle()
    assert not reader.handler.is_busy  # type: ignore[union-attr]


async def test_what_a_handler_raises_is_logged_and_told(
    near: agp.Gateway, far: agp.Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    writer, reader = await pair(near, far)

    @reader.on_request
    async def fail(x: int) -> None:
        raise LookupError(f"no {x}") if x else agp.NoRoute("told, not logged")

    with caplog.at_level(logging.ERROR, "agpd_client"):
        with pytest.raises(agp.RemoteError, match="NoRoute"):
            await writer.request(READER, 0)
        assert caplog.records == []
        with pytest.raises(agp.RemoteError, match="LookupError: no 7"):
            await writer.request(READER, 7)
        assert "raised" in caplog.text


async def test_closing_tells_those_who_run_who_wait_and_who_have_not_begun(
    near: agp.Gateway, far: agp.Gateway
) -> None:
    writer, reader = await pair(near, far)
    begun = asyncio.Event()

    @reader.on_request(concurrency=1)
    async def never(_: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    asked = [asyncio.create_task(writer.request(reader.name, number)) for number in range(2)]
    await begun.wait()
    idle = asyncio.create_task(reader.idle())
    while not reader.handler._inbox.items:  # type: ignore[union-attr]
        await asyncio.sleep(0)
    await reader.close()
    for each in asked:
        with pytest.raises(agp.RemoteError, match="ended before it answered"):
            await each
    await idle
    second = await far.create_agent(READER)
    second.on_request(never)
    asking = asyncio.create_task(writer.request(second.name, 1))
    while not second.handler._tasks:  # type: ignore[union-attr]
        await asyncio.sleep(0)
    await second.close()  # its task exists and may not have begun
    with pytest.raises(agp.RemoteError, match="ended before it answered"):
        await asking


async def test_a_draining_handler_takes_nothing_new(near: agp.Gateway, far: agp.Gateway) -> None:
    writer, reader = await pair(near, far)
    await reader.idle()
    reader.refuse_requests()  # without a handler: nothing to refuse
    reader.on_request(print_nothing)
    reader.refuse_requests()
    with pytest.raises(agp.RemoteError, match="draining"):
        await writer.request(READER, 1)


async def test_an_answer_that_nobody_can_be_given_is_only_noted(
    server: MemoryGateway, near: agp.Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    far = server.connect(reconnect=False)
    await far.open()
    writer, reader = await pair(near, far)
    begun, go = asyncio.Event(), asyncio.Event()

    @reader.on_request
    async def slow(_: int) -> None:
        begun.set()
        await go.wait()

    asked = asyncio.create_task(writer.request(reader.name, 1))
    await begun.wait()
    assert far._uplink.connection is not None
    far._uplink.connection.abort()
    while far.state is not agp.State.CLOSED:
        await asyncio.sleep(0)
    go.set()
    with caplog.at_level(logging.DEBUG, "agpd_client"):
        await reader.idle()
    assert f"no answer to {writer.name}" in caplog.text
    asked.cancel()
    await far.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks that begin at once came with 3.12")
async def test_a_handler_that_was_done_at_once_does_not_hinder_the_end() -> None:
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
    async with MemoryGateway() as server, server.connect() as near:
        writer, reader = await near.create_agent(WRITER), await near.create_agent(READER)
        ending: list[asyncio.Task[None]] = []

        @reader.on_request
        async def last(x: int) -> int:
            asyncio.get_running_loop().call_soon(lambda: ending.append(asyncio.ensure_future(reader.close())))
            return x

        assert await writer.request(READER, 1) == 1
        await asyncio.gather(*ending)
        with pytest.raises(agp.Closed):
            await reader.receive()
