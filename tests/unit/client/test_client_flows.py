"""Flows: found once for each origin, forgotten when they do not last or are too many."""

import gc

import pytest
from scripted_peer import AGENT, standing

from agpd.wire import frames
from agpd.wire.envelope import pack
from agpd.wire.frames import Kind, encode, encode_data
from agpd_client import flows
from agpd_client.flows import Flow, Flows, Origin


class Finder:
    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.flows = Flows(self.find)

    def find(self, head: bytes) -> tuple[Flow, bool]:
        self.asked.append(head)
        return Flow(Origin("s", "d", 1, 2, 0), connection=None), head != b"passing"  # type: ignore[arg-type]


def test_an_origin_is_found_once() -> None:
    finder = Finder()
    origin = finder.flows[b"a"]
    finder.flows.tidy()
    assert finder.flows[b"a"] is origin
    assert finder.flows.of[origin].origin is origin
    assert finder.asked == [b"a"]
    finder.flows.forget()
    assert finder.flows[b"a"] is not origin
    assert len(finder.flows.of) == 1


def test_what_does_not_last_is_there_until_tidied() -> None:
    finder = Finder()
    passing = finder.flows[b"passing"]
    assert finder.flows.of[passing].origin is passing
    finder.flows.tidy()
    assert (len(finder.flows), len(finder.flows.of)) == (0, 0)


def test_senders_cannot_make_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "FLOWS_LIMIT", 3)
    finder = Finder()
    for number in range(3):
        assert finder.flows[bytes([number])]
    finder.flows.tidy()
    assert len(finder.flows) == 3
    last = finder.flows[b"\3"]
    assert finder.flows.of[last]  # until what was read together is dealt with
    finder.flows.tidy()
    assert len(finder.flows) == 0


async def test_received_messages_are_no_business_of_the_garbage_collector() -> None:
    async with standing() as (_, agent, peer, _):
        peer.write(encode(Kind.ANNOUNCE, frames.Named("acme/prod/writer/u"), destination=5))
        for data, type_ in ((b"x", 0), (b"\x90", 2)):
            peer.write(
                encode_data(Kind.PUBLISH, pack((data, type_)), destination=AGENT, source=5, id=1, fanout=1)
            )
        first, second = await agent.receive(timeout=1), await agent.receive(timeout=1)
        assert (first.source, first.data, gc.is_tracked(first)) == ("acme/prod/writer/u", b"x", False)
        assert not gc.is_tracked(second)
        assert second.data == []
        assert gc.is_tracked(second)  # it now refers to something that may refer to it
