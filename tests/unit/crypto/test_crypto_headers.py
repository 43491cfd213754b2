"""agpd/crypto/headers.py: headers read once, and padding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agpd.crypto import headers
from agpd.crypto.errors import DecryptionFailed
from agpd.crypto.headers import Kind, Padding, Purpose, pack_long, pack_plain, read_long, unpack_plain

U64 = st.integers(0, 2**64 - 1)
A, B = "acme/prod/finance/1", "acme/prod/audit"


@given(st.sampled_from([1, 2]), st.integers(0, 15), U64, U64, U64, U64)
def test_long_headers_come_back(suite, flags, id_, correlation, expires, created):
    raw = pack_long(suite, Kind.FIRST, flags, id_, correlation, expires, created, A, B)
    found = read_long(raw + b"more")
    assert found == (suite, Kind.FIRST, flags, id_, correlation, expires, created, A, B, raw)
    assert len(raw) == headers.SHORT_BYTES + 8 + 2 + len(A) + len(B)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes(27),
        pack_long(1, Kind.FIRST, 16, 1, 0, 0, 0, A, B),
        pack_long(1, Kind.ANSWER, 1, 1, 0, 0, 0, A, B),
        pack_long(1, Kind.DATA, 0, 1, 0, 0, 0, A, B),
        b"\2" + pack_long(1, Kind.FIRST, 0, 1, 0, 0, 0, A, B)[1:],
        pack_long(1, Kind.FIRST, 0, 1, 0, 0, 0, A, B)[:-1],
    ],
)
def test_what_is_no_header_is_a_message_that_does_not_open(raw):
    with pytest.raises(DecryptionFailed):
        read_long(raw)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw):
    for read in (read_long, headers.kind_of, unpack_plain):
        try:
            read(raw)
        except DecryptionFailed:
            continue


@given(
    st.sampled_from(list(Purpose)),
    st.binary(max_size=40),
    st.binary(max_size=300),
    st.sampled_from(list(Padding)),
)
def test_what_is_packed_is_unpacked(purpose, inner, data, padding):
    plain = pack_plain(purpose, inner, data, padding)
    assert unpack_plain(plain) == (purpose, inner, data)
    needed = 3 + len(inner) + len(data) + 1
    if padding is Padding.BLOCK:
        assert len(plain) % 64 == 0
        assert len(plain) - needed < 64
    elif padding is Padding.NONE:
        assert len(plain) == needed
    else:
        assert needed <= len(plain) <= needed * 1.12 + 1


def test_data_that_end_like_padding_come_back():
    for data in (b"\x80", b"\x80\0\0", bytes(70), b""):
        assert unpack_plain(pack_plain(0, b"", data))[2] == data


@pytest.mark.parametrize(
    "plain",
    [b"", bytes(64), b"\0\0\0", b"\0\0\0\x01", b"\0\0\5ab\x80", b"\x09\0\0\x80", b"\0\0\0a\x7f\0\0"],
)
def test_what_is_wrongly_packed_does_not_open(plain):
    with pytest.raises(DecryptionFailed):
        unpack_plain(plain)


def test_lengths_of_padme_are_few():
    assert len({headers.padme(size) for size in range(2, 100_000)}) < 220
    assert headers.padme(9) == 10
    assert headers.padme(1_000_000) == 1_015_808


@pytest.mark.parametrize("kind", list(Kind))
def test_the_kind_is_the_third_byte(kind):
    assert headers.kind_of(bytes([1, 1, kind]) + bytes(25)) == kind
    with pytest.raises(DecryptionFailed):
        headers.kind_of(bytes([1, 1, kind]) + bytes(24))
