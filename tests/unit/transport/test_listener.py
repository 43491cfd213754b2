"""The accept path, with real sockets and real TLS on uvloop."""

import asyncio
import contextlib
import errno
import functools
import gc
import os
import socket
import ssl
from pathlib import Path

import pytest
import uvloop
from certificate_world import NOT_ASCII, NOW, World, leaf, raw_san

from agpd.errors import Fatal
from agpd.transport import listener as module
from agpd.transport.identity import principal_of
from agpd.transport.listener import Listener
from agpd.transport.pem import load_key
from agpd.transport.sockets import bind
from agpd.transport.tls import Certificates

DEADLINE_S = 10


def on_uvloop(test):
    """Run the coroutine function on a new uvloop, whatever the runner's own loop is."""

    @functools.wraps(test)
    def run(**fixtures):
        uvloop.run(asyncio.wait_for(test(**fixtures), DEADLINE_S))

    return run


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Whatever peers do, the loop's exception handler prints nothing."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"] == []


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("listener") / "world")


class Greeter(asyncio.Protocol):
    """Says one byte to whoever gets through."""

    def __init__(self, met):
        self.met = met

    def connection_made(self, transport):
        self.transport = transport
        self.met.append(self)
        transport.write(b"!")


class Gate:
    """A listener under test, what it let through and what it refused."""

    def __init__(self, world, **options):
        self.met, self.told, self.open = [], [], True
        self.certificates = world and Certificates(
            world.gateway.certificate, world.gateway.key, [world.ca], world.crl, clock=lambda: NOW
        )
        self.sock = bind("127.0.0.1", 0)
        self.address = self.sock.getsockname()
        self.listener = Listener(
            self.sock,
            lambda: Greeter(self.met),
            certificates=self.certificates,
            accepting=lambda: self.open,
            on_refused=self.told.append,
            **options,
        )

    async def __aenter__(self):
        self.listener.start()
        return self

    async def __aexit__(self, *_):
        self.listener.close()
        await self.listener.wait_closed()
        for one in self.met:
            one.transport.abort()

    async def greeting(self, context=None):
        """What a client reads first: b"!" if it is let in, b"" if it is cut; raises what TLS raises."""
        server_hostname = "localhost" if context else None
        reader, writer = await asyncio.open_connection(
            *self.address, ssl=context, server_hostname=server_hostname
        )
        try:
            return await reader.read(1)
        finally:
            writer.transport.abort()

    async def lets_in(self, context):
        """Does a client get its greeting? It has to read: its own handshake succeeds before the server's."""
        try:
            return await self.greeting(context) == b"!"
        except (ssl.SSLError, ConnectionError):
            return False

    async def silent(self):
        """A client that connects and says nothing."""
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, self.address)
        except ConnectionRefusedError:
            sock.close()
            raise
        return sock


async def until(condition):
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0)


async def ends(sock):
    """Wait until the other side has closed."""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
    sock.close()


@on_uvloop
async def test_an_agent_gets_through_with_its_certificate_and_without_nagle(world):
    async with Gate(world) as gate:
        assert await gate.greeting(world.client(world.agent)) == b"!"
        (one,) = gate.met
        assert one.transport.get_extra_info("ssl_object").getpeercert(True)
        assert one.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert gate.listener.accepted == 1
        await until(lambda: gate.listener.prehandshake == 0)
        assert sum(gate.listener.refused.values()) == sum(gate.listener.handshake_failed.values()) == 0


@on_uvloop
async def test_a_plaintext_listener_has_no_handshake_stage():
    async with Gate(None, prehandshake_limit=0, prehandshake_per_ip_limit=0) as gate:
        assert await gate.greeting() == b"!"
        assert gate.listener.accepted == 1
        assert gate.listener.prehandshake == 0


