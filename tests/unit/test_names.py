"""agpd/names.py: one grammar, one spelling."""

# ruff: noqa: RUF001  (letters that only look alike are the point)

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agpd.errors import Code, Refused
from agpd.names import Name, Pattern, is_segment, parse, parse_instance, parse_pattern, parse_type

SEGMENT = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
NAMES = (
    st.lists(SEGMENT, min_size=3, max_size=4)
    .map(lambda parts: Name(*parts))
    .filter(lambda n: len(str(n)) <= 255)
)

BAD_SEGMENTS = [
    "",
    "A",
    "ä",
    "-a",
    "_a",
    "a b",
    "a.b",
    "a\n",
    "a\0",
    "*",
    "..",
    "x" * 64,
    "ａ",
    "a\u0301",
    "１",
]


@given(NAMES)
def test_print_and_parse(name):
    assert parse(str(name)) == name
    assert (parse_instance if name.is_instance else parse_type)(str(name)) == name
    assert name.type_name.at(name.instance) == name
    assert not name.type_name.is_instance


@given(NAMES, st.integers(0, 4))
def test_patterns_print_parse_and_match(name, length):
    pattern = Pattern(tuple(part for part in name if part)[:length])
    assert parse_pattern(str(pattern)) == pattern
    assert pattern.matches(name)


@pytest.mark.parametrize("bad", BAD_SEGMENTS)
@pytest.mark.parametrize("place", range(4))
def test_a_bad_segment_anywhere(bad, place):
    parts = ["acme", "dev", "writer", str(uuid.UUID(int=1))]
    assert parse("/".join(parts))  # control
    assert all(map(is_segment, parts))
    parts[place] = bad
    assert not is_segment(bad)
    for parser in (parse, parse_pattern):
        if parser is parse_pattern and bad == "*" and place == 3:
            continue  # org/ns/type/* is a pattern
        with pytest.raises(Refused) as caught:
            parser("/".join(parts))
        assert caught.value.code is Code.INVALID_NAME


@pytest.mark.parametrize("text", ["", "a", "a/b", "a/b/c/d/e", "/a/b/c", "a/b/c/", "a//c", "*"])
def test_a_name_has_3_or_4_segments(text):
    with pytest.raises(Refused):
        parse(text)


def test_lengths():
    longest = "/".join(["a" * 63] * 4)
    assert len(longest) == 255
    assert parse(longest)
    for parser in (parse, parse_pattern):
        with pytest.raises(Refused, match="256"):
            parser(longest + "a")


def test_types_and_instances_are_told_apart():
    with pytest.raises(Refused, match="one instance"):
        parse_type("a/b/c/d")
    with pytest.raises(Refused, match="names a type"):
        parse_instance("a/b/c")


@pytest.mark.parametrize("text", ["a", "a/b", "*/a", "a/*/c", "a/b/c/d/e", "a/b/c/d/e/*", "", "a*"])
def test_what_is_no_pattern(text):
    with pytest.raises(Refused):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("text", "length"), [("*", 0), ("a/*", 1), ("a/b/*", 2), ("a/b/c", 3), ("a/b/c/*", 3), ("a/b/c/d", 4)]
)
def test_what_is_a_pattern(text, length):
    pattern = parse_pattern(text)
    assert len(pattern.prefix) == length
    assert pattern.matches(Name("a", "b", "c", "d"))
    assert pattern.matches(Name("z", "b", "c", "d")) is (length == 0)


def test_a_prefix_is_of_segments_not_of_characters():
    assert not parse_pattern("acme/*").matches(parse("acme2/dev/writer"))


def test_what_is_no_text():
    with pytest.raises(Refused, match="int"):
        parse(5)
