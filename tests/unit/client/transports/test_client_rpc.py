"""Calls over real gRPC with mutual TLS: certificates, tokens, what each failure is raised as, how it ends."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from scripted_registry import ScriptedRegistry

import agpd_client as agp
from agpd._proto import control_pb2 as messages
from agpd._proto import control_pb2_grpc as services
from agpd.errors import Code
from agpd.names import parse_pattern
from agpd.transport.pki import Authority
from agpd_client.errors import AgpError
from agpd_client.transports import carrier
from agpd_client.transports.address import Address
from agpd_client.transports.rpc import Rpc
from agpd_client.transports.tls import Credentials, Pem, read

KEY = messages.InstanceKey(instance="acme/prod/writer/1")


class World:
    """An authority, a registry with its certificate, and files of an agent."""

    def __init__(self, directory: Path, name: str = "world") -> None:
        now = time.time()
        self.directory = directory
        self.authority = Authority.create(directory, name, now)
        self.gateway = self.authority.issue_gateway(["127.0.0.1"], directory / "gateway", now)
        self.renew()

    def renew(self) -> None:
        self.authority.issue_agent(parse_pattern("acme/*"), self.directory / "agent", time.time(), 60.0)

    def pem(self) -> Pem:
        names = ("agent.pem", "agent.key", "ca.pem")
        return read(Credentials(*(str(self.directory / name) for name in names)))

    def server(self) -> grpc.ServerCredentials:
        pair = (self.gateway.key.read_bytes(), self.gateway.certificate.read_bytes())
        return grpc.ssl_server_credentials([pair], (self.directory / "ca.pem").read_bytes(), True)


def stubs(channel: Any) -> tuple[Any, Any]:
    return services.RegistryStub(channel), services.DiscoveryStub(channel)


def heartbeat(stubs: Any) -> Any:
    return stubs[0].Heartbeat


def watch(stubs: Any) -> Any:
    return stubs[1].Watch


def to(server: ScriptedRegistry, pem: Any = lambda: None, token: Any = str) -> Rpc[Any]:
    address = Address("tcp" if pem() is None else "tls", "127.0.0.1", server.port)
    return Rpc(address, pem, token, stubs)


async def beat(rpc: Rpc[Any], timeout: float = 10.0) -> Any:
    return await rpc.call(heartbeat, KEY, timeout)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as server:
        server.instances[KEY.instance] = messages.Instance(name=KEY.instance)
        yield server


@pytest.fixture
async def rpc(server: ScriptedRegistry) -> AsyncIterator[Rpc[Any]]:
    rpc = to(server)
    yield rpc
    await rpc.close()


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[World, ScriptedRegistry]]:
    world = World(tmp_path)
    server = await ScriptedRegistry().open(world.server())
    server.instances[KEY.instance] = messages.Instance(name=KEY.instance)
    yield world, server
    await server.close()


async def test_mutual_tls_with_the_files_of_the_connection(secure: tuple[World, ScriptedRegistry]) -> None:
    world, server = secure
    rpc = to(server, world.pem)
    assert (await beat(rpc)).name == KEY.instance
    await rpc.close()


async def test_renewed_files_are_used_by_the_next_call_and_a_stream_that_runs_is_not_cut(
    secure: tuple[World, ScriptedRegistry],
) -> None:
    world, server = secure
    rpc = to(server, world.pem)
    stream = rpc.stream(watch, messages.Query(), 10.0, lambda: None)
    for number in range(2):
        server.events.put_nowait(messages.AgentEvent(kind=str(number)))
    assert (await anext(stream)).kind == "0"
    await beat(rpc)
    world.renew()
    await beat(rpc)
    first, second, third = server.certificates
    assert first == second != third
    assert (await anext(stream)).kind == "1"
    await stream.aclose()
    await rpc.close()


async def test_a_server_of_another_authority_is_not_trusted(
    secure: tuple[World, ScriptedRegistry], tmp_path: Path
) -> None:
    other = World(tmp_path / "other", "other")
    rpc = to(secure[1], other.pem)
    with pytest.raises(agp.Unauthorized, match="pass ca= with its authority"):
        await beat(rpc)
    await rpc.close()


async def test_the_token_of_now_goes_with_each_call(server: ScriptedRegistry) -> None:
    tokens = iter(["", "first", "second"])
    rpc = to(server, token=lambda: next(tokens))
    for _ in range(3):
        await beat(rpc)
    assert server.tokens == ["", "Bearer first", "Bearer second"]
    await rpc.close()


@pytest.mark.parametrize(
    ("failure", "kind", "code", "says"),
    [
        (Code.NOT_FOUND, agp.NotFound, Code.NOT_FOUND, "as the test says"),
        (Code.NOT_PERMITTED, agp.NotPermitted, Code.NOT_PERMITTED, "ask for a grant"),
        (Code.QUOTA_EXCEEDED, agp.LimitReached, Code.QUOTA_EXCEEDED, "quotas of the tenant"),
        (Code.UNAVAILABLE, agp.Unavailable, Code.UNAVAILABLE, "try again later"),
        (Code.INVALID_NAME, agp.InvalidName, Code.INVALID_NAME, "organization/namespace/type"),
        (grpc.StatusCode.UNAVAILABLE, agp.ConnectError, Code.CONNECTION_LOST, "control.enabled"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, agp.Timeout, Code.NO_ANSWER, "within 10"),
        (grpc.StatusCode.UNAUTHENTICATED, agp.Unauthorized, Code.UNAUTHENTICATED, "does not know us"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, agp.MessageTooLarge, Code.FRAME_TOO_LARGE, "refused"),
        (grpc.StatusCode.CANCELLED, agp.Closed, Code.CONNECTION_LOST, "ended the call"),
        (grpc.StatusCode.UNKNOWN, AgpError, Code.INTERNAL, "UNKNOWN"),
    ],
)
async def test_each_failure_has_its_exception(
    server: ScriptedRegistry,
    rpc: Rpc[Any],
    failure: Code | grpc.StatusCode,
    kind: type[AgpError],
    code: Code,
    says: str,
) -> None:
    server.failures.append(failure)
    with pytest.raises(kind, match=says) as caught:
        await beat(rpc)
    assert (type(caught.value), caught.value.code) == (kind, code)
    await beat(rpc)


async def test_nobody_there_is_a_connect_error_that_names_the_address() -> None:
    async with ScriptedRegistry() as server:
        rpc = to(server)
    with pytest.raises(agp.ConnectError, match=f"127.0.0.1:{server.port}.*AGP_CONTROL"):
        await beat(rpc)
    await rpc.close()


async def test_no_answer_in_time(server: ScriptedRegistry, rpc: Rpc[Any]) -> None:
    server.held = asyncio.Event()
    with pytest.raises(agp.Timeout):
        await beat(rpc, 0.01)


async def test_cancelling_a_call_is_a_cancellation(server: ScriptedRegistry, rpc: Rpc[Any]) -> None:
    server.held = asyncio.Event()
    calling = asyncio.ensure_future(beat(rpc))
    while not server.calls:
        await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


async def test_closing_ends_a_call_with_a_typed_error_and_refuses_the_next(
    server: ScriptedRegistry, rpc: Rpc[Any]
) -> None:
    server.held = asyncio.Event()
    calling = asyncio.ensure_future(beat(rpc))
    while not server.calls:
        await asyncio.sleep(0)
    await rpc.close()
    with pytest.raises(agp.Closed, match="was closed"):
        await calling
    with pytest.raises(agp.Closed):
        await beat(rpc)
    await rpc.close()


async def test_a_stream_that_is_not_accepted_in_time(server: ScriptedRegistry) -> None:
    rpc = to(server)
    server.held = asyncio.Event()
    stream = rpc.stream(watch, messages.Query(), 0.01, lambda: None)
    with pytest.raises(agp.Timeout):
        await anext(stream)
    await rpc.close()


async def test_plaintext_to_another_machine_warns() -> None:
    carrier._warned.clear()
    rpc: Rpc[Any] = Rpc(Address("tcp", "192.0.2.1", 1), lambda: None, str, stubs)
    with pytest.warns(UserWarning, match="plaintext"):
        rpc._line()
    await rpc.close()


def test_forks_are_not_supported_by_grpc_here() -> None:
    assert os.environ["GRPC_ENABLE_FORK_SUPPORT"] == "0"
