"""Messages that wait for a connection: order, bound, waiting for room."""

import asyncio
from typing import Any

from agpd_client.backlog import OVERHEAD_BYTES, Backlog, Waiting


def waiting(number: int, size: int = 10) -> Waiting:
    nobody: Any = None
    return Waiting(nobody, "a/b/c", 0x80, bytes(size), number)


def test_first_in_first_out_within_the_bound() -> None:
    backlog = Backlog(2 * OVERHEAD_BYTES + 25)
    assert backlog.first() is None
    assert [backlog.offer(waiting(number)) for number in range(3)] == [True, True, False]
    assert (len(backlog), backlog.bytes) == (2, 2 * OVERHEAD_BYTES + 20)
    for number in range(2):
        first = backlog.first()
        assert first is not None
        assert first.fanout == number
        assert backlog.first() is first  # it stays until it is sent
        backlog.sent()
    assert (len(backlog), backlog.bytes) == (0, 0)


def test_what_is_larger_than_the_bound_fits_when_it_is_alone() -> None:
    backlog = Backlog(5)
    assert backlog.offer(waiting(0, 1000))
    assert not backlog.offer(waiting(1, 1))


async def test_who_waits_for_room_looks_again_after_each_message() -> None:
    backlog = Backlog(10)
    backlog.offer(waiting(0))
    first, second = (asyncio.create_task(backlog.room()) for _ in range(2))
    await asyncio.sleep(0)
    assert not first.done()
    second.cancel()
    backlog.sent()
    await first
    assert backlog.offer(waiting(1))
