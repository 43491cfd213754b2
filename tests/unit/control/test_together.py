"""Calls of services as one change: gathered in their order, all or nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from agpd.control.store import Notes, Store
from agpd.errors import Code, Refused

Call = Callable[[], Awaitable[Any]]


def record(seen: list[Any], value: Any) -> Callable[[Connection, Notes], Any]:
    def work(_: Connection, __: Notes) -> Any:
        seen.append(value)
        return value

    return work


async def test_works_are_done_in_the_order_of_the_calls(store: Store) -> None:
    seen: list[Any] = []

    async def late(value: int) -> Any:
        for _ in range(5 - value):
            await asyncio.sleep(0)
        return await store.write(record(seen, value))

    calls: list[Call] = [lambda value=value: late(value) for value in range(5)]  # type: ignore[misc]
    assert await store.change_together(calls) == [0, 1, 2, 3, 4]
    assert seen == [0, 1, 2, 3, 4]


async def test_the_same_work_is_given_all_items_beside_each_other(store: Store) -> None:
    seen: list[Any] = []

    def each(_: Connection, __: Notes, items: Sequence[int]) -> list[int]:
        seen.append(list(items))
        return [item * 10 for item in items]

    calls: list[Call] = [
        lambda: store.write_each(each, 1),
        lambda: store.write_each(each, 2),
        lambda: store.write(record(seen, "between")),
        lambda: store.write_each(each, 3),
    ]
    assert await store.change_together(calls) == [10, 20, "between", 30]
    assert seen == [[1, 2], "between", [3]]


async def test_a_call_that_writes_nothing_has_its_answer(store: Store) -> None:
    async def nothing() -> str:
        return "nothing"

    seen: list[Any] = []
    assert await store.change_together([nothing, lambda: store.write(record(seen, 1))]) == ["nothing", 1]


async def test_one_refused_item_ends_all(store: Store) -> None:
    def each(_: Connection, notes: Notes, items: Sequence[int]) -> list[int | Refused]:
        notes.add("test", "t", "x.do", "thing")
        return [Refused(Code.CONFLICT, "two") if item == 2 else item for item in items]

    ended: list[int] = []

    async def call(item: int) -> Any:
        try:
            return await store.write_each(each, item)
        finally:
            ended.append(item)

    with pytest.raises(Refused, match="two"):
        await store.change_together([lambda: call(1), lambda: call(2)])
    assert ended == [1, 2]
    events: list[Any] = []
    store.listen(events.extend)
    await store.write(lambda _, notes: notes.add("test", "t", "x.do", "first"))
    assert [event.sequence for event in events] == [1]


async def test_writes_outside_are_not_gathered(store: Store) -> None:
    seen: list[Any] = []
    go_on = asyncio.Event()

    async def waits() -> Any:
        await go_on.wait()
        return await store.write(record(seen, "inside"))

    changing = asyncio.create_task(store.change_together([waits]))
    await asyncio.sleep(0)
    assert await store.write(record(seen, "outside")) == "outside"
    go_on.set()
    assert await changing == ["inside"]
    assert seen == ["outside", "inside"]
