"""Frames on their way out: one write per loop turn, early writes, waiting for the carrier."""

import asyncio
from typing import Any

from agpd_client.outgoing import EARLY_WRITE_BYTES, MESSAGES_PER_TURN, Outgoing


class Carrier:
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)


def is_free(out: Outgoing) -> bool:
    return not out.busy


def attached() -> tuple[Outgoing, Carrier]:
    out, carrier = Outgoing(), Carrier()
    transport: Any = carrier
    out.attach(transport)
    return out, carrier


async def test_the_frames_of_a_turn_leave_in_one_write() -> None:
    out, carrier = attached()
    for frame in (b"a", b"b", b"c"):
        out.send(frame)
    assert carrier.writes == []
    await asyncio.sleep(0)
    assert carrier.writes == [b"abc"]
    await asyncio.sleep(0)
    assert len(carrier.writes) == 1


async def test_much_leaves_early_and_makes_the_producer_breathe() -> None:
    out, carrier = attached()
    out.send(bytes(EARLY_WRITE_BYTES - 1))
    assert is_free(out)
    out.send(b"x")
    assert not is_free(out)
    assert [len(data) for data in carrier.writes] == [EARLY_WRITE_BYTES]
    await out.breathe()
    assert is_free(out)
    for _ in range(MESSAGES_PER_TURN - 1):
        out.send(b"x")
    assert is_free(out)
    out.send(b"x")
    assert not is_free(out)


async def test_a_full_carrier_holds_producers_until_there_is_room() -> None:
    out, _ = attached()
    out.pause()
    waiting = [asyncio.create_task(out.breathe()) for _ in range(2)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting[0].done()
    out.send(b"x")
    await asyncio.sleep(0)
    assert not is_free(out)  # a turn alone makes no room
    waiting[1].cancel()
    out.resume()
    await waiting[0]
    assert is_free(out)


async def test_closing_lets_producers_go_and_throws_frames_away() -> None:
    out, carrier = attached()
    out.pause()
    waiting = asyncio.create_task(out.breathe())
    await asyncio.sleep(0)
    out.close()
    await waiting
    await out.breathe()  # though the carrier will never have room again
    out.send(b"x")
    await asyncio.sleep(0)
    assert carrier.writes == []


async def test_without_a_carrier_nothing_is_written() -> None:
    out, carrier = attached()
    out.send(b"x")
    out.detach()
    out.flush()
    await asyncio.sleep(0)
    assert carrier.writes == []


async def test_what_is_urgent_leaves_at_once_while_frames_come_one_at_a_time() -> None:
    out, carrier = attached()
    out.urge(b"a")
    assert carrier.writes == [b"a"]
    out.urge(b"b")
    out.send(b"c")
    assert carrier.writes == [b"a"]
    await asyncio.sleep(0)
    assert carrier.writes == [b"a", b"bc"]
    out.urge(b"d")  # there were three in the last turn
    assert len(carrier.writes) == 2
    await asyncio.sleep(0)
    out.urge(b"e")
    assert carrier.writes == [b"a", b"bc", b"d", b"e"]
    await asyncio.sleep(0)
    out.send(b"f")
    out.urge(b"g")  # behind others, in order
    await asyncio.sleep(0)
    assert carrier.writes[4:] == [b"fg"]
