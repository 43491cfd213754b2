"""Text from elsewhere cannot control a terminal."""

import pytest

from agpd.cli.text import printable


@pytest.mark.parametrize("naughty", ["\x1b[31m", "\n", "\r", "\x9b2J", "\u202e", "\u2028", "\x00", "\x7f"])
def test_nothing_that_a_terminal_obeys_is_left(naughty: str) -> None:
    shown = printable(f"a{naughty}b")
    assert shown.isprintable()
    assert shown[0] + shown[-1] == "ab"


def test_what_can_be_printed_stays() -> None:
    assert printable("grüße \\n 你好") == "grüße \\n 你好"


def test_long_texts_are_cut() -> None:
    assert printable("abcdef", 3) == "abc... (6 characters)"
    assert printable("abc", 3) == "abc"
