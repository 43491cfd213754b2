"""One event is one line of printable ASCII, whatever stands in it."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from agpd.errors import Code
from agpd.telemetry.logs import TRACEBACK_LIMIT, VALUE_LIMIT, event, setup

LOGGER = logging.getLogger("agpd.tests")

NAUGHTY = [
    "",
    " ",
    "a\nb",
    "a\r\nb",
    "a\rb",
    "\x1b[2J\x1b[1;31mred",
    "\x9b31m",
    "\u2028line\u2029paragraph",
    "\x85next",
    "\x00\x01\x07\x08\x0b\x0c\x1c\x1d\x1e\x7f",
    "\u202etxt.exe",
    "\ufeff\u200b\u00ad",
    "\ud800 lone \udfff",
    "\U0001f4a9 ﷽ Ω≈ç√∫ 田中さん",
    'quote " backslash \\ end\\',
    "code=OK peer=forged",
    '","level":"error","event":"forged',
    '{"event": "forged"}',
    "2026-01-31T12:00:00.000Z error forged",
    "%s %d %n %(x)s {0} {x}",
    "null",
    "true",
    "NaN",
    "1e400",
    "<script>alert(1)</script>",
    "$(reboot) `reboot` ; | &",
    "../../etc/passwd",
    "' OR 1=1 --",
    "x" * 100_000,
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """What `setup` changes is process-wide."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    level = logging.getLogger("agpd").level
    yield
    root.handlers[:] = handlers
    logging.getLogger("agpd").setLevel(level)


def lines(kind: str, what: str, **fields: object) -> list[str]:
    """The lines that one event makes."""
    stream = io.StringIO()
    setup("debug", kind, stream)
    event(LOGGER, logging.INFO, what, **fields)
    assert stream.getvalue().endswith("\n")
    # str.splitlines knows every separator of Unicode, as a hostile reader might.
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("kind", ["text", "json"])
@pytest.mark.parametrize("text", NAUGHTY)
def test_a_line_cannot_be_forged(kind: str, text: str) -> None:
    for made in (
        lines(kind, "connection closed", peer=text),
        lines(kind, text, peer="x"),
        lines(kind, "connection closed", **{text: 1}),
        lines(kind, "connection closed", error=ValueError(text)),
        lines(kind, "connection closed", several=[text, {text: text}]),
    ):
        assert len(made) == 1
        assert re.fullmatch(r"[ -~]+", made[0]), made[0]


@pytest.mark.parametrize("text", NAUGHTY)
def test_json_lines_are_json_that_gives_the_value_back(text: str) -> None:
    [line] = lines("json", "connection closed", peer=text, code=Code.GOODBYE)
    read = json.loads(line)
    assert (read["event"], read["level"], read["code"]) == ("connection closed", "info", "GOODBYE")
    whole = text.encode("utf-8", "backslashreplace").decode()
    if len(whole) <= VALUE_LIMIT:
        assert read["peer"] == whole
    else:
        assert read["peer"] == f"{whole[:VALUE_LIMIT]}... ({len(whole)} characters)"
    read["peer"].encode("utf-8")  # no lone surrogates, which strict readers refuse


@pytest.mark.parametrize("text", NAUGHTY)
def test_a_value_in_text_does_not_look_like_another_field(text: str) -> None:
    [line] = lines("text", "connection closed", peer=text, last="1")
    shown = re.fullmatch(r"\S+ info    connection closed +peer=(.*) last=1", line)
    assert shown
    assert json.loads(shown[1]) if shown[1].startswith('"') and text else True
    assert shown[1].startswith('"') or "=" not in shown[1]


