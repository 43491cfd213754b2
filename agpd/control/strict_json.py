"""JSON as two parties cannot read it differently: what is ambiguous is refused, not repaired.

Refused are duplicate keys, NaN and infinities, integers beyond 64 bits, halves of surrogate pairs, and
what is too long or nested too deep. Size and depth are looked at before anything is parsed.
"""

import json
import math
import re
from typing import Any, NoReturn

from agpd.errors import Code, Refused

LIMIT_BYTES = 1 << 20
DEPTH = 32
INTEGER_DIGITS = 19
INTEGER_LIMIT = 2**63

_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]+|[\]}]+', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(data: bytes, *, limit: int = LIMIT_BYTES, depth: int = DEPTH) -> Any:
    """The value of a JSON text of at most `limit` bytes and `depth` nested arrays and objects.

    Raises `Refused(INVALID_REQUEST)`.
    """
    if len(data) > limit:
        raise _refused(f"the JSON text has {len(data)} bytes, at most {limit} are allowed")
    _check_depth(data, depth)
    try:
        text = data.decode()
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except UnicodeDecodeError:
        raise _refused("the JSON text is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _refused(f"no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    if _SURROGATE.search(text):
        _check_text(value)
    return value


def _refused(detail: str) -> Refused:
    return Refused(Code.INVALID_REQUEST, detail)


def _check_depth(data: bytes, depth: int) -> None:
    """Count brackets outside of strings; whatever is not JSON is left to the parser."""
    if data.count(b"[") + data.count(b"{") <= depth:
        return
    level = 0
    for found in _MARKS.finditer(data):
        mark = found[0]
        if mark[0] in b"[{":
            level += len(mark)
            if level > depth:
                raise _refused(f"the JSON text is nested deeper than {depth}")
        elif mark[0] in b"]}":
            level = max(0, level - len(mark))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _refused(f"the key {twice!a} is there twice")
    return value


def _integer(text: str) -> int:
    if len(text) <= INTEGER_DIGITS + 1 and -INTEGER_LIMIT <= (number := int(text)) < INTEGER_LIMIT:
        return number
    raise _refused("an integer is beyond 64 bits")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _refused("a number is too large")
    return number


def _constant(text: str) -> NoReturn:
    raise _refused(f"{text} is no JSON")


def _check_text(value: Any) -> None:
    """Refuse halves of surrogate pairs in all strings. As deep as the JSON is, which is bounded."""
    if isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise _refused("a string holds half a surrogate pair")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key)
            _check_text(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_text(inner)
