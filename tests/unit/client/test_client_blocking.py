"""Waiting in a thread for what the background loop does."""

import asyncio
import threading

import pytest

from agpd_client.blocking import Source, call, wait
from agpd_client.errors import Closed, Code


def test_all_work_runs_on_one_loop_in_one_thread_of_its_own() -> None:
    async def where() -> tuple[asyncio.AbstractEventLoop, int]:
        return asyncio.get_running_loop(), threading.get_ident()

    assert wait(where()) == wait(where())
    assert wait(where())[1] != threading.get_ident()


async def test_it_works_beside_a_running_loop() -> None:
    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert wait(where()) is not asyncio.get_running_loop()


def test_what_the_work_raises_is_raised() -> None:
    def fail(text: str, *, more: str) -> None:
        raise KeyError(text + more)

    with pytest.raises(KeyError, match="ab"):
        wait(call(fail, "a", more="b"))


def test_waiting_on_the_loop_itself_is_refused_not_hung() -> None:
    async def inner() -> None:
        wait(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="use the asynchronous API"):
        wait(inner())


def test_iteration_ends_with_an_end_in_order_and_raises_any_other() -> None:
    class Numbers(Source[int]):
        def __init__(self, code: Code) -> None:
            self.left, self.code = [2, 1], code

        def receive(self, *, timeout: float | None = None) -> int:
            if not self.left:
                raise Closed("the end", code=self.code)
            return self.left.pop()

    assert list(Numbers(Code.GOODBYE)) == [1, 2]
    with pytest.raises(Closed):
        list(Numbers(Code.CONNECTION_LOST))
    with pytest.raises(NotImplementedError):
        Source[int]().receive()
