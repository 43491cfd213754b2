"""Payloads to bytes and back."""

import datetime
from typing import Any

import msgspec
import pydantic
import pytest

from agpd_client import codec
from agpd_client.errors import DecodeError, RemoteError


class Row(msgspec.Struct):
    n: int


class Model(pydantic.BaseModel):
    n: int


@pytest.mark.parametrize(
    ("value", "content_type"),
    [
        (b"x", codec.BYTES),
        ("x", codec.TEXT),
        (None, codec.MSGPACK),
        ([1, {"a": 2.5}], codec.MSGPACK),
        (Row(1), codec.MSGPACK),
        (Model(n=1), codec.JSON),
    ],
)
def test_round_trip(value: Any, content_type: int) -> None:
    body, told = codec.encode(value)
    assert told == content_type
    kind = type(value) if isinstance(value, (Row, Model)) else None
    assert codec.decode(body, told, kind) == value


def test_other_bytes_types_and_nested_models() -> None:
    assert codec.encode(bytearray(b"x")) == codec.encode(memoryview(b"x")) == (b"x", codec.BYTES)
    assert codec.decode(*codec.encode([Model(n=1)])) == [{"n": 1}]
    assert codec.decode(*codec.encode({"n": 1}), Model) == Model(n=1)


def test_what_cannot_be_sent_says_what_can() -> None:
    with pytest.raises(TypeError, match="send bytes, str"):
        codec.encode(object())
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="cannot send"):
        codec.encode(deep)
    with pytest.raises(ValueError, match="cannot send"):
        codec.encode(2**70)


@pytest.mark.parametrize(
    ("body", "content_type", "kind", "text"),
    [
        (b"\xff", codec.TEXT, None, "not readable"),
        (b"\xc1", codec.MSGPACK, None, "not readable"),
        (b"{", codec.JSON, None, "not readable"),
        (codec.encode({"n": "x"})[0], codec.MSGPACK, Row, r"a Row.*\$\.n"),
        (b'{"n": "x"}', codec.JSON, Model, r"a Model.*\$\.n"),
        (b"raw", codec.BYTES, Row, "a Row"),
        (b"\x91" * 100_000, codec.MSGPACK, None, "not readable"),
    ],
)
def test_unreadable_payloads(body: bytes, content_type: int, kind: Any, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        codec.decode(body, content_type, kind)


def test_failures() -> None:
    with pytest.raises(RemoteError, match="KeyError: 'x'") as caught:
        codec.decode(*codec.encode_failure(KeyError("x")))
    assert caught.value.type == "KeyError"
    with pytest.raises(RemoteError, match="without saying how"):
        codec.decode(b"\xc1", codec.ERROR)


def test_unknown_content_types_are_bytes_and_text_converts() -> None:
    assert codec.decode(b"<a/>", "application/xml") == b"<a/>"
    assert codec.decode(b"x", codec.TEXT, str) == "x"
    with pytest.raises(DecodeError):
        codec.decode(b"x", codec.TEXT, datetime.datetime)