@on_uvloop
async def test_refused_handshakes_are_counted_by_reason(world, tmp_path):
    stranger = World(tmp_path / "stranger")
    attempts = {
        "no_certificate": world.client(),
        "untrusted": world.client(stranger.agent),
        "expired": world.client(world.issue("acme/dev/writer", "expired", life_s=-10.0)),
        "certificate": world.client(world.gateway),
        "tls": world.client(world.agent, ssl.TLSVersion.TLSv1_2),
    }
    async with Gate(world) as gate:
        for reason, context in attempts.items():
            assert not await gate.lets_in(context)
            await until(lambda reason=reason: gate.listener.handshake_failed[reason] == 1)
        assert sum(gate.listener.handshake_failed.values()) == len(attempts)
        assert gate.met == []
        await until(lambda: gate.listener.prehandshake == 0)
        assert await gate.greeting(world.client(world.agent)) == b"!"


@on_uvloop
async def test_a_revoked_certificate_is_refused_after_a_reload(tmp_path):
    world = World(tmp_path / "world")
    async with Gate(world) as gate:
        assert await gate.greeting(world.client(world.agent)) == b"!"
        world.authority.revoke(world.agent.serial, NOW)
        # Negative control: the list alone changes nothing.
        assert await gate.greeting(world.client(world.agent)) == b"!"
        gate.certificates.reload()
        assert not await gate.lets_in(world.client(world.agent))
        await until(lambda: gate.listener.handshake_failed["revoked"] == 1)


@on_uvloop
async def test_a_name_that_is_not_utf_8_is_left_to_the_profile(world):
    """The authority signed it, so TLS lets it through; the loop must neither print nor lose the connection."""
    der = leaf(world.signer, extra=[raw_san(NOT_ASCII)], key=load_key(world.agent.key))
    path = world.directory / "not-ascii.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(der))
    context = world.client()
    context.load_cert_chain(path, world.agent.key)
    async with Gate(world) as gate:
        assert await gate.greeting(context) == b"!"
        (one,) = gate.met
        assert one.transport.get_extra_info("ssl_object").getpeercert(True) == der
        with pytest.raises(Fatal, match="does not parse"):
            principal_of(der, gate.certificates.profile)


@on_uvloop
async def test_bytes_that_are_not_tls_and_peers_that_leave(world):
    async with Gate(world) as gate:
        sock = await gate.silent()
        await asyncio.get_running_loop().sock_sendall(sock, b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: gate.listener.handshake_failed["tls"] == 1)
        sock.close()
        (await gate.silent()).close()
        await until(lambda: gate.listener.handshake_failed["lost"] == 1)
        await until(lambda: gate.listener.prehandshake == 0)


@on_uvloop
async def test_failed_handshakes_are_logged_once_a_second_with_the_number_of_those_left_out(world, caplog):
    now = [0.0]
    caplog.set_level("DEBUG", module.__name__)

    async def fail(gate):
        before = gate.listener.handshake_failed["no_certificate"]
        assert not await gate.lets_in(world.client())
        await until(lambda: gate.listener.handshake_failed["no_certificate"] == before + 1)

    def lines():
        return [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]

    async with Gate(world, clock=lambda: now[0]) as gate:
        for at_s in (0.0, 0.5, 0.999):
            now[0] = at_s
            await fail(gate)
        (first,) = lines()
        assert first.startswith("the TLS handshake with 127.0.0.1:")
        assert "failed: no_certificate (" in first
        assert "more" not in first
        now[0] = 1.0
        await fail(gate)
        assert lines()[1].endswith("; 2 more since the last warning")
        now[0] = 2.0
        await fail(gate)
        assert "more" not in lines()[2]
    # A log at level debug leaves none out, and the end has the sums.
    assert sum("failed: no_certificate" in one.getMessage() for one in caplog.records) == 5
    assert caplog.records[-1].getMessage() == "no longer listening"
    assert caplog.records[-1].fields == {"accepted": 5, "handshake_failed_no_certificate": 5}


@on_uvloop
async def test_a_silent_peer_is_cut_after_the_handshake_timeout(world):
    async with Gate(world, tls_handshake_timeout_s=0.05) as gate:
        await ends(await gate.silent())
        await until(lambda: gate.listener.handshake_failed["timeout"] == 1)
        await until(lambda: gate.listener.prehandshake == 0)


