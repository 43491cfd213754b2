"""Queues: waiters, limits, policies, the valve."""

import asyncio
from typing import Any

import pytest

from agpd_client.errors import Backpressure, Closed, Timeout
from agpd_client.events import Statistics
from agpd_client.inbox import INBOX_LIMIT_BYTES, Feed, Inbox, Valve


class Item:
    def __init__(self, number: int, size: int = 1) -> None:
        self.number, self.size, self.dropped = number, size, 0


def inbox(policy: Any, limit: int = 3, valve: Valve | None = None) -> Inbox:
    return Inbox(limit, policy, valve or Valve(), Statistics())


def fill(box: Inbox, count: int) -> None:
    for number in range(count):
        box.put(Item(number))  # type: ignore[arg-type]


async def test_a_cancelled_waiter_passes_the_item_on() -> None:
    feed: Feed[int] = Feed()
    first, second = (asyncio.create_task(feed.get()) for _ in range(2))
    await asyncio.sleep(0)
    feed.put(1)
    first.cancel()  # woken already
    assert await second == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_timeout_and_failure() -> None:
    feed: Feed[int] = Feed(2)
    with pytest.raises(Timeout):
        await feed.get(0)
    waiting = asyncio.create_task(feed.get())
    await asyncio.sleep(0)
    feed.fail(Closed("first"))
    feed.fail(Closed("second"))
    with pytest.raises(Closed, match="first"):
        await waiting
    for number in range(3):
        feed.put(number)
    assert (await feed.get(), feed.dropped) == (1, 1)


async def test_policies_keep_and_count() -> None:
    for policy, kept in (("drop_oldest", [2, 3, 4]), ("drop_new", [0, 1, 2]), ("block", [0, 1, 2, 3, 4])):
        box = inbox(policy)
        fill(box, 5)
        assert [(await box.get()).number for _ in kept] == kept  # type: ignore[attr-defined]
        assert box.dropped == 5 - len(kept)


async def test_error_policy_raises_once() -> None:
    box = inbox("error")
    fill(box, 5)
    with pytest.raises(Backpressure, match="2 were lost"):
        await box.get()
    assert (await box.get()).number == 0  # type: ignore[attr-defined]


def test_wrong_limits() -> None:
    with pytest.raises(ValueError, match="choose one of"):
        inbox("drop")
    with pytest.raises(ValueError, match="at least 1"):
        inbox("block", 0)


def test_bytes_count_too() -> None:
    box = inbox("drop_new", 100)
    for number in range(3):
        box.put(Item(number, INBOX_LIMIT_BYTES // 2))  # type: ignore[arg-type]
    assert box.dropped == 1
    box.take()
    assert box.bytes == INBOX_LIMIT_BYTES // 2


def test_the_valve_pauses_when_full_and_resumes_when_half_empty() -> None:
    told: list[str] = []
    awaiting = False
    valve = Valve()
    valve.attach(lambda: told.append("pause"), lambda: told.append("resume"), lambda: awaiting)
    box = inbox("block", 4, valve)
    fill(box, 4)
    assert told == ["pause"]
    box.take()
    assert told == ["pause"]
    box.take()
    assert told == ["pause", "resume"]
    fill(box, 4)
    awaiting = True
    valve.update()
    assert told[2:] == ["pause", "resume"]
    fill(box, 16)  # stretched as far as it goes
    assert told[4:] == ["pause"]
    box.fail(Closed("end"))
    assert told[5:] == ["resume"]


def items(*numbers: int) -> list[Any]:
    return [Item(number) for number in numbers]


async def test_many_are_put_as_one_by_one() -> None:
    for policy, kept, dropped in (
        ("drop_oldest", [3, 4, 5], 3),
        ("drop_new", [0, 1, 2], 3),
        ("block", [0, 1, 2], 0),
    ):
        one, many = inbox(policy), inbox(policy)
        fill(one, 6)
        for part in (items(0), items(1, 2, 3, 4), items(5)):
            many.put_all(part, len(part))
        taken = [[each.take() for _ in kept] for each in (one, many)]
        assert [[item.number for item in each] for each in taken] == [kept, kept]  # type: ignore[attr-defined]
        assert [item.dropped for item in taken[0]] == [item.dropped for item in taken[1]]
        assert (one.bytes, one.dropped) == (many.bytes, many.dropped) == (one.bytes, dropped)


async def test_many_wake_as_many_as_wait() -> None:
    box = inbox("block", 10)
    waiting = [asyncio.create_task(box.get(1)) for _ in range(3)]
    await asyncio.sleep(0)
    box.put_all(items(1, 2), 2)
    got = [(await each).number for each in waiting[:2]]  # type: ignore[attr-defined]
    assert (got, waiting[2].done(), box.bytes) == ([1, 2], False, 0)
    waiting[2].cancel()


def test_what_was_lost_is_told_though_there_is_room_for_many() -> None:
    box = inbox("drop_new", 5)
    fill(box, 7)
    for _ in range(5):
        box.take()
    box.put_all(items(7, 8), 2)
    assert [box.take().dropped for _ in range(2)] == [2, 0]


def test_many_large_ones_pause_reading_too() -> None:
    told: list[str] = []
    valve = Valve()
    valve.attach(lambda: told.append("pause"), lambda: told.append("resume"), lambda: False)
    box = inbox("block", 100, valve)
    large: list[Any] = [Item(number, INBOX_LIMIT_BYTES // 2) for number in range(3)]
    box.put_all(large, 3 * (INBOX_LIMIT_BYTES // 2))
    assert (told, len(box.items)) == (["pause"], 3)
