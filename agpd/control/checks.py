"""Checks and parts that the services have in common."""

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from agpd.control.resources import Page
from agpd.errors import Code, Refused
from agpd.names import parse_pattern

Item = TypeVar("Item")
NESTING_LIMIT = 100  # every version of Python and every reader of JSON can take it

OWN_ID_LIMIT = 64
LABEL_LIMIT = 63
_LABEL = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")

# An even number of backslashes before it: this one is an escape of JSON and no text.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def check_texts(resource: msgspec.Struct) -> int:
    """The size of a resource as JSON, in bytes; all its texts can be stored in every database.

    Raises `Refused(INVALID_REQUEST)` for the character NUL, for half a surrogate pair, and for objects and lists nested
    deeper than `NESTING_LIMIT`.
    """
    _check_nesting(resource)
    try:
        data = msgspec.json.encode(resource)
    except UnicodeEncodeError:
        raise Refused(Code.INVALID_REQUEST, "a text holds half a surrogate pair") from None
    if _NUL.search(data):
        raise Refused(Code.INVALID_REQUEST, "a text holds the character NUL")
    return len(data)


def _check_nesting(resource: msgspec.Struct) -> None:
    level = _containers(getattr(resource, field) for field in resource.__struct_fields__)
    for _ in range(NESTING_LIMIT):
        if not level:
            return
        level = [found for value in level for found in _containers(_within(value))]
    if level:
        raise Refused(Code.INVALID_REQUEST, f"a value is nested deeper than {NESTING_LIMIT}")


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]


def _within(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def fresh_id(letter: str) -> str:
    """An id such as `g-0123456789abcdef` that nobody can guess: using it tells nothing about what others have."""
    return f"{letter}-{secrets.token_hex(8)}"


def check_own_id(text: str, owner: str, letter: str) -> None:
    """An id that a tenant may give: empty, `<owner>.<label>`, or as `fresh_id` makes them.

    So ids of two tenants never meet, and none finds out what another one has. Raises `Refused(INVALID_REQUEST)`.
    """
    named = _is_label(text, owner) and len(text) <= OWN_ID_LIMIT
    if text and not named and not re.match(rf"{letter}-[0-9a-f]{{16}}\Z", text):
        raise Refused(
            Code.INVALID_REQUEST,
            f"id {text!a}: write {owner}.<label>, at most {OWN_ID_LIMIT} characters of a-z 0-9 _ -, "
            "or leave it empty",
        )


def check_given_id(text: str, owner: str) -> None:
    """An id that must be given: `<owner>.<label>`, for the same reason. Raises `Refused(INVALID_REQUEST)`."""
    if not _is_label(text, owner):
        raise Refused(
            Code.INVALID_REQUEST,
            f"id {text!a}: write {owner}.<label>, with a label of at most {LABEL_LIMIT} characters of a-z 0-9 _ -",
        )


def _is_label(text: str, owner: str) -> bool:
    """Is it `<owner>.<label>`?"""
    label = text.removeprefix(f"{owner}.")
    return label != text and len(label) <= LABEL_LIMIT and _LABEL.match(label) is not None


def split_name(name: str, shape: str) -> tuple[str, ...]:
    """The segments of a name that has as many as `shape`, such as `organization/namespace`; at most three.

    Raises `Refused(INVALID_NAME)`.
    """
    segments = parse_pattern(f"{name}/*").prefix
    if len(segments) != shape.count("/") + 1:
        raise Refused(Code.INVALID_NAME, f"{name!r} is not of the form {shape}")
    return segments


def changes(before: msgspec.Struct, after: msgspec.Struct) -> dict[str, Any]:
    """The fields of which `after` has another value, with that value, for the audit log."""
    was = msgspec.structs.asdict(before)
    return {
        field: msgspec.to_builtins(value)
        for field, value in msgspec.structs.asdict(after).items()
        if value != was[field]
    }


def page_size(limit: int, most: int, after: str = "") -> int:
    """How many items to answer with, behind `after`. 0 asks for `most`. Raises `Refused(INVALID_REQUEST)`."""
    if limit < 0:
        raise Refused(Code.INVALID_REQUEST, f"limit = {limit} is below 0")
    if not after.isascii() or "\0" in after:
        raise Refused(Code.INVALID_REQUEST, "`after` is not what a page before has given as `next`")
    return min(limit or most, most)


def page_of(items: Sequence[Item], size: int, key: Callable[[Item], str]) -> Page[Item]:
    """The page of at most `size` of these items, of which one more was asked for than fit; `next` is the last's key."""
    shown = list(items[:size])
    return Page(items=shown, next=key(shown[-1]) if len(items) > size else "")