@on_uvloop
async def test_silent_peers_are_capped_in_all(world):
    async with Gate(world, prehandshake_limit=3) as gate:
        held = [await gate.silent() for _ in range(3)]
        await until(lambda: gate.listener.prehandshake == 3)
        await ends(await gate.silent())
        assert gate.told == ["prehandshake"]
        assert gate.listener.refused["prehandshake"] == 1
        # A place comes free with the first that leaves.
        held.pop().close()
        await until(lambda: gate.listener.prehandshake == 2)
        assert await gate.greeting(world.client(world.agent)) == b"!"
        for sock in held:
            sock.close()


@on_uvloop
async def test_silent_peers_are_capped_by_address(world):
    async with Gate(world, prehandshake_per_ip_limit=2) as gate:
        held = [await gate.silent() for _ in range(2)]
        await until(lambda: gate.listener.prehandshake == 2)
        await ends(await gate.silent())
        assert gate.told == ["prehandshake_per_ip"]
        # Negative control: another address gets through.
        other = socket.socket()
        other.setblocking(False)
        other.bind(("127.0.0.2", 0))
        await asyncio.get_running_loop().sock_connect(other, gate.address)
        await until(lambda: gate.listener.prehandshake == 3)
        for sock in (*held, other):
            sock.close()


@on_uvloop
async def test_established_connections_do_not_count(world):
    async with Gate(world, prehandshake_limit=1, prehandshake_per_ip_limit=1) as gate:
        for _ in range(3):
            assert await gate.greeting(world.client(world.agent)) == b"!"
            await until(lambda: gate.listener.prehandshake == 0)


@on_uvloop
async def test_handshakes_wait_for_the_bucket_and_count_while_they_wait(world):
    now = [0.0]
    async with Gate(world, tls_handshakes_per_second=10, prehandshake_limit=3, clock=lambda: now[0]) as gate:
        clients = [asyncio.create_task(gate.greeting(world.client(world.agent))) for _ in range(3)]
        await until(lambda: len(gate.met) == 1)
        await until(lambda: gate.listener.prehandshake == 2)
        assert gate.listener.accepted == 1
        held = await gate.silent()
        await until(lambda: gate.listener.prehandshake == 3)
        await ends(await gate.silent())
        assert gate.told == ["prehandshake"]
        for _ in range(3):
            now[0] += 0.1
            before = gate.listener.accepted
            await until(lambda before=before: gate.listener.accepted == before + 1)
        assert await asyncio.gather(*clients) == [b"!"] * 3
        held.close()


@on_uvloop
async def test_who_waits_too_long_for_the_bucket_is_closed(world):
    now = [0.0]
    async with Gate(
        world, tls_handshakes_per_second=1, tls_handshake_timeout_s=0.5, clock=lambda: now[0]
    ) as gate:
        first, second = await gate.silent(), await gate.silent()
        await until(lambda: gate.listener.prehandshake == 2)
        now[0] = 0.5
        await ends(second)
        assert gate.told == ["handshake_rate"]
        first.close()


@on_uvloop
async def test_nobody_is_accepted_while_the_gateway_says_so(world):
    async with Gate(world) as gate:
        gate.open = False
        await ends(await gate.silent())
        assert gate.told == ["not_accepting"]
        gate.open = True
        assert await gate.greeting(world.client(world.agent)) == b"!"


@on_uvloop
async def test_close_ends_what_waits_and_what_is_in_its_handshake(world):
    gate = Gate(world, tls_handshakes_per_second=1)
    gate.listener.start()
    shaking, waiting = await gate.silent(), await gate.silent()
    await until(lambda: gate.listener.prehandshake == 2)
    descriptors = len(os.listdir("/proc/self/fd"))
    gate.listener.close()
    gate.listener.close()
    await gate.listener.wait_closed()
    await ends(shaking)
    await ends(waiting)
    assert gate.listener.prehandshake == 0
    with pytest.raises(ConnectionRefusedError):
        await gate.silent()
    # two clients, two accepted sockets, the listening one and the spare
    await until(lambda: len(os.listdir("/proc/self/fd")) == descriptors - 6)


@on_uvloop
async def test_a_listener_that_never_started_closes_its_socket(world):
    gate = Gate(world)
    gate.listener.close()
    await gate.listener.wait_closed()
    assert gate.sock.fileno() == -1


