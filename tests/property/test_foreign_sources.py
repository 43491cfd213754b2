"""Nobody speaks as somebody else: a thousand variants of foreign names and handles, none delivered.

Every test first shows that the same message under the right name is delivered.
"""

# ruff: noqa: RUF001  (letters that only look alike are the point)

import random
import uuid

import pytest
from scenarios.harness import Agent, World

from agpd.errors import Code, Refused
from agpd.wire import frames
from agpd.wire.frames import Kind

OWN = "acme/dev/writer/3f1c0a52-7f5e-4b0e-9c3e-0d8f6a1b2c3d"
CHANCE = random.Random(20)
LOOKALIKES = {
    "a": "аａá",
    "e": "еéｅ",
    "c": "сｃ",
    "i": "іı",
    "o": "оο",
    "r": "ｒ",
    "d": "ԁ",
    "v": "ѵ",
    "w": "ｗ",
}


def outside() -> list[str]:
    """Well-formed names that the certificate `acme/dev/writer` does not cover."""
    found = []
    for _ in range(120):
        instance = str(uuid.UUID(int=CHANCE.getrandbits(128)))
        found += [
            f"acme/dev/reviewer{CHANCE.randrange(999)}/{instance}",
            f"acme/ops{CHANCE.randrange(999)}/writer/{instance}",
            f"rival{CHANCE.randrange(999)}/dev/writer/{instance}",
            f"acme/dev/writer{CHANCE.choice('-_0')}/{instance}",
        ]
    return found


def misspelt() -> list[str]:
    """Texts that look like names of acme/dev/writer and are none."""
    found = []
    for _ in range(300):
        place = CHANCE.randrange(len(OWN))
        letter = OWN[place]
        other = CHANCE.choice(
            [letter.upper() + "\u200b", *LOOKALIKES.get(letter, ""), "\0", " ", "%2f", "\n", "\u0301"]
        )
        found.append(OWN[:place] + other + OWN[place + 1 :])
    found += [f" {OWN}", f"{OWN} ", f"{OWN}/", f"/{OWN}", OWN.upper(), f"{OWN}\0", OWN.replace("/", "//")]
    found += [OWN.replace("/", "\\"), "acme/dev/../writer/1", "acme/dev/writer/*", "acme/dev/writer", "*", ""]
    return found


def scene() -> tuple[World, Agent, Agent]:
    world = World()
    victim = world.agent("acme/dev/clerk/1")
    return world, world.peer("acme/dev/writer").register(OWN), victim


def delivered(agent: Agent, victim: Agent) -> None:
    """The control: the right name reaches the victim."""
    agent.publish("acme/dev/clerk/1", b"right")
    victim.expect_delivery(b"right", to=victim.name, of=OWN)


def test_registering_outside_the_certificate():
    world, agent, victim = scene()
    delivered(agent, victim)
    names = outside()
    assert len(set(names)) > 450
    for name in names:
        with pytest.raises(Refused) as caught:
            agent.peer.register(name)
        assert caught.value.code is Code.NOT_PERMITTED, name
    assert len(agent.peer.link.sources) == 1
    delivered(agent, victim)
    assert len(world.hub.links) == 2


def test_registering_what_only_looks_like_the_own_name():
    _, agent, victim = scene()
    for name in misspelt():
        with pytest.raises(Refused) as caught:
            agent.peer.register(name)
        assert caught.value.code is Code.INVALID_NAME, name
    delivered(agent, victim)


def foreign_handles(agent: Agent, victim: Agent) -> list[int]:
    near = [agent.handle ^ 1 << bit for bit in range(32)] + [agent.handle + n for n in (-2, -1, 1, 2)]
    swapped = int.from_bytes(agent.handle.to_bytes(4, "big"), "little")
    return [victim.handle, 0, 2**32 - 1, swapped, *near, *(CHANCE.getrandbits(32) for _ in range(60))]


@pytest.mark.parametrize("kind", [Kind.PUBLISH, Kind.REQUEST, Kind.REPLY])
def test_data_frames_with_a_foreign_source(kind):
    world, agent, victim = scene()
    for number in foreign_handles(agent, victim):
        thief = world.peer("acme/dev/writer")
        own = thief.register(f"acme/dev/writer/{number % 97}-{world.clock.time:.0f}")
        to = own.open(victim.name)
        if number == own.handle:
            continue
        thief.feed(frames.encode_data(kind, b"forged", destination=to, source=number, id=1))
        thief.expect_closed(Code.FOREIGN_SOURCE)
        victim.silent()
    delivered(agent, victim)


@pytest.mark.parametrize(
    "kind",
    [
        Kind.UNREGISTER,
        Kind.SUBSCRIBE,
        Kind.UNSUBSCRIBE,
        Kind.OPEN,
        Kind.SET_ROUTE,
        Kind.REMOVE_ROUTE,
        Kind.WATCH,
        Kind.UNWATCH,
    ],
)
def test_control_frames_with_a_foreign_source(kind):
    world, agent, victim = scene()
    for number in (victim.handle, agent.handle, 0, 2**32 - 1):
        thief = world.peer("acme/dev/writer")
        route = frames.Route("acme/*", victim.name)
        thief.send(kind, route if kind is Kind.SET_ROUTE else frames.Named("acme/dev/x"), source=number)
        thief.expect_closed(Code.FOREIGN_SOURCE)
    delivered(agent, victim)


def test_a_flow_remembered_on_one_connection_is_no_use_on_another():
    world, agent, victim = scene()
    delivered(agent, victim)
    copy = agent.frame(victim.name, b"copied")
    thief = world.peer("acme/dev/writer")
    thief.feed(copy)
    thief.expect_closed(Code.FOREIGN_SOURCE)
    victim.silent()


def test_a_source_that_was_given_up_is_refused_and_not_fatal():
    _, agent, victim = scene()
    delivered(agent, victim)
    late = agent.frame(victim.name, b"late")
    agent.unregister()
    agent.peer.read().clear()
    agent.peer.feed(late)
    agent.peer.expect_refused(Code.NOT_REGISTERED)
    victim.expect(Kind.WITHDRAW)
    victim.silent()
