"""The registry without `await`: the same, in a thread without a loop."""

from collections.abc import Iterator

import pytest
from scripted_registry import ScriptedRegistry

import agpd_client as agp
from agpd._proto import control_pb2 as messages
from agpd_client.blocking import wait

WRITER = "acme/prod/writer"


async def _open() -> ScriptedRegistry:
    return await ScriptedRegistry().open()


@pytest.fixture
def server() -> Iterator[ScriptedRegistry]:
    server = wait(_open())
    yield server
    wait(server.close())


@pytest.fixture
def gateway(server: ScriptedRegistry) -> Iterator[agp.sync.Gateway]:
    with agp.sync.connect("local://registry", control=f"127.0.0.1:{server.port}") as gateway:
        yield gateway


def test_an_agent_is_registered_found_and_removed(gateway: agp.sync.Gateway) -> None:
    registry = gateway.registry
    given = registry.register(WRITER, "eu-1", labels={"region": "eu"}, card={"a": 1}, create=True)
    assert registry.get(WRITER, "eu-1") == given
    assert registry.find(labels={"region": "eu"}, capability="write") == [given]
    with pytest.raises(agp.AlreadyExists):
        registry.register(WRITER, "eu-1", create=True)
    registry.deregister(WRITER, "eu-1")
    assert registry.find() == []
    with pytest.raises(agp.NotFound):
        registry.get(WRITER, "eu-1")


def test_an_onboarded_agent_runs_until_it_is_closed(
    gateway: agp.sync.Gateway, server: ScriptedRegistry
) -> None:
    with gateway.create_agent(WRITER) as agent:
        registration = agent.onboard(identity="eu-1", labels={"region": "eu"})
        assert registration.agent.labels == {"region": "eu"}
        assert (registration.instance.name, registration.error) == (agent.name, None)
        assert list(server.instances) == [agent.name]
        registration.close()
        assert server.instances == {}
        agent.onboard(identity="eu-1")
        assert list(server.instances) == [agent.name]
    assert server.instances == {}


def test_a_watch_tells_and_ends(gateway: agp.sync.Gateway, server: ScriptedRegistry) -> None:
    with gateway.registry.watch(organization="acme") as watch:
        assert server.watchers == 1
        agent = messages.Agent(type=WRITER, identity="eu-1")
        for kind in ("registered", "started"):
            wait(server.events.put(messages.AgentEvent(kind=kind, agent=agent)))
        assert watch.receive(timeout=5).agent.identity == "eu-1"
        assert next(iter(watch)).kind == "started"
        with pytest.raises(agp.Timeout):
            watch.receive(timeout=0)
    assert list(watch) == []