class Failing:
    """A listening socket whose accept fails so often with this error."""

    def __init__(self, sock, number, times):
        self.sock, self.number, self.left, self.calls = sock, number, times, 0

    def accept(self):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise OSError(self.number, os.strerror(self.number))
        return self.sock.accept()

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        self.sock.close()


@on_uvloop
async def test_without_descriptors_peers_are_refused_and_the_loop_does_not_spin(world, monkeypatch, caplog):
    monkeypatch.setattr(module, "DESCRIPTOR_PAUSE_S", 0.05)
    gate = Gate(world)
    gate.listener._sock = failing = Failing(gate.sock, errno.EMFILE, 1)
    async with gate:
        await ends(await gate.silent())
        assert gate.told == ["descriptors"]
        # one that failed, one with the spare, one that found the queue empty
        assert failing.calls == 3
        assert "Too many open files" in caplog.text
        assert await gate.greeting(world.client(world.agent)) == b"!"


@on_uvloop
async def test_a_lasting_fault_of_accept_costs_one_call_and_one_line_per_pause(world, monkeypatch, caplog):
    monkeypatch.setattr(module, "DESCRIPTOR_PAUSE_S", 0.01)
    gate = Gate(world)
    gate.listener._sock = failing = Failing(gate.sock, errno.ENOMEM, 5)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with gate:
        assert await gate.greeting(world.client(world.agent)) == b"!"
        assert loop.time() - began >= 5 * 0.009
        assert failing.calls <= 5 + 2
        assert caplog.text.count("accepting pauses") == 1


@on_uvloop
async def test_a_connection_that_died_in_the_queue_is_passed_over(world):
    gate = Gate(world)
    gate.listener._sock = Failing(gate.sock, errno.ECONNABORTED, 3)
    async with gate:
        assert await gate.greeting(world.client(world.agent)) == b"!"


@on_uvloop
async def test_descriptors_that_really_run_out(world):
    """With the process's own limit reached, the peer is closed at once, and served once there is room."""
    import resource

    async with Gate(None) as gate:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        client = socket.socket()
        client.setblocking(False)
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        filler = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    filler.append(os.open(os.devnull, os.O_RDONLY))
            await asyncio.get_running_loop().sock_connect(client, gate.address)
            await ends(client)
        finally:
            for descriptor in filler:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert gate.told == ["descriptors"]
        assert await gate.greeting() == b"!"


@on_uvloop
async def test_no_spare_descriptor_is_no_reason_to_stop(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    gate = Gate(None)
    monkeypatch.setattr(module.os, "open", refuse)
    async with gate:
        assert await gate.greeting() == b"!"


@on_uvloop
async def test_a_protocol_that_cannot_be_made_is_an_error_of_ours_and_leaks_no_socket(world):
    gate = Gate(world)

    def broken():
        raise RuntimeError("no protocol")

    gate.listener._make_protocol = broken
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
    async with gate:
        await ends(await gate.silent())
        await until(lambda: gate.listener.prehandshake == 0)
        gc.collect()
        await until(lambda: failures)
    assert [str(failure) for failure in failures] == ["no protocol"]


def test_tls_on_another_loop_is_not_silent(world, caplog):
    async def main():
        async with Gate(world) as gate:
            assert await gate.greeting(world.client(world.agent)) == b"!"

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())
    assert "8 times the memory" in caplog.text


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@on_uvloop
async def test_an_idle_connection_takes_little_memory(world, capsys):
    """Generous bound; both ends live in this process, and the client's end is counted too."""
    count = 100
    context = world.client(world.agent)
    async with Gate(world, tls_handshakes_per_second=10_000) as gate:
        assert await gate.greeting(context) == b"!"
        gc.collect()
        before = resident_bytes()
        held = []
        for _ in range(count):
            held.append(
                await asyncio.open_connection(*gate.address, ssl=context, server_hostname="localhost")
            )
        await until(lambda: len(gate.met) == count + 1)
        gc.collect()
        each = (resident_bytes() - before) / count
        for _, writer in held:
            writer.transport.abort()
    assert each < 2 * 100 * 1024
