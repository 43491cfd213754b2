"""Every method over mutual TLS, and how refusals look."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from scenarios.control_world import ControlWorld

from agpd._proto import control_pb2 as pb
from agpd._proto import control_pb2_grpc as stubs
from agpd.api.control_grpc import METHODS, STREAMS, TOKENS

GRANT = pb.Grant(id="acme.g", tenant="acme", subject="globex/*", verb="publish", object="acme/prod/writer")
ROUTE = pb.Route(id="acme.r", tenant="acme", pattern="acme/prod/*", via="acme/prod/writer")
ISSUER = pb.Issuer(
    id="acme.idp",
    tenant="acme",
    issuer="https://idp.example",
    jwks_uri="https://idp.example/certs",
    audience="agpd",
    subject="acme/prod/{azp}",
)


@pytest.fixture
async def channel(world: ControlWorld) -> AsyncIterator[grpc.aio.Channel]:
    async with world.channel(world.issue("*")) as channel:
        await stubs.NamespacesStub(channel).Put(put("Namespace", pb.Namespace(name="acme/prod")))
        await stubs.TypesStub(channel).Put(put("AgentType", pb.AgentType(name="acme/prod/writer")))
        yield channel


def shown(world: ControlWorld) -> str:
    """The gateway's certificate."""
    host, _, port = world.grpc_address.partition(":")
    return ssl.get_server_certificate((host, int(port)), ca_certs=str(world.directory / "ca.pem"))


def put(kind: str, resource: Any, *, create: bool = False) -> Any:
    return getattr(pb, f"Put{kind}Request")(resource=resource, create=create)


