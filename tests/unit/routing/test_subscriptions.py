"""agpd/routing/subscriptions.py: the trie, the life of entries, presence."""

import itertools
from collections.abc import Iterable

import pytest

from agpd.names import Name, parse
from agpd.routing.connections import Agent
from agpd.routing.subscriptions import InstanceEntry, Presence, Subscriptions, TypeEntry

TYPE = parse("acme/docs/writer")


class Pipe:
    full = False
    hears_itself = True


def a_trie(numbers: Iterable[int] | None = None) -> Subscriptions:
    return Subscriptions(iter(numbers or itertools.count(1)).__next__)


def occupy(trie: Subscriptions, name: Name) -> tuple[InstanceEntry, list[Presence]]:
    entry = trie.instance(name)
    trie.occupy(entry, Agent(name, Pipe(), entry))
    return entry, trie.enlist(entry)


def test_an_entry_is_one_object_with_one_number() -> None:
    trie = a_trie()
    of, one = trie.type(TYPE), trie.instance(TYPE.at("u1"))
    assert trie.type(TYPE) is of
    assert trie.instance(TYPE.at("u1")) is one
    assert one.type is of
    assert trie.entries == {of.number: of, one.number: one}
    assert of.number != one.number


def test_a_number_is_packed_as_it_stands_in_a_frame() -> None:
    assert a_trie([0x01020304]).type(TYPE).packed == b"\x01\x02\x03\x04"


def test_numbers_that_come_round_pass_over_those_in_use() -> None:
    trie = a_trie([7, 7, 8, 7, 8, 9])
    assert trie.type(TYPE).number == 7
    assert trie.instance(TYPE.at("u1")).number == 8
    assert trie.instance(TYPE.at("u2")).number == 9


def test_equal_names_of_two_organizations_share_nothing() -> None:
    trie = a_trie()
    ours, theirs = trie.type(TYPE), trie.type(parse("other/docs/writer"))
    occupy(trie, theirs.name.at("u1"))
    assert ours.members == []
    assert ours.namespace is not theirs.namespace
    assert (ours.tenant, theirs.tenant) == ("acme", "other")


def test_members_are_the_occupied_instances() -> None:
    trie = a_trie()
    entries = [occupy(trie, TYPE.at(f"u{n}"))[0] for n in range(5)]
    trie.instance(TYPE.at("nobody"))
    of = trie.type(TYPE)
    assert of.members == entries
    trie.vacate(entries[1])  # the last one takes its place
    assert of.members == [entries[0], entries[4], entries[2], entries[3]]
    trie.vacate(entries[4])
    assert of.members == [entries[0], entries[3], entries[2]]
    trie.vacate(entries[2])
    trie.vacate(entries[3])
    assert of.members == [entries[0]]
    assert [member.place for member in of.members] == [0]
    assert (entries[1].agent, entries[1].link) == (None, None)


def test_an_occupied_entry_cannot_be_occupied_nor_a_free_one_vacated() -> None:
    trie = a_trie()
    entry, _ = occupy(trie, TYPE.at("u1"))
    with pytest.raises(AssertionError, match="taken"):
        trie.occupy(entry, Agent(entry.name, Pipe(), entry))
    with pytest.raises(AssertionError, match="free"):
        trie.vacate(trie.instance(TYPE.at("u2")))


def test_nothing_is_left_of_what_is_vacated() -> None:
    trie = a_trie()
    entry, _ = occupy(trie, TYPE.at("u1"))
    of = entry.type
    trie.vacate(entry)
    assert (trie.entries, trie.tenants) == ({}, {})
    assert trie.dead == [entry, of]


def test_a_pinned_instance_keeps_its_type_and_revives_as_the_same_entry() -> None:
    trie = a_trie()
    entry, _ = occupy(trie, TYPE.at("u1"))
    entry.pins += 1
    trie.vacate(entry)
    assert trie.dead == []
    assert occupy(trie, TYPE.at("u1"))[0] is entry
    trie.vacate(entry)
    entry.pins -= 1
    trie.release(entry)
    assert len(trie.dead) == 2
    assert trie.tenants == {}


