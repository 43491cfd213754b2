"""Zenoh: a session in router mode in a process of its own (the wheel brings no zenohd), clients in client mode."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import zenoh

from bench.peers.at import Arrived, Ask, At, Send

ASKED = "bench/ask"


def session(at: At, mode: str) -> Any:
    """A session that talks to nobody but the other end of its one link."""
    config = zenoh.Config()
    scheme = "tcp" if at.files is None else "tls"
    settings: dict[str, Any] = {
        "mode": mode,
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "connect/endpoints": [] if mode == "router" else [f"{scheme}/{at.address}"],
        "listen/endpoints": [f"{scheme}/{at.address}"] if mode == "router" else [],
    }
    if at.files is not None:
        files = at.files
        settings["transport/link/tls"] = {
            "root_ca_certificate": files.ca,
            "enable_mtls": True,
            "listen_certificate": files.server_certificate,
            "listen_private_key": files.server_key,
            "connect_certificate": files.certificate,
            "connect_private_key": files.key,
        }
    for name, value in settings.items():
        config.insert_json5(name, json.dumps(value))
    return zenoh.open(config)


def key(pattern: str, number: int) -> str:
    """All receivers have one key, except with unicast."""
    return f"bench/{number}" if pattern == "unicast" else f"bench/{pattern}"


@contextlib.asynccontextmanager
async def serve(at: At) -> AsyncIterator[None]:
    """The router, in Rust threads of this process."""
    with session(at, "router"):
        yield


@contextlib.asynccontextmanager
async def receiving(at: At, receivers: int, pattern: str, arrived: Arrived) -> AsyncIterator[None]:
    """Callbacks in the threads of the sessions."""
    with contextlib.ExitStack() as stack:
        for number in range(receivers):
            one = stack.enter_context(session(at, "client"))
            one.declare_subscriber(key(pattern, number), lambda _: arrived())
            # Declarations are not answered; this is, after them.
            list(one.get("bench/nobody", timeout=5.0))
        yield


@contextlib.asynccontextmanager
async def sending(at: At, receivers: int, pattern: str) -> AsyncIterator[Send]:
    """`publisher.put(...)`, blocking where the link is full: by default Zenoh drops then."""
    with session(at, "client") as one:
        publishers = [
            one.declare_publisher(key(pattern, number), congestion_control=zenoh.CongestionControl.BLOCK)
            for number in range(receivers if pattern == "unicast" else 1)
        ]
        for publisher in publishers:
            await _matched(publisher)
        put = [publishers[number % len(publishers)].put for number in range(receivers)]

        async def send(numbers: Sequence[int], body: bytes) -> None:
            for number in numbers:
                put[number](body)

        yield send


async def _matched(publisher: Any) -> None:
    """Until it has a subscriber. Raises `TimeoutError`."""
    async with asyncio.timeout(10):
        while not publisher.matching_status.matching:
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def answering(at: At) -> AsyncIterator[None]:
    """A queryable."""

    def echo(query: Any) -> None:
        with query:
            query.reply(query.key_expr, query.payload)

    with session(at, "client") as one:
        one.declare_queryable(ASKED, echo)
        yield


@contextlib.asynccontextmanager
async def asking(at: At) -> AsyncIterator[Ask]:
    """`session.get(...)`, blocking until the answer."""
    with session(at, "client") as one:

        async def ask(body: bytes) -> bytes:
            for reply in one.get(ASKED, payload=body, timeout=5.0):
                return bytes(reply.ok.payload)
            raise TimeoutError("no answer")

        yield ask
