"""The SLIM node of slim-bindings 3, hosted in Python; sessions without retransmission and without MLS.

With retransmission each message costs an acknowledgement, and a request about 88 ms (slim-bindings 3.3.8, loopback).
"""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any

import slim_bindings as slim

from bench.peers.at import Arrived, Ask, At, Send

SECRET = "the secret of a benchmark on loopback, 32 characters and more"
PATIENCE = datetime.timedelta(seconds=60)


def name(kind: str, number: int = 0) -> Any:
    """`acme/bench/<kind><number>`."""
    return slim.Name("acme", "bench", f"{kind}{number}")


def prepare() -> None:
    """The wheel's runtime, once in a process."""
    slim.uniffi_set_event_loop(asyncio.get_running_loop())
    tracing = slim.new_tracing_config()
    tracing.log_level = "error"
    slim.initialize_with_configs(
        tracing_config=tracing,
        runtime_config=slim.new_runtime_config(),
        service_config=[slim.new_service_config()],
    )


@contextlib.asynccontextmanager
async def serve(at: At) -> AsyncIterator[None]:
    """The node, in Rust threads of this process."""
    prepare()
    config = slim.new_insecure_server_config(at.address)
    if at.files is not None:
        source = slim.TlsSource.FILE(cert=at.files.server_certificate, key=at.files.server_key)
        config = slim.new_secure_server_config(at.address, source)
        config.tls.client_ca = slim.CaSource.FILE(path=at.files.ca)
    await slim.get_global_service().run_server_async(config)
    yield


async def connect(at: At, kind: str, number: int = 0) -> tuple[Any, int]:
    """An app that has its name, and its connection."""
    config = slim.new_insecure_client_config(f"http://{at.address}")
    if at.files is not None:
        config = slim.new_secure_client_config(f"https://{at.address}")
        config.tls.ca_source = slim.CaSource.FILE(path=at.files.ca)
        config.tls.source = slim.TlsSource.FILE(cert=at.files.certificate, key=at.files.key)
    service = slim.Service(f"{kind}{number}")
    connection = await service.connect_async(config)
    app = service.create_app_with_secret(name(kind, number), SECRET)
    own = slim.Name.new_with_id("acme", "bench", f"{kind}{number}", id=app.id())
    await app.subscribe_async(own, connection)
    return app, connection


async def session(app: Any, connection: int, destination: Any, group: Sequence[Any] = ()) -> Any:
    """An established session with one receiver, or with the invited members of a group."""
    kind = slim.SessionType.GROUP if group else slim.SessionType.POINT_TO_POINT
    config = slim.SessionConfig(
        session_type=kind, max_retries=None, interval=None, metadata={}, mls_settings=None
    )
    for each in group or [destination]:
        await app.set_route_async(each, connection)
    made = await app.create_session_and_wait_async(config, destination)
    for member in group:
        await made.invite_and_wait_async(member)
    return made


@contextlib.asynccontextmanager
async def receiving(at: At, receivers: int, pattern: str, arrived: Arrived) -> AsyncIterator[None]:
    """`await session.get_message_async()`, each receiver on its own connection."""

    async def take(app: Any) -> None:
        own = await app.listen_for_session_async(None)
        while True:
            await own.get_message_async(timeout=PATIENCE)
            arrived()

    prepare()
    apps = [(await connect(at, "sink", number))[0] for number in range(receivers)]
    tasks = [asyncio.create_task(take(app)) for app in apps]
    yield
    for task in tasks:
        task.cancel()


@contextlib.asynccontextmanager
async def sending(at: At, receivers: int, pattern: str) -> AsyncIterator[Send]:
    """`await session.publish_async()`; a session for each receiver, or a group."""
    prepare()
    app, connection = await connect(at, "source")
    names = [name("sink", number) for number in range(receivers)]
    if pattern == "broadcast":
        sessions = [await session(app, connection, name("group"), names)] * receivers
    else:
        sessions = [await session(app, connection, each) for each in names]

    async def send(numbers: Sequence[int], body: bytes) -> None:
        for number in numbers:
            await sessions[number].publish_async(body, None, None)

    yield send


@contextlib.asynccontextmanager
async def answering(at: At) -> AsyncIterator[None]:
    """Publishes what came, in the same session."""

    async def echo(app: Any) -> None:
        own = await app.listen_for_session_async(None)
        while True:
            message = await own.get_message_async(timeout=PATIENCE)
            await own.publish_async(message.payload, None, None)

    prepare()
    app, _ = await connect(at, "answerer")
    task = asyncio.create_task(echo(app))
    yield
    task.cancel()


@contextlib.asynccontextmanager
async def asking(at: At) -> AsyncIterator[Ask]:
    """Publishes, and waits for the next message of the session."""
    prepare()
    app, connection = await connect(at, "asker")
    own = await session(app, connection, name("answerer"))

    async def ask(body: bytes) -> bytes:
        await own.publish_async(body, None, None)
        answer: bytes = (await own.get_message_async(timeout=PATIENCE)).payload
        return answer

    yield ask