def test_a_pinned_or_watched_type_stays() -> None:
    trie = a_trie()
    entry, _ = occupy(trie, TYPE.at("u1"))
    of = trie.type(TYPE)
    of.pins += 1
    trie.vacate(entry)
    assert trie.dead == [entry]
    of.pins -= 1
    of.watchers[Agent(entry.name, Pipe(), entry)] = None
    trie.release(of)
    assert trie.entries == {of.number: of}
    of.watchers.clear()
    trie.release(of)
    assert trie.entries == {}


def test_a_namespace_stays_while_it_is_used_or_observed() -> None:
    trie = a_trie()
    entry, _ = occupy(trie, TYPE.at("u1"))
    other, _ = occupy(trie, parse("acme/docs/reviewer/u1"))
    namespace = trie.namespace("acme", "docs")
    namespace.observers[Agent(entry.name, Pipe(), entry)] = None
    trie.vacate(entry)
    trie.vacate(other)
    assert trie.tenants["acme"].namespaces == {"docs": namespace}
    namespace.observers.clear()
    trie.release_namespace(namespace)
    assert trie.tenants == {}


def test_a_tenant_stays_while_it_has_another_namespace_or_a_detached_entry() -> None:
    trie = a_trie()
    entry, _ = occupy(trie, TYPE.at("u1"))
    foreign = trie.detached("acme", parse("other/docs/writer"))
    other, _ = occupy(trie, parse("acme/mail/writer/u1"))
    trie.vacate(entry)
    trie.vacate(other)
    assert list(trie.tenants) == ["acme"]
    trie.release(foreign)
    assert trie.tenants == {}
    assert foreign in trie.dead


@pytest.mark.parametrize("text", ["other/docs/writer", "other/docs/writer/u1"])
def test_a_detached_entry_is_in_no_table_of_the_other_tenant(text: str) -> None:
    trie = a_trie()
    entry = trie.detached("acme", parse(text))
    assert trie.detached("acme", parse(text)) is entry
    assert trie.detached("third", parse(text)) is not entry
    assert (entry.tenant, entry.detached) == ("acme", True)
    assert "other" not in trie.tenants
    occupy(trie, parse("other/docs/writer/u1"))
    real = trie.instance(parse(text)) if entry.name.is_instance else trie.type(parse(text))
    assert real is not entry
    assert not real.detached
    if isinstance(entry, TypeEntry):
        assert entry.members == []
        assert entry.namespace not in [n for t in trie.tenants.values() for n in t.namespaces.values()]


def test_watchers_are_told_except_whom_it_is_about() -> None:
    trie = a_trie()
    watcher_entry, _ = occupy(trie, TYPE.at("w"))
    watcher = watcher_entry.agent
    assert watcher is not None
    trie.type(TYPE).watchers[watcher] = None
    entry, told = occupy(trie, TYPE.at("u1"))
    assert told == [Presence(watcher.link, watcher, TYPE.at("u1"), True)]
    assert trie.vacate(entry) == [Presence(watcher.link, watcher, TYPE.at("u1"), False)]
    assert trie.vacate(watcher_entry) == []


def test_the_version_grows_with_members_observers_and_routes() -> None:
    trie = a_trie()
    of = trie.type(TYPE)
    seen = [of.version]
    entry, _ = occupy(trie, TYPE.at("u1"))
    seen.append(of.version)
    of.namespace.changes += 1
    seen.append(of.version)
    of.home.changes += 1
    seen.append(of.version)
    entry.pins += 1
    trie.vacate(entry)
    seen.append(of.version)
    assert seen == sorted(set(seen))


def test_an_entry_prints_what_it_is() -> None:
    assert (
        repr(a_trie().detached("acme", parse("other/docs/writer")))
        == "<TypeEntry 1 other/docs/writer of acme>"
    )
