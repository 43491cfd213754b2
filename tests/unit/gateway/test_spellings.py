"""agpd/gateway/spellings.py: who hears that a text has become known for a hash."""

import itertools
from collections.abc import Iterator

import pytest
from scenarios.harness import World

from agpd.control.policy import Policy, Statement
from agpd.errors import Refused
from agpd.gateway.directory import Directory
from agpd.gateway.spellings import Spellings
from agpd.wire.hashes import Family, Hashes, triple

CHAT = triple(Family.SIPHASH, ("acme", "lab", "chat"))


class Session:
    def __init__(self, *uses: Hashes) -> None:
        self.used = uses
        self.heard = 0

    def hashes(self) -> Iterator[int]:
        return itertools.chain.from_iterable(self.used)

    def respelled(self) -> None:
        self.heard += 1


def a_world() -> tuple[World, Spellings]:
    world = World()
    spellings = Spellings(world.hub.router)
    world.hub.types_changed = spellings.types_changed
    return world, spellings


def test_whoever_spells_a_hash_hears_of_its_text_once() -> None:
    world, spellings = a_world()
    session, other = Session(CHAT), Session()
    assert str(spellings.spell(CHAT, session)).startswith("h-")
    spellings.spell(triple(Family.SIPHASH, ("acme", "x", "y")), other)
    agent = world.agent("acme/lab/a/1")
    agent.open("acme/lab/chat")
    assert str(spellings.spell(CHAT, session)) == "acme/lab/chat"
    assert session.heard >= 1
    assert other.heard == 1  # for its organization, which it shares
    heard = session.heard
    world.agent("acme/lab/b/1").open("acme/lab/chat")
    assert session.heard == heard


def test_who_has_left_hears_nothing() -> None:
    world, spellings = a_world()
    session = Session(CHAT)
    spellings.spell(CHAT, session)
    spellings.leave(session)
    world.agent("acme/lab/chat/1")
    assert session.heard == 0


def test_texts_of_clients_are_known_until_they_are_taken_back() -> None:
    _, spellings = a_world()
    session = Session(CHAT)
    spellings.spell(CHAT, session)
    spellings.tell(("acme", "lab", "chat"))
    assert str(spellings.spell(CHAT, session)) == "acme/lab/chat"
    assert session.heard == 1
    spellings.untell(("acme", "lab", "chat"))


def test_types_that_go_out_of_use_are_told_as_often_as_they_came() -> None:
    world, spellings = a_world()
    for _ in range(3):
        agent = world.agent("acme/lab/chat/1")
        assert spellings._told
        agent.unregister()
        world.agent("acme/other/x/1").unregister()  # something else has to be asked for meanwhile
        spellings.types_changed()
        assert not spellings._told


def test_names_that_the_policy_speaks_of_are_known_as_long_as_it_does() -> None:
    _, spellings = a_world()
    session = Session(CHAT)
    spellings.spell(CHAT, session)
    rule = Statement("acme", ("acme",), "publish", ("acme", "lab", "chat"), allow=False)
    spellings.policy_changed(Policy.compiled([rule]))
    assert str(spellings.spell(CHAT, session)) == "acme/lab/chat"
    heard = session.heard
    assert heard >= 1
    spellings.policy_changed(Policy.compiled([rule, Statement("acme", ("acme",), "watch", ())]))
    assert session.heard == heard
    spellings.policy_changed(Policy.compiled())
    assert not spellings._ruled


def test_what_is_kept_of_hashes_without_text_is_bounded_by_what_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client can write to as many names as it likes."""
    monkeypatch.setattr("agpd.gateway.spellings.NAMELESS_PER_SPELLER", 30)
    _, spellings = a_world()
    session = Session(*((number, number + 1, number + 2) for number in range(0, 45, 3)))
    for used in session.used:
        spellings.spell(used, session)
    for number in range(100, 1000):
        spellings.spell((number, number, number), session)
    kept = spellings._nameless[session].hashes
    assert set(session.hashes()) <= kept
    assert len(kept) <= 2 * 45
    assert set(spellings._spellers) == kept
    spellings.leave(session)
    spellings.leave(session)
    assert not spellings._spellers
    assert not spellings._nameless


def test_texts_that_are_vouched_for_find_room_whatever_clients_have_told() -> None:
    _, spellings = a_world()
    spellings.directory = Directory(texts_limit=3)
    spellings.tell(("acme", "lab", "chat"))
    with pytest.raises(Refused):
        spellings.tell(("globex", "lab", "news"))
    spellings.tell(("globex", "lab", "news"), ours=True)
    spellings.untell(("globex", "lab", "news"), ours=True)


def test_a_text_with_the_hash_of_another_stays_unknown_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With XXH64 such texts can be made."""
    world, spellings = a_world()
    spellings.directory = Directory(component=lambda family, text: len(text))
    world.agent("acme/lab/chat/1")
    world.agent("acme/lab/news/1")  # as long as `chat`
    assert "cannot be used by other dialects" in caplog.text
    assert spellings.directory.collisions == 1
    assert str(spellings.directory.name((4, 3, 4))) == "acme/lab/chat"
    with pytest.raises(Refused, match="hash of another name"):
        spellings.tell(("acme", "lab", "talk"))
