"""Names of AGP and SLIM: 64 bits for each component instead of its text.

agp-bindings and slim-bindings 0.3.6 hash with SipHash-1-3, slim-bindings from 0.4 on with XXH64, both over the UTF-8
bytes followed by 0xff and both with a key or seed of 0. The key is public, so a hash is an address and proves nothing.

Both come from packages in C: `siphash24` (it has the 1-3 variant, which the standard library has not) and `xxhash`.
"""

import enum
import functools
import struct

import siphash24
import xxhash

U64_MAXIMUM = 0xFFFF_FFFF_FFFF_FFFF
# Longer texts are hashed anew each time: what is kept of a peer's text must be small.
CACHED_TEXT_LIMIT = 64

Hashes = tuple[int, int, int]  # of organization, namespace and type
Names = tuple[str, str, str]

_KEY = bytes(16)
_END = b"\xff"
_TRIPLE = struct.Struct("<QQQ")
_SESSION_MODULUS = 2**32 - 1


class Family(enum.Enum):
    """Which function a peer hashes names with. One peer uses one for all components."""

    SIPHASH = "siphash"
    XXHASH = "xxhash"


def raw_siphash(data: bytes) -> int:
    """SipHash-1-3 with a key of zeros."""
    return int.from_bytes(siphash24.siphash13(data, key=_KEY).digest(), "little")


@functools.lru_cache(maxsize=16384)  # 0.7 us; 0.05 when it is there
def _siphash(text: str) -> int:
    return raw_siphash(text.encode() + _END)


@functools.lru_cache(maxsize=16384)
def _xxhash(text: str) -> int:
    return xxhash.xxh64_intdigest(text.encode() + _END)


def siphash(text: str) -> int:
    """A component as agp-bindings hash it."""
    return _siphash(text) if len(text) <= CACHED_TEXT_LIMIT else _siphash.__wrapped__(text)


def xxhash64(text: str) -> int:
    """A component as slim-bindings from 0.4 on hash it."""
    return _xxhash(text) if len(text) <= CACHED_TEXT_LIMIT else _xxhash.__wrapped__(text)


def component(family: Family, text: str) -> int:
    """A component as peers of this family hash it."""
    return siphash(text) if family is Family.SIPHASH else xxhash64(text)


def triple(family: Family, names: Names) -> Hashes:
    """All three components of a name."""
    organization, namespace, kind = names
    return component(family, organization), component(family, namespace), component(family, kind)


def family_of(names: Names, hashes: Hashes) -> Family | None:
    """By which function these texts have these hashes; None if by neither."""
    for family in Family:
        if triple(family, names) == hashes:
            return family
    return None


def topic_session(hashes: Hashes) -> int:
    """The session id that all participants of a topic of agp-bindings share: it follows from the topic's name."""
    return raw_siphash(_TRIPLE.pack(*hashes)) % _SESSION_MODULUS
