"""agpd/crypto/layout.py: fixed layouts, read exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agpd.crypto import layout
from agpd.crypto.errors import Malformed
from agpd.crypto.layout import Reader


@given(st.integers(0, 2**64 - 1))
def test_numbers_are_big_endian(value):
    assert layout.number(value, 8) == value.to_bytes(8, "big")
    assert Reader(layout.number(value, 8)).number(8) == value


def test_names_come_back():
    reader = Reader(layout.name("acme/prod/finance") + layout.name("a/b/c/d"))
    assert [reader.name(), reader.name()] == ["acme/prod/finance", "a/b/c/d"]
    reader.done()


@pytest.mark.parametrize("text", [b"", b"a/b", b"A/b/c", b"a/b/c/d/e", b"\xff/b/c", b"a/b/_c"])
def test_what_is_no_name_is_malformed(text):
    with pytest.raises(Malformed):
        Reader(bytes([len(text)]) + text).name()


@pytest.mark.parametrize(
    "act", [lambda r: r.take(4), lambda r: r.number(4), lambda r: r.name(), lambda r: r.done()]
)
def test_too_few_and_too_many_bytes_are_malformed(act):
    with pytest.raises(Malformed):
        act(Reader(b"\x09ab"))


def test_another_version_is_malformed():
    Reader(b"\1").version()
    for other in (b"\0", b"\2", b""):
        with pytest.raises(Malformed):
            Reader(other).version()


def test_the_rest():
    reader = Reader(b"abcd", 1)
    assert reader.rest() == b"bcd"
    reader.done()