async def refused(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """Status, and name and number of the code."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailing = dict(iter(caught.value.trailing_metadata() or ()))
    return caught.value.code(), trailing["agpd-code-name"], trailing["agpd-code"]


def test_every_method_of_the_proto_file_is_served_and_no_other() -> None:
    described = {
        f"{service.name}/{method.name}"
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert described == METHODS.keys() | STREAMS.keys() | TOKENS.keys()


@pytest.mark.parametrize(
    ("service", "kind", "scope", "key", "resource"),
    [
        ("Tenants", "Tenant", "", "initech", pb.Tenant(name="initech", quotas=pb.Quotas(agents=5))),
        ("Namespaces", "Namespace", "acme", "acme/test", pb.Namespace(name="acme/test")),
        (
            "Types",
            "AgentType",
            "acme/prod",
            "acme/prod/a",
            pb.AgentType(name="acme/prod/a", labels={"k": "v"}),
        ),
        ("Clients", "Client", "acme", "acme.bot", pb.Client(id="acme.bot", tenant="acme", agent="acme/*")),
        ("Grants", "Grant", "acme", "acme.g", GRANT),
        ("Routes", "Route", "acme", "acme.r", ROUTE),
        ("Issuers", "Issuer", "acme", "acme.idp", ISSUER),
    ],
)
async def test_resources_are_made_read_listed_and_deleted(
    channel: grpc.aio.Channel, service: str, kind: str, scope: str, key: str, resource: Any
) -> None:
    stub = getattr(stubs, f"{service}Stub")(channel)
    made = await stub.Put(put(kind, resource, create=True))
    assert await refused(stub.Put(put(kind, resource, create=True))) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "ALREADY_EXISTS",
        "111",
    )
    assert await stub.Get(pb.Key(key=key)) == made
    listed = await stub.List(pb.ListRequest(scope=scope))
    assert made in listed.items
    first = await stub.List(pb.ListRequest(scope=scope, limit=1))
    assert len(first.items) == 1
    await stub.Delete(pb.Key(key=key))
    assert (await refused(stub.Get(pb.Key(key=key))))[1] == "NOT_FOUND"


async def test_an_agent_registers_runs_is_found_and_leaves(channel: grpc.aio.Channel) -> None:
    registry, discovery = stubs.RegistryStub(channel), stubs.DiscoveryStub(channel)
    watch = discovery.Watch(pb.Query(organization="acme"))
    await watch.initial_metadata()
    agent = pb.Agent(type="acme/prod/writer", identity="eu-1", labels={"region": "eu"}, card='{"a":[1,2.5]}')
    made = await registry.Register(pb.RegisterRequest(agent=agent, create=True))
    assert made.card == agent.card
    where = {"type": "acme/prod/writer", "identity": "eu-1"}
    name = "acme/prod/writer/i1"
    started = await registry.Start(pb.StartRequest(**where, instance=name))
    assert started.expires > started.since
    assert (await registry.Heartbeat(pb.InstanceKey(instance=name))).name == name
    query = pb.Query(labels={"region": "eu"}, live=True)
    found = await discovery.Find(pb.FindRequest(query=query, limit=5))
    assert [one.identity for one in found.items] == ["eu-1"]
    assert [one.name for one in (await discovery.Get(pb.AgentKey(**where))).instances] == [name]
    await registry.Stop(pb.InstanceKey(instance=name))
    await registry.Deregister(pb.AgentKey(**where))
    assert [(await watch.read()).kind for _ in range(4)] == [
        "registered",
        "started",
        "stopped",
        "deregistered",
    ]
    watch.cancel()
    assert (await refused(discovery.Get(pb.AgentKey(**where))))[1] == "NOT_FOUND"


async def test_clients_get_tokens_bound_to_their_certificate(
    world: ControlWorld, channel: grpc.aio.Channel
) -> None:
    clients, pair = stubs.ClientsStub(channel), world.issue("acme/*")
    await clients.Put(put("Client", pb.Client(id="acme.bot", tenant="acme", agent="acme/*")))
    secret = await clients.AddSecret(pb.AddSecretRequest(client="acme.bot"))
    who = {"tenant": "acme", "client_id": "acme.bot", "client_secret": secret.secret}
    async with world.channel(pair) as own:
        tokens = stubs.TokensStub(own)
        token = await tokens.Issue(pb.IssueRequest(**who, scope="agp:publish:acme/*"))
        assert (token.token_type, token.scope, token.expires_in) == ("Bearer", "agp:publish:acme/*", 600)
        seen = await tokens.Introspect(pb.TokenRequest(**who, token=token.access_token))
        assert seen.active
        assert '"client_id":"acme.bot"' in seen.claims
        header = (("authorization", f"Bearer {token.access_token}"),)
        await stubs.TenantsStub(own).Get(pb.Key(key="acme"), metadata=header)
        stolen = stubs.TenantsStub(channel).Get(pb.Key(key="acme"), metadata=header)
        assert (await refused(stolen))[:2] == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN")
        await tokens.Revoke(pb.TokenRequest(**who, token=token.access_token))
        call = stubs.TenantsStub(own).Get(pb.Key(key="acme"), metadata=header)
        assert (await refused(call))[1] == "INVALID_TOKEN"
        await clients.RevokeSecret(pb.RevokeSecretRequest(client="acme.bot", secret=secret.id))
        assert (await refused(tokens.Issue(pb.IssueRequest(**who))))[1] == "INVALID_TOKEN"


async def test_verdicts_keys_and_the_audit_log(channel: grpc.aio.Channel) -> None:
    question = pb.CanRequest(subject="acme/prod/a", verb="publish", object="acme/prod/b")
    verdict = await stubs.GrantsStub(channel).Can(question)
    assert verdict.allowed
    keys = stubs.KeysStub(channel)
    rotated = await keys.Rotate(pb.RotateRequest(tenant="acme"))
    assert rotated in (await keys.List(pb.ListRequest(scope="acme"))).items
    assert await keys.Get(pb.Key(key=rotated.id)) == rotated
    audit = stubs.AuditStub(channel)
    events = [event async for event in audit.Events(pb.EventsRequest(tenant="acme"))]
    assert [event.action for event in events[:2]] == ["tenant.create", "namespace.create"]
    report = await audit.Verify(pb.Empty())
    assert (report.intact, report.broken) == (True, 0)
    assert report.sequence >= events[-1].sequence


async def test_what_is_wrong_is_refused_with_the_field(channel: grpc.aio.Channel) -> None:
    tenants = stubs.TenantsStub(channel)
    for name in ("a" * 300, "a\0b", "", "A"):
        status, *_ = await refused(tenants.Put(put("Tenant", pb.Tenant(name=name))))
        assert status is grpc.StatusCode.INVALID_ARGUMENT
    call = stubs.GrantsStub(channel).Can(pb.CanRequest(subject="a/b/c", verb="eat", object="a/b/c"))
    assert (await refused(call))[1] == "INVALID_REQUEST"


async def test_a_request_that_is_too_long_is_refused(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.TenantsStub(channel).Put(put("Tenant", pb.Tenant(name="a", title="a" * 2**21)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_agent_may_only_what_its_certificate_covers(
    world: ControlWorld, channel: grpc.aio.Channel
) -> None:
    async with world.channel(world.issue("acme/prod/reader")) as own:
        agent = pb.Agent(type="acme/prod/writer", identity="eu-1")
        call = stubs.RegistryStub(own).Register(pb.RegisterRequest(agent=agent))
        assert (await refused(call))[:2] == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED")
        assert (await refused(stubs.TenantsStub(own).Get(pb.Key(key="globex"))))[1] == "NOT_FOUND"
        assert (await stubs.TenantsStub(own).Get(pb.Key(key="acme"))).name == "acme"


async def test_without_a_certificate_nobody_gets_in_and_a_revoked_one_neither(world: ControlWorld) -> None:
    pair = world.issue("acme/*")
    async with world.channel(pair) as own:
        await stubs.TenantsStub(own).Get(pb.Key(key="acme"))
        assert world.authority is not None
        world.authority.revoke(pair.serial, world.gateway._wall_clock())
        world.gateway.reload()
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # cut, and not let in again
            await stubs.TenantsStub(own).Get(pb.Key(key="acme"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    async with world.channel(None) as channel:
        status, code, _ = await refused(stubs.TenantsStub(channel).Get(pb.Key(key="acme")))
    assert (status, code) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN")


async def test_a_token_alone_is_enough(world: ControlWorld) -> None:
    token = await world.token("acme", await world.client("acme.bot", "acme", "acme/*"))
    async with world.channel(None) as channel:
        metadata = (("authorization", f"Bearer {token}"),)
        assert (await stubs.TenantsStub(channel).Get(pb.Key(key="acme"), metadata=metadata)).name == "acme"
        wrong = (("authorization", f"Bearer {token}x"),)
        status, *_ = await refused(stubs.TenantsStub(channel).Get(pb.Key(key="acme"), metadata=wrong))
        assert status is grpc.StatusCode.UNAUTHENTICATED


async def test_what_is_no_message_is_refused(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary("/agpd.control.v1.Tenants/Get")(b"\xff\xff")
    assert (await refused(call))[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_one_token_only_is_taken(channel: grpc.aio.Channel) -> None:
    twice = (("authorization", "Bearer a"), ("authorization", "Bearer b"))
    with pytest.raises(grpc.aio.AioRpcError, match="more than one") as caught:
        await stubs.TenantsStub(channel).Get(pb.Key(key="acme"), metadata=twice)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_watch_ends_when_its_certificate_is_revoked_or_its_tenant_suspended(
    world: ControlWorld, channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "agpd.api")
    acme, globex = world.issue("acme/*"), world.issue("globex/*")
    async with world.channel(acme) as one, world.channel(globex) as other:
        first, second = (stubs.DiscoveryStub(each).Watch(pb.Query()) for each in (one, other))
        await first.initial_metadata()
        await second.initial_metadata()
        assert world.authority is not None
        world.authority.revoke(acme.serial, world.gateway._wall_clock())
        world.gateway.reload()
        assert (await refused(first.read()))[:2] == (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_REVOKED")
        await refused(stubs.AuditStub(other).Verify(pb.Empty()))
        await world.tenant("globex", suspended=True)
        assert [event async for event in second] == []
    (record,) = (one for one in caplog.records if one.getMessage() == "not permitted")
    assert record.fields["operation"] == "Audit/Verify"  # type: ignore[attr-defined]


async def test_a_new_certificate_of_the_gateway_is_shown_without_a_restart(world: ControlWorld) -> None:
    assert world.authority is not None
    before = await asyncio.to_thread(shown, world)
    world.authority.issue_gateway(
        ["localhost", "127.0.0.1"], world.directory / "gateway", world.gateway._wall_clock()
    )
    world.gateway.reload()
    assert await asyncio.to_thread(shown, world) != before
    async with world.channel(world.issue("acme/*")) as own:
        await stubs.TenantsStub(own).Get(pb.Key(key="acme"))


async def test_a_watch_ends_when_the_gateway_does(world: ControlWorld, channel: grpc.aio.Channel) -> None:
    watch = stubs.DiscoveryStub(channel).Watch(pb.Query())
    await watch.initial_metadata()
    assert world.gateway.plane is not None
    world.gateway.plane.drain()
    assert [event async for event in watch] == []
