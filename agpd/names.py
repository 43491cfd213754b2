"""Names: `Organization/Namespace/Agent-type/Agent-UUID`.

Three segments address a type or topic, four one instance. One spelling only: a segment is
`[a-z0-9][a-z0-9_-]{0,62}` and a whole name at most 255 characters, so equal names are equal strings and
nothing is ever folded or normalised.
"""

import functools
import re
from typing import NamedTuple

from agpd.errors import Code, Refused

NAME_LIMIT = 255

_SEGMENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z", re.ASCII)


class Name(NamedTuple):
    """An address. `instance` is empty for a type or topic."""

    organization: str
    namespace: str
    type: str
    instance: str = ""

    def __str__(self) -> str:
        return "/".join(self if self.instance else self[:3])

    @property
    def is_instance(self) -> bool:
        return bool(self.instance)

    @property
    def type_name(self) -> "Name":
        """The name without its instance."""
        return Name(self.organization, self.namespace, self.type)

    def at(self, instance: str) -> "Name":
        """The same type or topic with an instance."""
        return Name(self.organization, self.namespace, self.type, instance)


class Pattern(NamedTuple):
    """A set of names: everything below a prefix of segments. `()` is every name.

    Written `*`, `org/*`, `org/ns/*`, `org/ns/type` (the type and its instances) or `org/ns/type/uuid`.
    """

    prefix: tuple[str, ...]

    def __str__(self) -> str:
        return "/".join(self.prefix) if len(self.prefix) >= 3 else "/".join((*self.prefix, "*"))

    def matches(self, name: Name) -> bool:
        """Does the pattern hold this name?"""
        return name[: len(self.prefix)] == self.prefix


def is_segment(text: str) -> bool:
    """May this be one segment of a name?"""
    return _SEGMENT.match(text) is not None


def _segments(text: str, what: str) -> list[str]:
    if not isinstance(text, str):
        raise Refused(Code.INVALID_NAME, f"{what} is a {type(text).__name__}, not a str")
    if len(text) > NAME_LIMIT:
        raise Refused(
            Code.INVALID_NAME, f"{what} has {len(text)} characters, at most {NAME_LIMIT} are allowed"
        )
    return text.split("/")


def _check(segments: list[str], text: str) -> None:
    for segment in segments:
        if not _SEGMENT.match(segment):
            raise Refused(Code.INVALID_NAME, f"segment {segment!r} of {text!r}")


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Name:
    """A name of three or four segments.

    Raises `Refused(INVALID_NAME)` that says which segment is wrong.
    """
    segments = _segments(text, "a name")
    if len(segments) not in (3, 4):
        raise Refused(Code.INVALID_NAME, f"{text!r} has {len(segments)} segments, not 3 or 4")
    _check(segments, text)
    return Name(*segments)


def parse_type(text: str) -> Name:
    """A name of exactly three segments: a type or topic."""
    name = parse(text)
    if name.instance:
        raise Refused(Code.INVALID_NAME, f"{text!r} names one instance; a type or topic has 3 segments")
    return name


def parse_instance(text: str) -> Name:
    """A name of exactly four segments: one agent."""
    name = parse(text)
    if not name.instance:
        raise Refused(Code.INVALID_NAME, f"{text!r} names a type; an instance has 4 segments")
    return name


def parse_pattern(text: str) -> Pattern:
    """A pattern: see `Pattern`. A type may also be written `org/ns/type/*`."""
    segments = _segments(text, "a pattern")
    if segments[-1] == "*":
        segments.pop()
    elif len(segments) < 3:
        raise Refused(Code.INVALID_NAME, f"{text!r} ends neither in a type nor in '*'")
    if len(segments) > 4:
        raise Refused(Code.INVALID_NAME, f"{text!r} has more than 4 segments")
    _check(segments, text)
    return Pattern(tuple(segments))
