"""A strict scanner of AGP messages, written from the table of fields alone: what a client's parser would refuse.

It knows neither protobuf nor agpd.
"""

from collections.abc import Iterator
from typing import Any

VARINT, LENGTH = 0, 2
# field -> (wire type, what it holds: bits of a number, "text", "bytes" or another table, may it be repeated?)
NAME: dict[int, tuple[int, Any, bool]] = dict.fromkeys((1, 2, 3, 4), (VARINT, 64, False))
HEADER = {1: (LENGTH, NAME, False), 2: (LENGTH, NAME, False), 3: (VARINT, 32, False), 7: (VARINT, 1, False)}
SESSION = {1: (VARINT, "int32", False), **dict.fromkeys((2, 3, 4), (VARINT, 32, False))}
CONTENT = {1: (LENGTH, "text", False), 2: (LENGTH, "bytes", False)}
PUBLISH = {1: (LENGTH, HEADER, False), 2: (LENGTH, SESSION, False), 4: (LENGTH, CONTENT, False)}
ENTRY = {1: (LENGTH, "text", False), 2: (LENGTH, "text", False)}
MESSAGE = {3: (LENGTH, PUBLISH, False), 4: (LENGTH, ENTRY, True)}


class Wrong(Exception):
    """A client would not take it."""


def scan(data: bytes, table: dict[int, tuple[int, Any, bool]] = MESSAGE) -> dict[int, list[Any]]:
    """The values of each field. Raises `Wrong`."""
    found: dict[int, list[Any]] = {}
    for number, wire_type, value in _fields(data):
        if number not in table:
            raise Wrong(f"unknown field {number}")
        expected, content, repeated = table[number]
        if wire_type != expected:
            raise Wrong(f"field {number} has wire type {wire_type}")
        if number in found and not repeated:
            raise Wrong(f"field {number} twice")
        found.setdefault(number, []).append(_value(number, value, content))
    return found


def _value(number: int, value: Any, content: Any) -> Any:
    if isinstance(content, dict):
        return scan(value, content)
    if content == "text":
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Wrong(f"field {number} is not UTF-8") from None
    if content == "int32":
        if not (value < 2**31 or 2**64 - 2**31 <= value < 2**64):
            raise Wrong(f"field {number} is {value}")
    elif content != "bytes" and value >= 1 << content:
        raise Wrong(f"field {number} is {value}")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, VARINT, value
        elif tag & 7 == LENGTH:
            size, at = _varint(data, at)
            if size > len(data) - at:
                raise Wrong("a field is longer than its message")
            yield tag >> 3, LENGTH, data[at : at + size]
            at += size
        else:
            raise Wrong(f"wire type {tag & 7}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at == len(data):
            raise Wrong("a number without end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if byte == 0 and place:
                raise Wrong("a number with more bytes than it needs")
            return value, at
    raise Wrong("a number of more than ten bytes")
