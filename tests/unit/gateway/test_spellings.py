"""agpd/gateway/spellings.py: who hears that a text has become known for a hash."""

from collections.abc import Container

from scenarios.harness import World

from agpd.control.policy import Policy, Statement
from agpd.gateway.spellings import Spellings
from agpd.wire.hashes import Family, Hashes, triple

CHAT = triple(Family.SIPHASH, ("acme", "lab", "chat"))


class Session:
    def __init__(self, *uses: Hashes) -> None:
        self.hashes = uses
        self.heard = 0

    def uses(self, hashes: Container[int]) -> bool:
        return any(hash_ in hashes for each in self.hashes for hash_ in each)

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
    for each in (session, other):
        assert str(spellings.spell(CHAT, each)).startswith("h-")
    agent = world.agent("acme/lab/a/1")
    agent.open("acme/lab/chat")
    assert str(spellings.spell(CHAT, session)) == "acme/lab/chat"
    assert session.heard >= 1
    assert other.heard == 0
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
