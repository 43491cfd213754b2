"""agpd/wire/hashes.py: the hashes of real clients, and what is kept of a peer's texts."""

import json
from pathlib import Path

import pytest

from agpd.wire import hashes
from agpd.wire.hashes import Family

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "hashes.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["components"], ids=lambda vector: vector["text"] or "empty")
def test_components_hash_as_in_the_clients(vector):
    assert hashes.siphash(vector["text"]) == vector["siphash"]
    assert hashes.component(Family.SIPHASH, vector["text"]) == vector["siphash"]
    if "xxhash" in vector:
        assert hashes.xxhash64(vector["text"]) == vector["xxhash"]
        assert hashes.component(Family.XXHASH, vector["text"]) == vector["xxhash"]


@pytest.mark.parametrize("vector", VECTORS["raw_siphash"])
def test_siphash_1_3_of_bytes(vector):
    assert f"{hashes.raw_siphash(bytes.fromhex(vector['bytes'])):016x}" == vector["siphash"]


@pytest.mark.parametrize("vector", VECTORS["topic_sessions"])
def test_the_session_of_a_topic_follows_from_its_name(vector):
    names = tuple(vector["name"])
    assert hashes.topic_session(hashes.triple(Family.SIPHASH, names)) == vector["session_id"]


@pytest.mark.parametrize("family", Family)
def test_names_tell_by_which_function_they_were_hashed(family):
    names = ("org", "", "Ünïcode")
    assert hashes.family_of(names, hashes.triple(family, names)) is family


def test_names_that_are_hashed_by_both_or_neither_are_of_no_family():
    one, other = (hashes.triple(family, ("org", "ns", "chat")) for family in Family)
    assert hashes.family_of(("org", "ns", "chat"), (*one[:2], other[2])) is None
    assert hashes.family_of(("org", "ns", "chats"), one) is None


def test_long_texts_of_a_peer_are_not_kept():
    kept = hashes._siphash.cache_info().currsize, hashes._xxhash.cache_info().currsize
    text = "long" * 1000
    assert hashes.siphash(text) != hashes.xxhash64(text)
    assert (hashes._siphash.cache_info().currsize, hashes._xxhash.cache_info().currsize) == kept
