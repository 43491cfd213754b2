"""What the server tells about itself: one event, one line, as text for people or as JSON.

Whatever stands in a value, a line cannot be forged and no terminal obeys it: the output is printable ASCII,
everything else is escaped. Payloads are never logged: bytes show as their length.
"""

import enum
import json
import logging
import math
import re
import time
import traceback
from typing import Any, TextIO

VALUE_LIMIT = 1000
TRACEBACK_LIMIT = 16_000
_RESERVED = frozenset({"time", "level", "logger", "event", "traceback"})
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+*,-]+\Z")
_COLOURS = {"DEBUG": "\x1b[2m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[1;31m"}
_PLAIN_COLOUR = "\x1b[0m"


def event(logger: logging.Logger, level: int, what: str, /, **fields: object) -> None:
    """Log `what`, a fixed phrase such as "connection closed", with `fields` as key=value."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", what, extra={"fields": fields})


def setup(level: str, format: str, stream: TextIO, **always: object) -> None:  # noqa: A002 - the name of the setting
    """Send the log of agpd from `level` on, and warnings of the libraries, to `stream`. For the server only.

    `level` and `format` are those of `config.Log`; `always` are fields of every line. Calling again replaces what
    the last call did.
    """
    handler = _Handler(stream)
    handler.addFilter(lambda record: _add_fields(record, always))
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter(colour=stream.isatty()))
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.getLogger("agpd").setLevel(level.upper())


def _add_fields(record: logging.LogRecord, always: dict[str, object]) -> bool:
    if always:
        record.fields = always | getattr(record, "fields", {})
    return True


class _Handler(logging.StreamHandler[TextIO]):
    """Marks what `setup` has added."""


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of an event and, after an exception, its traceback; names the formats use get a `_`."""
    fields: dict[str, object] = getattr(record, "fields", {})
    shown = {f"{key}_" if key in _RESERVED else key: _value(value) for key, value in fields.items()}
    if record.exc_info and record.exc_info[1] is not None:
        shown["traceback"] = _clean("".join(traceback.format_exception(record.exc_info[1])), TRACEBACK_LIMIT)
    return shown


def _value(value: object) -> bool | int | float | str | None:
    """A value as JSON can hold it, bounded in length."""
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{memoryview(value).nbytes} bytes>"
    return _clean(str(value), VALUE_LIMIT)


def _clean(text: str, limit: int) -> str:
    """At most `limit` characters, no lone surrogates: those are not text and strict readers refuse them."""
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text)} characters)"
    return text.encode("utf-8", "backslashreplace").decode()


def _moment(record: logging.LogRecord) -> str:
    """When it happened, UTC with milliseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, event, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        head = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _clean(record.getMessage(), VALUE_LIMIT),
        }
        return json.dumps(head | _fields(record))


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z info    connection closed            code=GOODBYE peer=127.0.0.1:40000`."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower():<7}"
        if self._colour and record.levelname in _COLOURS:
            level = _COLOURS[record.levelname] + level + _PLAIN_COLOUR
        what = _escape(_clean(record.getMessage(), VALUE_LIMIT))
        pairs = " ".join(f"{_shown(key)}={_shown(value)}" for key, value in _fields(record).items())
        return f"{_moment(record)} {level} {what:<28} {pairs}".rstrip()


def _shown(value: object) -> str:
    """A value in a text line: bare if it has only harmless characters, else quoted and escaped."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if _PLAIN.match(text) else json.dumps(text)


def _escape(text: str) -> str:
    """Printable ASCII, without the quotes."""
    return json.dumps(text)[1:-1].replace('\\"', '"')
