"""agpd/gateway/instance_ids.py: ids of instances are stable, their own, and resolvable while they are held."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agpd.errors import Code, Refused
from agpd.gateway.instance_ids import ANY_ID, InstanceIds, instance_segment
from agpd.names import Name, parse
from agpd.wire.hashes import siphash

TYPE = parse("acme/dev/clerk")
UUID = "0af76519-16cd-43dd-8448-eb211c80319c"
NATIVE = TYPE.at(UUID)
FIRST_HALF = 0x0AF7651916CD43DD


def code_of(act, *arguments):
    with pytest.raises(Refused) as caught:
        act(*arguments)
    return caught.value.code


def test_an_agp_agent_keeps_its_number():
    ids = InstanceIds()
    name = TYPE.at(instance_segment(5))
    assert name == parse("acme/dev/clerk/agp-0000000000000005")
    assert ids.hold(name) == 5
    assert ids.instance_of(TYPE, 5) == name.instance


def test_a_native_agent_has_the_first_half_of_its_uuid():
    ids = InstanceIds()
    assert ids.hold(NATIVE) == FIRST_HALF == ids.id_of(NATIVE)
    assert ids.instance_of(TYPE, FIRST_HALF) == UUID


def test_any_other_instance_has_the_hash_of_its_text():
    ids = InstanceIds()
    assert ids.id_of(TYPE.at("main")) == siphash("main")
    assert ids.instance_of(TYPE, siphash("main")) == "main"


def test_an_id_that_nobody_is_known_by_is_that_of_an_agp_agent():
    assert InstanceIds().instance_of(TYPE, 7) == "agp-0000000000000007"
    assert InstanceIds().instance_of(TYPE, ANY_ID) is None


@pytest.mark.parametrize("instance", ["f" * 16, "agp-" + "f" * 16, "ffffffff-ffff-ffff-8448-eb211c80319c"])
def test_nobody_has_the_id_that_means_any(instance):
    assert InstanceIds().hold(TYPE.at(instance)) == siphash(instance)


def test_two_instances_of_a_type_never_share_an_id():
    ids = InstanceIds()
    twin = TYPE.at(UUID[:19] + "0000-000000000000")
    assert ids.hold(NATIVE) != ids.hold(twin)
    assert ids.instance_of(TYPE, ids.id_of(twin)) == twin.instance
    assert ids.id_of(parse("acme/dev/other").at(UUID)) == FIRST_HALF


def test_an_agp_agent_with_the_id_of_another_instance_is_refused_while_that_is_there():
    ids = InstanceIds()
    ids.hold(NATIVE)
    agp = TYPE.at(instance_segment(FIRST_HALF))
    assert code_of(ids.hold, agp) is Code.NAME_TAKEN
    ids.release(NATIVE)
    assert ids.hold(agp) == FIRST_HALF
    assert ids.instance_of(TYPE, FIRST_HALF) == agp.instance
    assert ids.hold(NATIVE) == siphash(UUID)


def test_an_id_outlives_its_holders_until_room_is_needed():
    ids = InstanceIds(limit=2)
    twin = TYPE.at(UUID[:19] + "0000-000000000000")
    ids.hold(NATIVE)
    second = ids.hold(twin)
    ids.release(NATIVE)
    ids.release(twin)
    assert ids.hold(twin) == second
    ids.hold(TYPE.at("main"))
    assert len(ids) == 2
    assert ids.instance_of(TYPE, FIRST_HALF) == instance_segment(FIRST_HALF)
    assert code_of(ids.hold, TYPE.at("more")) is Code.QUOTA_EXCEEDED
    assert code_of(ids.id_of, TYPE.at("more")) is Code.QUOTA_EXCEEDED
    assert ids.hold(parse("umbrella/dev/clerk/main")) == siphash("main")


def test_a_holder_for_each_hold():
    ids = InstanceIds(limit=1)
    ids.hold(NATIVE)
    ids.hold(NATIVE)
    ids.release(NATIVE)
    assert code_of(ids.hold, TYPE.at("main")) is Code.QUOTA_EXCEEDED
    ids.release(NATIVE)
    ids.hold(TYPE.at("main"))


INSTANCES = st.one_of(
    st.sampled_from(
        [
            "main",
            "f" * 16,
            "agp-" + "f" * 16,
            UUID,
            UUID[:19] + "0000-000000000000",
            instance_segment(FIRST_HALF),
        ]
    ),
    st.uuids().map(str),
    st.integers(0, 2**64 - 2).map(instance_segment),
)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), INSTANCES), max_size=30))
def test_what_is_held_is_stable_distinct_and_resolvable(steps):
    ids, held = InstanceIds(limit=5), {}
    for holding, kind, instance in steps:
        name = Name("acme", "dev", kind, instance)
        if holding:
            try:
                id_ = ids.hold(name)
            except Refused as refused:
                if refused.code not in (Code.NAME_TAKEN, Code.QUOTA_EXCEEDED):
                    raise
                continue
            before, count = held.get(name, (id_, 0))
            assert before == id_
            held[name] = (id_, count + 1)
        elif name in held:
            ids.release(name)
            id_, count = held.pop(name)
            if count > 1:
                held[name] = (id_, count - 1)
        assert len(ids) <= 5
        assert len({(name.type, id_) for name, (id_, _) in held.items()}) == len(held)
        for name, (id_, _) in held.items():
            assert id_ == ids.id_of(name) != ANY_ID
            assert ids.instance_of(name.type_name, id_) == name.instance


def test_the_uuid_of_the_sdk_has_the_form_that_is_read():
    made = uuid.uuid4()
    assert InstanceIds().id_of(TYPE.at(str(made))) == made.int >> 64
