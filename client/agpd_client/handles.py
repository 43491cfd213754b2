"""Handles of destinations, for one connection: opened at first use, given back when long unused."""

from collections.abc import Callable, Iterable

Key = tuple[int, str]  # handle of the sending agent, name


class Handles:
    """(agent, name) -> handle, in two generations.

    What is used stays young at no cost per message; when `limit / 2` names are young, the names that were not used
    since the last change of generations are given back. `shut` is called with a handle that no agent holds any more.
    """

    def __init__(self, limit: int, shut: Callable[[int], None]) -> None:
        self.young: dict[Key, int] = {}
        self._old: dict[Key, int] = {}
        self._holders: dict[int, int] = {}
        self._half = max(1, limit // 2)
        self._shut = shut

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def get(self, key: Key) -> int | None:
        """The open handle, which is young again; None if it has to be opened."""
        number = self.young.get(key)
        if number is None:
            number = self._old.pop(key, None)
            if number is not None:
                self._insert(key, number)
        return number

    def add(self, key: Key, number: int) -> None:
        """The gateway has opened it."""
        if key in self.young or key in self._old:
            self._drop([key])
        self._holders[number] = self._holders.get(number, 0) + 1
        self._insert(key, number)

    def forget(self, numbers: Iterable[int]) -> None:
        """The gateway says that these are dead: they are opened again at the next use."""
        dead = set(numbers)
        self._drop(
            [key for keys in (self.young, self._old) for key, number in keys.items() if number in dead]
        )

    def forget_agent(self, agent: int) -> None:
        """An agent is gone; what only it held is given back."""
        mine = {
            key: number for keys in (self.young, self._old) for key, number in keys.items() if key[0] == agent
        }
        for key in mine:
            self.young.pop(key, None)
            self._old.pop(key, None)
        self._release(mine.values())

    def _insert(self, key: Key, number: int) -> None:
        if len(self.young) >= self._half:
            unused, self._old, self.young = self._old, self.young, {}
            self._release(unused.values())
        self.young[key] = number

    def _drop(self, keys: Iterable[Key]) -> None:
        for key in keys:
            number = self.young.pop(key, None)
            if number is None:
                number = self._old.pop(key)
            self._count_down(number)

    def _release(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if self._count_down(number):
                self._shut(number)

    def _count_down(self, number: int) -> bool:
        left = self._holders[number] - 1
        if left:
            self._holders[number] = left
        else:
            del self._holders[number]
        return not left
