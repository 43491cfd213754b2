"""Finding, registering and watching over real gRPC: what is asked, what comes back, how it ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from scripted_registry import ScriptedRegistry

import agpd_client as agp
from agpd._proto import control_pb2 as messages
from agpd.errors import Code
from agpd_client.registry import EVENTS_LIMIT, Registry
from agpd_client.transports.address import Address

WRITER = "acme/prod/writer"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as server:
        yield server


@pytest.fixture
async def registry(server: ScriptedRegistry) -> AsyncIterator[Registry]:
    registry = Registry(Address("tcp", "127.0.0.1", server.port), lambda: None, str)
    yield registry
    await registry.close()


def event(kind: str, number: int = 1) -> messages.AgentEvent:
    return messages.AgentEvent(kind=kind, agent=messages.Agent(type=WRITER, identity=f"eu-{number}"))


async def test_what_is_registered_comes_back_whole(registry: Registry) -> None:
    given = await registry.register(
        WRITER,
        "eu-1",
        description="writes",
        labels={"region": "eu"},
        capabilities=["write", "read"],
        card={"name": "Writer", "skills": [{"id": "w"}]},
        public_keys={"sign": "AAAA"},
    )
    assert given == agp.RegisteredAgent(
        type=WRITER,
        identity="eu-1",
        description="writes",
        labels={"region": "eu"},
        capabilities=("write", "read"),
        card={"name": "Writer", "skills": [{"id": "w"}]},
        public_keys={"sign": "AAAA"},
        created=1000.0,
        updated=1000.0,
    )
    assert await registry.get(WRITER, "eu-1") == given
    assert not given.is_live


async def test_without_a_card_there_is_none(registry: Registry) -> None:
    assert (await registry.register(WRITER, "eu-1")).card is None


async def test_creating_what_is_there_and_getting_what_is_not(registry: Registry) -> None:
    await registry.register(WRITER, "eu-1", create=True)
    with pytest.raises(agp.AlreadyExists):
        await registry.register(WRITER, "eu-1", create=True)
    await registry.register(WRITER, "eu-1")
    await registry.deregister(WRITER, "eu-1")
    with pytest.raises(agp.NotFound) as caught:
        await registry.get(WRITER, "eu-1")
    assert caught.value.code is Code.NOT_FOUND
    with pytest.raises(agp.NotFound):
        await registry.deregister(WRITER, "eu-1")


async def test_every_page_is_read(server: ScriptedRegistry, registry: Registry) -> None:
    for number in range(5):
        await registry.register(WRITER, f"eu-{number}")
    server.calls.clear()
    identities = [agent.identity async for agent in registry.find()]
    assert identities == ["eu-0", "eu-1", "eu-2", "eu-3", "eu-4"]
    assert server.calls == ["Find"] * 3
    assert [agent.identity for agent in await registry.find()] == identities


async def test_the_first_costs_one_page_of_one(server: ScriptedRegistry, registry: Registry) -> None:
    assert await registry.find().first() is None
    for number in range(3):
        await registry.register(WRITER, f"eu-{number}")
    server.calls.clear()
    first = await registry.find().first()
    assert first is not None
    assert first.identity == "eu-0"
    assert (server.calls, server.asked[-1].limit) == (["Find"], 1)


async def test_what_is_looked_for_is_asked(server: ScriptedRegistry, registry: Registry) -> None:
    await registry.find(
        organization="acme",
        namespace="prod",
        type="writer",
        labels={"region": "eu"},
        capability="write",
        live=True,
        text="long words",
    )
    assert server.asked[-1].query == messages.Query(
        organization="acme",
        namespace="prod",
        type="writer",
        labels={"region": "eu"},
        capabilities=["write"],
        live=True,
        text="long words",
    )
    await registry.find(capability=["write", "read"])
    assert list(server.asked[-1].query.capabilities) == ["write", "read"]


async def test_instances_start_beat_and_stop(server: ScriptedRegistry, registry: Registry) -> None:
    await registry.register(WRITER, "eu-1")
    started = await registry.start(WRITER, "eu-1", f"{WRITER}/1")
    assert (started.name, started.since, started.expires) == (f"{WRITER}/1", 1000.0, 1060.0)
    assert (await registry.heartbeat(f"{WRITER}/1")).expires == 1080.0
    await registry.stop(f"{WRITER}/1")
    assert server.instances == {}
    with pytest.raises(agp.NotFound):
        await registry.heartbeat(f"{WRITER}/1")


async def test_a_watch_has_begun_when_it_is_entered(server: ScriptedRegistry, registry: Registry) -> None:
    async with registry.watch(labels={"region": "eu"}) as watch:
        assert server.watchers == 1
        assert dict(server.asked[-1].labels) == {"region": "eu"}
        server.events.put_nowait(event("registered"))
        server.events.put_nowait(event("stopped"))
        first = await watch.receive(timeout=5)
        assert (first.kind, first.agent.identity) == ("registered", "eu-1")
        async for second in watch:
            assert second.kind == "stopped"
            await watch.close()
    with pytest.raises(agp.Closed):
        await watch.receive()


async def test_iteration_begins_a_watch_and_a_timeout_costs_no_event(
    server: ScriptedRegistry, registry: Registry
) -> None:
    watch = registry.watch()
    with pytest.raises(agp.Timeout):
        await watch.receive(timeout=0)
    server.events.put_nowait(event("changed"))
    async for seen in watch:
        assert seen.kind == "changed"
        break
    await watch.close()


async def test_a_refused_watch_says_so_when_it_is_entered(
    server: ScriptedRegistry, registry: Registry
) -> None:
    server.failures.append(Code.TOO_MANY_WATCHES)
    with pytest.raises(agp.LimitReached):
        await registry.watch().open()
    assert registry.owned == set()


async def test_a_watch_that_was_too_slow_ends_with_the_reason_after_what_was_told(
    server: ScriptedRegistry, registry: Registry
) -> None:
    async with registry.watch() as watch:
        server.events.put_nowait(event("registered"))
        server.events.put_nowait(Code.RECEIVER_FULL)
        assert (await watch.receive(timeout=5)).kind == "registered"
        with pytest.raises(agp.ReceiverFull):
            await watch.receive(timeout=5)


async def test_the_end_of_the_server_ends_a_watch_and_not_silently(
    server: ScriptedRegistry, registry: Registry
) -> None:
    async with registry.watch() as watch:
        server.events.put_nowait(None)
        with pytest.raises(agp.Closed) as caught:
            async for _ in watch:
                pass
    assert caught.value.code is Code.SHUTTING_DOWN


async def test_a_reader_that_does_not_take_is_not_read_for(
    server: ScriptedRegistry, registry: Registry
) -> None:
    async with registry.watch() as watch:
        for number in range(EVENTS_LIMIT + 100):
            server.events.put_nowait(event("changed", number))
        while len(watch._events.items) < EVENTS_LIMIT:
            await asyncio.sleep(0)
        for _ in range(20):  # time enough to read more
            await registry.find()
        assert len(watch._events.items) == EVENTS_LIMIT
        seen = [(await watch.receive(timeout=5)).agent.identity for _ in range(EVENTS_LIMIT + 100)]
    assert seen == [f"eu-{number}" for number in range(EVENTS_LIMIT + 100)]


async def test_closing_the_registry_ends_its_watches(server: ScriptedRegistry, registry: Registry) -> None:
    watch = registry.watch()
    await watch.open()
    await registry.close()
    with pytest.raises(agp.Closed):
        await watch.receive()
    with pytest.raises(agp.Closed):
        await registry.get(WRITER, "eu-1")


async def test_cancelling_the_entry_of_a_watch_leaves_none(
    server: ScriptedRegistry, registry: Registry
) -> None:
    server.held = asyncio.Event()
    entering = asyncio.ensure_future(registry.watch().open())
    while not server.calls:
        await asyncio.sleep(0)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert registry.owned == set()
