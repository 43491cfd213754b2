import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agpd.control.strict_json import loads
from agpd.errors import Code, Refused

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


def refusal(data: bytes, **limits: int) -> str:
    with pytest.raises(Refused) as caught:
        loads(data, **limits)
    assert caught.value.code is Code.INVALID_REQUEST
    return caught.value.detail


@given(values)
def test_what_is_json_is_read_as_it_was_written(value: object) -> None:
    assert loads(json.dumps(value).encode(), depth=64) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_json_reads_them_or_refused(data: bytes) -> None:
    try:
        value = loads(data)
    except Refused:
        return
    assert value == json.loads(data)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ('[{"b": {"x": 1, "x": 1}}]', "twice"),
        ('{"a": 1, "\\u0061": 2}', "twice"),
        ("[NaN]", "NaN"),
        ("[Infinity]", "Infinity"),
        ("-Infinity", "Infinity"),
        ("1e400", "too large"),
        ("-1e400", "too large"),
        (str(2**63), "64 bits"),
        ("9" * 5000, "64 bits"),
        ("-" + "9" * 30, "64 bits"),
        ('"\\ud800"', "surrogate"),
        ('{"\\udc00x": 1}', "surrogate"),
        ('["\\ude00\\ud83d"]', "surrogate"),
        ("\ufeff{}", "no JSON"),
        ("", "no JSON"),
        ("{} {}", "no JSON"),
        ("{'a': 1}", "no JSON"),
        ("[1,]", "no JSON"),
        ("[01]", "no JSON"),
        ('"\x01"', "no JSON"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text: str, says: str) -> None:
    assert says in refusal(text.encode())


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    assert "UTF-8" in refusal(b'"\xff"')
    assert "UTF-8" in refusal(b'"\xed\xa0\x80"')  # a surrogate, encoded


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_depth_counts_brackets_outside_of_strings_only() -> None:
    assert loads(b"[" * 32 + b"]" * 32) is not None
    assert "deeper than 32" in refusal(b"[" * 33 + b"]" * 33)
    assert "deeper than 32" in refusal(b'{"a":' * 33 + b"1" + b"}" * 33)
    many = b'["' + b"[" * 5000 + b'", "\\"[[[", ' + b"[], " * 5000 + b"{}]"
    assert len(loads(many)) == 5003
    assert "deeper" in refusal(b"[" * 1_000_000)
    assert refusal(b"]" * 5000 + b"[" * 5000)


def test_size_is_looked_at_first() -> None:
    assert loads(b'"abc"', limit=5) == "abc"
    assert "6 bytes" in refusal(b'"abcd"', limit=5)
