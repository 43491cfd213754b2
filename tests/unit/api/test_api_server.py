"""What slow, long and broken requests cost, and how connections end. Raw bytes against the real accept path."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from scenarios.control_world import ControlWorld
from starlette.types import Receive, Scope, Send

from agpd.api import server
from agpd.api.server import CERTIFICATE, Patience, Server

SHORT = Patience(head_s=0.05, body_s=0.05, idle_s=0.05)
OK = b"HTTP/1.1 200 OK"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body, when it is there."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = f"{length} {CERTIFICATE in scope.get('extensions', {})}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


Ask = Callable[..., Awaitable[bytes]]


@asynccontextmanager
async def serving(patience: Patience, application: object = app) -> AsyncIterator[tuple[Server, Ask]]:
    """A server, and what sends it bytes and returns all that comes until the server closes, or `until` came."""
    served = Server(application, patience)  # type: ignore[arg-type]
    listening = await asyncio.get_running_loop().create_server(served.protocol, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]

    async def ask(data: bytes, until: bytes = b"") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        received = await (reader.readuntil(until) if until else reader.read())
        writer.close()
        return bytes(received)

    async with listening:
        yield served, ask
        await served.close(0)


async def test_requests_are_answered_one_after_the_other_on_one_connection() -> None:
    async with serving(Patience()) as (_, ask):
        two = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc" * 2
        assert (await ask(two, b"3 False" + b"HTTP")).count(OK) == 1
        closing = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        assert (await ask(two + closing)).count(OK) == 3


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 408),
        (b"GET / HTTP/1.1\r\nhost", 408),
        (b"\r\n\r\n", 408),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc", 408),
    ],
    ids=["nothing", "half a head", "empty lines", "half a body"],
)
async def test_what_does_not_come_in_time_is_cut(data: bytes, status: int) -> None:
    async with serving(SHORT) as (_, ask):
        answer = await ask(data)
    assert b"408" in answer.partition(b"\r\n")[0] or not answer


async def test_an_idle_connection_is_closed_and_a_slow_second_request_too() -> None:
    async with serving(SHORT) as (_, ask):
        first = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
        assert (await ask(first)).endswith(b"0 False")
        assert (await ask(first + b"GET / HT")).count(OK) == 1


async def test_a_head_that_is_too_long_is_refused_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_LIMIT_BYTES", 2000)
    async with serving(Patience()) as (_, ask):
        answer = await ask(b"GET / HTTP/1.1\r\nx: " + b"a" * 3000)
        assert b"431" in answer.partition(b"\r\n")[0]
        long = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9000\r\n\r\n"
        assert (await ask(long + b"a" * 9000)).endswith(b"9000 False")  # control: a body may be longer


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_answered_in_the_common_form_and_closed(data: bytes) -> None:
    async with serving(SHORT) as (_, ask):
        head, _, body = (await ask(data)).partition(b"\r\n\r\n")
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert json.loads(body)["name"] == "INVALID_REQUEST"


async def test_an_upgrade_is_not_taken_up() -> None:
    ask_for = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    async with serving(SHORT) as (_, ask):
        assert (await ask(ask_for)).startswith(OK)


async def test_closing_lets_what_was_asked_for_finish() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await go_on.wait()
        await app(scope, receive, send)

    async with serving(Patience(), slow) as (served, ask):
        asking = asyncio.ensure_future(ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"))
        await begun.wait()
        closing = asyncio.ensure_future(served.close(10))
        await asyncio.sleep(0)
        assert not served.accepting
        go_on.set()
        assert (await asking).startswith(OK)
        await closing


async def test_closing_cuts_what_does_not_finish() -> None:
    begun = asyncio.Event()

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await receive()
        await receive()

    async with serving(Patience(), stuck) as (served, ask):
        asking = asyncio.ensure_future(ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"))
        await begun.wait()
        await served.close(0.01)
        assert await asking == b""


async def test_only_so_many_connections_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 1)
    begun = asyncio.Event()

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await receive()
        await receive()

    async with serving(Patience(), stuck) as (served, ask):
        assert served.accepting
        asking = asyncio.ensure_future(ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"))
        await begun.wait()
        assert not served.accepting
        await served.close(0)
        assert await asking == b""


async def test_tls_is_1_3_and_the_client_certificate_reaches_the_application(world: ControlWorld) -> None:
    pair = world.issue("acme/prod/*")
    async with world.http(pair) as known, world.http() as unknown:
        assert (await known.get("/v1/whoami")).json()["label"] == "agp://acme/prod/*"
        assert (await unknown.get("/v1/whoami")).status_code == 401
    old = world.context(pair)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    port = int(world.url.rpartition(":")[2])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", port, ssl=old, server_hostname="localhost")


async def test_a_reload_reaches_new_connections(world: ControlWorld) -> None:
    pair, other = world.issue("acme/prod/*"), world.issue("acme/prod/*")
    async with world.http(pair) as known:
        assert (await known.get("/v1/whoami")).status_code == 200
    assert world.authority is not None
    world.authority.revoke(pair.serial, world.gateway._wall_clock())
    world.gateway.reload()
    async with world.http(pair) as revoked:
        with pytest.raises((ssl.SSLError, OSError, Exception), match=r"(?i)revoked|disconnect|closed|error"):
            await revoked.get("/v1/whoami")
    async with world.http(other) as good:
        assert (await good.get("/v1/whoami")).status_code == 200
