"""After a fork both processes would use the same counters and keys: the child forgets them."""

import os
import weakref
from typing import Protocol


class Droppable(Protocol):
    """Has keys."""

    def drop(self) -> None:
        """Forget all keys; what uses them afterwards raises."""
        ...


_alive: "weakref.WeakSet[Droppable]" = weakref.WeakSet()


def guard(holder: Droppable) -> None:
    """Let it drop its keys in the child of a fork."""
    _alive.add(holder)


def _drop_all() -> None:
    for holder in list(_alive):
        holder.drop()


os.register_at_fork(after_in_child=_drop_all)
