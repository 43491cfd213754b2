"""Messages, statuses and metadata of gRPC."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agpd.errors import CATALOGUE, Code, Refused
from agpd.wire.grpc import (
    DETAIL_LIMIT_BYTES,
    Failed,
    Metadata,
    Splitter,
    Status,
    encode_detail,
    encode_metadata,
    head,
    head_of,
    parse_timeout,
    prefixed,
    status_of,
    trailers,
)

REQUEST = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a.B/C"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]


@given(st.lists(st.binary(max_size=40), max_size=12), st.lists(st.integers(0, 300), max_size=12))
def test_messages_come_out_as_they_went_in(messages, cuts):
    splitter, data, got = Splitter(40), b"".join(map(prefixed, messages)), []
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    parts = [data[begin:end] for begin, end in pairwise(places)]
    for place in range(0, len(parts), 2):
        got += splitter.feed(parts[place : place + 2])
        assert splitter.open_bytes < 45
    assert got == messages
    splitter.end()
    assert splitter.failure is None


def test_an_open_message_is_not_copied_for_each_part_of_it():
    splitter = Splitter(1000)
    splitter.feed([prefixed(bytes(900))[:100]])
    kept = splitter._kept
    for _ in range(7):
        assert splitter.feed([bytes(100)]) == []
        assert splitter._kept is kept
    assert splitter.feed([bytes(105)]) == [bytes(900)]


def test_a_message_above_the_limit_is_refused_when_it_is_announced():
    splitter = Splitter(10)
    assert splitter.feed([prefixed(b"x" * 10) + prefixed(b"y" * 11)[:5]]) == [b"x" * 10]
    assert splitter.failure is not None
    assert splitter.failure.status is Status.RESOURCE_EXHAUSTED
    assert "11 bytes, the limit is 10" in splitter.failure.detail
    assert splitter.open_bytes == 0
    assert splitter.feed([prefixed(b"z")]) == []


def test_a_compressed_message_is_refused():
    splitter = Splitter(10)
    assert splitter.feed([b"\x01\0\0\0\x01x"]) == []
    assert splitter.failure is not None
    assert splitter.failure.status is Status.UNIMPLEMENTED


def test_the_end_within_a_message():
    for part in (prefixed(b"abc")[:3], prefixed(b"abc")[:6]):
        splitter = Splitter(10)
        assert splitter.feed([part]) == []
        splitter.end()
        assert splitter.failure is not None
        assert splitter.failure.status is Status.INTERNAL


def test_what_is_discarded_is_forgotten():
    splitter = Splitter(10)
    splitter.feed([prefixed(b"abc")[:6]])
    assert splitter.open_bytes == 6
    splitter.discard()
    assert splitter.open_bytes == 0
    assert splitter.feed([prefixed(b"abc")]) == []


def test_statuses_are_those_of_grpc_and_cover_the_catalogue():
    import grpc

    assert {status.name: int(status) for status in Status} == {
        code.name: code.value[0] for code in grpc.StatusCode
    }
    assert {entry.grpc for entry in CATALOGUE.values()} <= set(Status.__members__)


def test_an_error_of_the_catalogue_has_its_code_in_the_trailers():
    status, detail, trailing = status_of(Refused(Code.NOT_PERMITTED, "no"))
    assert (status, tuple(trailing)) == (
        Status.PERMISSION_DENIED,
        (("agpd-code", "300"), ("agpd-code-name", "NOT_PERMITTED")),
    )
    assert "NOT_PERMITTED" in detail
    assert (b"agpd-code", b"300") in trailers(status, detail, trailing)


# ---- metadata


def test_metadata_of_a_request():
    metadata = Metadata([*REQUEST, (b"a", b"1"), (b"a", b"2"), (b"b", b"\xff"), (b"k-bin", b"AAEC,Aw==")])
    assert (metadata.get("a"), metadata.all("a"), metadata.get("c"), metadata.all("c")) == (
        "1",
        ["1", "2"],
        None,
        [],
    )
    assert metadata.get(":path") is None
    assert metadata.get("b") == "\ufffd"
    assert metadata.binary("k-bin") == b"\0\1\2"
    assert metadata.binary("none-bin") is None
    assert "1" not in repr(Metadata([(b"authorization", b"Bearer 1")])).replace("1 values", "")


@pytest.mark.parametrize(
    ("text", "data"), [(b"", b""), (b"AA", b"\0"), (b"AA==", b"\0"), (b"/+8", b"\xff\xef")]
)
def test_binary_metadata_with_and_without_padding(text, data):
    assert Metadata([(b"k-bin", text)]).binary("k-bin") == data


@pytest.mark.parametrize("text", [b"A", b"$$$$", b"\xff\xff"])
def test_binary_metadata_that_is_none(text):
    with pytest.raises(Failed) as caught:
        Metadata([(b"k-bin", text)]).binary("k-bin")
    assert caught.value.status is Status.INVALID_ARGUMENT


def test_metadata_of_an_answer():
    assert encode_metadata([("Key", "v"), ("k-bin", b"\0")]) == [(b"key", b"v"), (b"k-bin", b"AA")]
    for pair in (("k", b"\0"), ("k", "a\r\nb"), ("k", "ü"), ("k", "\0")):
        with pytest.raises(ValueError, match="travel"):
            encode_metadata([pair])


# ---- the head


def test_the_head_of_a_call():
    found = head_of([*REQUEST, (b"grpc-timeout", b"1500m"), (b"x", b"y"), (b"grpc-encoding", b"identity")])
    assert (found.path, found.deadline_s, found.metadata.get("x")) == ("/a.B/C", 1.5, "y")
    assert head_of(REQUEST).deadline_s is None


@pytest.mark.parametrize(
    ("header", "status", "http"),
    [
        ((b":method", b"GET"), Status.INTERNAL, 405),
        ((b"content-type", b"text/html"), Status.UNKNOWN, 415),
        ((b"content-type", b"application/grpc-web"), Status.UNKNOWN, 415),
        ((b"grpc-encoding", b"gzip"), Status.UNIMPLEMENTED, 200),
        ((b"grpc-timeout", b"x"), Status.INTERNAL, 200),
    ],
)
def test_what_is_no_call(header, status, http):
    with pytest.raises(Failed) as caught:
        head_of([*(pair for pair in REQUEST if pair[0] != header[0]), header])
    assert (caught.value.status, caught.value.http) == (status, http)


@pytest.mark.parametrize("kind", [b"application/grpc", b"application/grpc+proto", b"application/grpc;x=y"])
def test_kinds_of_content(kind):
    head_of([*REQUEST[:-1], (b"content-type", kind)])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1H", 3600),
        ("2M", 120),
        ("99999999S", 99_999_999),
        ("1m", 0.001),
        ("5u", 5e-6),
        ("7n", 7e-9),
        ("0S", 0),
    ],
)
def test_timeouts(text, seconds):
    assert parse_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "1s", "-1S", "1.5S", "999999999S", "\u0661S", "+1S", "1 S"])
def test_timeouts_that_are_none(text):
    with pytest.raises(Failed):
        parse_timeout(text)


# ---- the end


def test_the_head_and_the_end_of_an_answer():
    assert head([("k", "v")]) == [
        (b":status", b"200"),
        (b"content-type", b"application/grpc"),
        (b"grpc-accept-encoding", b"identity"),
        (b"k", b"v"),
    ]
    assert head(http=415)[0] == (b":status", b"415")
    assert trailers(Status.OK) == [(b"grpc-status", b"0")]
    assert trailers(Status.NOT_FOUND, "nö", [("a", "b")]) == [
        (b"grpc-status", b"5"),
        (b"grpc-message", b"n%C3%B6"),
        (b"a", b"b"),
    ]


@given(st.text(max_size=200))
def test_details_travel_as_printable_ascii(text):
    encoded = encode_detail(text)
    assert all(0x20 <= byte <= 0x7E for byte in encoded)


def test_details_are_cut_and_lone_surrogates_replaced():
    assert encode_detail("50% of a\nb~") == b"50%25 of a%0Ab~"
    assert len(encode_detail("ü" * 5000)) <= DETAIL_LIMIT_BYTES
    assert encode_detail("x" * 5000) == b"x" * DETAIL_LIMIT_BYTES
    assert encode_detail("\ud800") == b"?"