def test_control_without_escaping_a_line_is_forged() -> None:
    """The naughty strings do their work against a plain formatter."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    LOGGER.error("peer=%s", "a\nb\u2028c")
    assert len(stream.getvalue().splitlines()) == 3


def test_payloads_show_as_their_length() -> None:
    secret = b"secret payload"
    words = memoryview(b"secret..").cast("I")
    for kind in ("text", "json"):
        [line] = lines(
            kind, "dropped", body=secret, again=bytearray(secret), view=memoryview(secret), words=words
        )
        assert "secret" not in line
        assert line.count("<14 bytes>") == 3
        assert "<8 bytes>" in line


def test_json_keeps_the_types_it_has() -> None:
    [line] = lines("json", "x", a=1, b=True, c=None, d=1.5, e=float("nan"), f=float("inf"))
    read = json.loads(line, parse_constant=pytest.fail)
    assert [read[key] for key in "abcdef"] == [1, True, None, 1.5, "nan", "inf"]


def test_fields_do_not_replace_what_the_format_says() -> None:
    [line] = lines("json", "x", level="error", event="forged", time=0)
    read = json.loads(line)
    assert (read["level"], read["event"], read["level_"], read["event_"]) == ("info", "x", "error", "forged")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", read["time"])
    assert read["logger"] == "agpd.tests"


def test_text_is_aligned_and_readable() -> None:
    [line] = lines(
        "text", "connection closed", code=Code.GOODBYE, peer="127.0.0.1:4", why="it left", n=3, ok=True
    )
    assert (
        line[24:]
        == ' info    connection closed            code=GOODBYE peer=127.0.0.1:4 why="it left" n=3 ok=true'
    )
    assert lines("text", "draining")[0].endswith("info    draining")


@pytest.mark.parametrize("kind", ["text", "json"])
def test_an_exception_is_one_line_with_its_traceback(kind: str) -> None:
    stream = io.StringIO()
    setup("info", kind, stream)
    try:
        raise ValueError("first\nsecond" + "x" * TRACEBACK_LIMIT)
    except ValueError:
        LOGGER.exception("it broke")
    LOGGER.error("nothing raised", exc_info=True)
    broke, nothing = stream.getvalue().splitlines()
    assert "test_logs.py" in broke
    assert "first" in broke
    assert len(broke) < TRACEBACK_LIMIT + 1000
    assert "traceback" not in nothing


def test_only_events_from_the_level_on_are_shown() -> None:
    stream = io.StringIO()
    setup("warning", "text", stream)
    event(LOGGER, logging.INFO, "quiet")
    event(LOGGER, logging.WARNING, "loud")
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["loud"]


def test_libraries_only_warn_and_cannot_forge_lines() -> None:
    stream = io.StringIO()
    setup("debug", "text", stream)
    logging.getLogger("asyncio").debug("Using selector")
    logging.getLogger("asyncio").warning("odd %s", "a\nb")
    assert len(stream.getvalue().splitlines()) == 1
    assert "odd a\\nb" in stream.getvalue()


def test_setting_up_again_replaces_the_stream() -> None:
    first, second = io.StringIO(), io.StringIO()
    setup("info", "text", first)
    setup("info", "json", second)
    event(LOGGER, logging.INFO, "once")
    assert first.getvalue() == ""
    assert json.loads(second.getvalue())["event"] == "once"


def test_colour_only_on_a_terminal() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        setup("info", "text", stream)
        event(LOGGER, logging.WARNING, "slow", peer="\x1b[31m")
        event(LOGGER, logging.INFO, "plain")
    assert "\x1b" not in pipe.getvalue()
    coloured, plain = terminal.getvalue().splitlines()
    assert coloured[24:].startswith(" \x1b[33mwarning\x1b[0m slow")
    assert coloured.count("\x1b") == 2
    assert "\x1b" not in plain


def test_fields_of_every_line_stand_in_every_line() -> None:
    stream = io.StringIO()
    setup("info", "json", stream, worker=2)
    event(LOGGER, logging.INFO, "one", peer="x")
    LOGGER.warning("two")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["worker"], first["peer"]) == (2, "x")
    assert (second["worker"], second["event"]) == (2, "two")
