"""Calls under way: matched by id and asker, told when the first begins and the last ends."""

import asyncio

import pytest

from agpd.wire.frames import Frame, Kind
from agpd_client.errors import Closed, NoRoute
from agpd_client.requests import Calls

FRAME = Frame(Kind.OK, 0, 0, 0, 0, 1, b"")


class Counter:
    def __init__(self) -> None:
        self.changes = 0
        self.calls = Calls(self.changed)

    def changed(self) -> None:
        self.changes += 1


async def test_an_answer_counts_only_for_who_asked() -> None:
    counter = Counter()
    calls = counter.calls
    first, second = calls.begin(1, 7), calls.begin(2, 7)
    assert counter.changes == 1
    assert not calls.answer(1, 8, "forged")
    assert not calls.answer(3, 7, "never asked")
    assert calls.answer(1, 7, "yes")
    assert not calls.answer(1, 7, "twice")
    assert (await first, len(calls), counter.changes) == ("yes", 1, 1)
    assert calls.refuse(2, 7, NoRoute("no"))
    assert not calls.refuse(2, 7, NoRoute("no"))
    with pytest.raises(NoRoute):
        await second
    assert (len(calls), counter.changes) == (0, 2)


async def test_accept_sees_the_answer_though_the_asker_has_gone() -> None:
    calls = Counter().calls
    seen: list[Frame] = []
    future = calls.begin(1, accept=seen.append)
    future.cancel()
    assert calls.answer(1, 0, FRAME)
    assert seen == [FRAME]
    future = calls.begin(2)
    future.cancel()
    assert calls.refuse(2, 0, NoRoute("no"))


async def test_the_end_fails_all_and_lets_waiters_go() -> None:
    counter = Counter()
    calls = counter.calls
    futures = [calls.begin(number) for number in range(3)]
    futures[2].cancel()
    empty = [asyncio.create_task(calls.wait_empty()) for _ in range(2)]
    await asyncio.sleep(0)
    empty[1].cancel()
    calls.fail(Closed("end"))
    await empty[0]
    for future in futures[:2]:
        with pytest.raises(Closed):
            await future
    await calls.wait_empty()
    assert counter.changes == 2


async def test_forgetting_the_last_one_is_an_end_too() -> None:
    counter = Counter()
    counter.calls.begin(1)
    empty = asyncio.create_task(counter.calls.wait_empty())
    await asyncio.sleep(0)
    counter.calls.forget(1)
    counter.calls.forget(1)
    await empty
    assert counter.changes == 2
    assert not counter.calls.answer(1, 0, "late")
