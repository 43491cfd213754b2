"""Structs become messages and come back as they were, in both directions of every field."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agpd._proto import control_pb2 as pb
from agpd.api.messages import to_message, to_struct
from agpd.control import resources
from agpd.errors import Code, Refused

KINDS = (
    "Tenant",
    "Namespace",
    "AgentType",
    "Agent",
    "Instance",
    "Client",
    "Secret",
    "Grant",
    "Route",
    "Issuer",
    "SigningKey",
    "AuditEvent",
    "Query",
    "AgentEvent",
    "Verdict",
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
keys = st.text("abc", min_size=1, max_size=5)
AGENTS = st.builds(
    resources.Agent,
    type=texts.filter(bool),
    identity=texts.filter(bool),
    description=texts,
    labels=st.dictionaries(keys, texts, max_size=3),
    capabilities=st.lists(keys, max_size=3),
    card=st.none()
    | st.dictionaries(keys, st.integers(-(2**53), 2**53) | texts | st.none(), min_size=1, max_size=3),
    public_keys=st.dictionaries(keys, texts, max_size=2),
    created=st.floats(0, 2**40),
    instances=st.lists(
        st.builds(resources.Instance, name=texts.filter(bool), since=st.floats(0, 9)), max_size=2
    ),
)


@pytest.mark.parametrize("kind", KINDS)
def test_struct_and_message_have_the_same_fields(kind: str) -> None:
    struct = {field.name for field in msgspec.structs.fields(getattr(resources, kind))}
    assert struct == {field.name for field in getattr(pb, kind).DESCRIPTOR.fields}


@given(AGENTS)
def test_an_agent_comes_back_as_it_was(agent: resources.Agent) -> None:
    data = to_message(agent, pb.Agent).SerializeToString()
    assert to_struct(pb.Agent.FromString(data), resources.Agent) == agent


def test_nested_messages_come_back() -> None:
    tenant = resources.Tenant(name="acme", quotas=resources.Quotas(agents=5, bytes_per_second=2**40))
    assert to_struct(to_message(tenant, pb.Tenant), resources.Tenant) == tenant
    rule = resources.Rule(source="acme", effect="allow", text="x")
    verdict = resources.Verdict(allowed=True, subject="a/b/c", verb="publish", object="d/e/f", rules=[rule])
    assert to_struct(to_message(verdict, pb.Verdict), resources.Verdict) == verdict


def test_what_is_not_set_takes_the_default_of_the_struct() -> None:
    message = pb.Grant(tenant="acme", subject="a/*", verb="publish", object="b/*")
    assert to_struct(message, resources.Grant).effect == "allow"
    issuer = pb.Issuer(tenant="a", issuer="i", jwks_uri="j", audience="k", subject="s")
    assert to_struct(issuer, resources.Issuer).algorithms == ["RS256", "ES256", "Ed25519"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (pb.Agent(type="t", identity="i", card="{"), "no JSON"),
        (pb.Agent(type="t", identity="i", card='{"a": 1, "a": 2}'), "twice"),
        (pb.Agent(type="t", identity="i", card="[1]"), "card"),
        (pb.Agent(type="t", identity="i", description="a\0b"), "description"),
        (pb.Agent(type="t", identity="i", labels={"k": "a\0b"}), "labels"),
        (pb.Agent(type="t", identity="i", capabilities=["a\0"]), "capabilities"),
        (pb.Agent(identity="i"), "type"),
        (pb.Agent(type="t" * 300, identity="i"), "type"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_field(message: pb.Agent, words: str) -> None:
    with pytest.raises(Refused, match=words) as caught:
        to_struct(message, resources.Agent)
    assert caught.value.code is Code.INVALID_REQUEST
