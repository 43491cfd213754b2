"""Checks and parts that the services have in common."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from agpd.control.resources import Page
from agpd.errors import Code, Refused

Item = TypeVar("Item")

# An even number of backslashes before it: this one is an escape of JSON and no text.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def check_texts(resource: msgspec.Struct) -> int:
    """The size of a resource as JSON, in bytes; all its texts can be stored in every database.

    Raises `Refused(INVALID_REQUEST)` for the character NUL, for half a surrogate pair, for what is nested too deep.
    """
    try:
        data = msgspec.json.encode(resource)
    except UnicodeEncodeError:
        raise Refused(Code.INVALID_REQUEST, "a text holds half a surrogate pair") from None
    except RecursionError:
        raise Refused(Code.INVALID_REQUEST, "a value is nested too deep") from None
    if _NUL.search(data):
        raise Refused(Code.INVALID_REQUEST, "a text holds the character NUL")
    return len(data)


def page_size(limit: int, most: int) -> int:
    """How many items to answer with. 0 asks for `most`. Raises `Refused(INVALID_REQUEST)` for less."""
    if limit < 0:
        raise Refused(Code.INVALID_REQUEST, f"limit = {limit} is below 0")
    return min(limit or most, most)


def page_of(items: Sequence[Item], size: int, key: Callable[[Item], str]) -> Page[Item]:
    """The page of at most `size` of these items, of which one more was asked for than fit; `next` is the last's key."""
    shown = list(items[:size])
    return Page(items=shown, next=key(shown[-1]) if len(items) > size else "")
