"""What the registry tells is immutable and says whether it runs."""

import pytest

from agpd_client.registered import RegisteredAgent, RegisteredInstance


def test_an_agent_with_an_instance_is_live() -> None:
    instance = RegisteredInstance(name="acme/prod/writer/1", since=1.0, expires=2.0)
    agent = RegisteredAgent(type="acme/prod/writer", identity="eu-1", instances=(instance,))
    assert agent.is_live
    assert not RegisteredAgent(type="acme/prod/writer", identity="eu-1").is_live


def test_it_cannot_be_changed() -> None:
    agent = RegisteredAgent(type="acme/prod/writer", identity="eu-1")
    with pytest.raises(AttributeError):
        agent.identity = "eu-2"  # type: ignore[misc]
