"""What end-to-end encryption costs for a message, beside a plain envelope. No gateway, no network.

`extra_info` has the bytes that a message is longer. Opening needs a new message each time, so it is measured over
batches of `BATCH`: divide by it.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from agpd.crypto import prekeys, vouch
from agpd.crypto.handshake import Identity
from agpd.crypto.headers import Purpose
from agpd.crypto.issuing import Issuer
from agpd.crypto.keys import SigningKey
from agpd.crypto.prekeys import CLASSICAL, HYBRID, Ring
from agpd.crypto.sealing import Endpoint
from agpd.crypto.trust import Trust
from agpd.wire import envelope

A, B = "acme/prod/a/0f8fad5b-d9cb-469f-a165-70867728950e", "acme/prod/b/7c9e6679-7425-40de-944b-e07fc1f90ae7"
TYPE = "acme/prod/b"
SIZES = [256, 4096, 65536]
BATCH = 500
NOW = int(time.time())
NOW_MS = NOW * 1000


class Tenant:
    """A root, a key daemon, and agents that they vouch for."""

    def __init__(self, suite: int) -> None:
        self.root = SigningKey.generate(os.urandom)
        key = SigningKey.generate(os.urandom)
        self.issuer = Issuer(key, self.certify("acme/system/agp-keyd", key), os.urandom)
        for name in ("acme/prod/a", TYPE):
            key = SigningKey.generate(os.urandom)
            self.issuer.add_type(key, self.certify(name, key), suite)
            self.issuer.rotate(name, NOW)
        self.issuer.publish(NOW)

    def certify(self, name: str, key: SigningKey) -> vouch.Certificate:
        """By the root."""
        return vouch.issue_type(self.root, name, key.public, os.urandom(16), NOW, NOW + 86400 * 30)

    def agent(self, name: str) -> Endpoint:
        """Enrolled."""
        identity = Identity.generate(name, os.urandom)
        identity.chain = self.issuer.vouch(name, identity.signing.public, identity.exchange.public, NOW)
        trust = Trust("acme", self.root.public)
        trust.install(self.issuer.since(0), NOW)
        ring = Ring()
        for prekey in self.issuer.granted(name.rpartition("/")[0], False):
            ring.add(prekey)
        return Endpoint(identity, trust, ring, started_ms=NOW_MS)


def connected(suite: int = CLASSICAL) -> tuple[Endpoint, Endpoint]:
    """Two agents with a session, and the sender key of the first at the second."""
    tenant = Tenant(suite)
    a, b = tenant.agent(A), tenant.agent(B)
    contact(a, b)
    a.publisher(TYPE, NOW_MS)
    b.open(a.distribute(TYPE, [9], now_ms=NOW_MS)[0][1], now_ms=NOW_MS)
    return a, b


def contact(a: Endpoint, b: Endpoint) -> None:
    """First message and answer, both sides."""
    bundle = a.trust.type_prekey(TYPE, prekeys.TYPE, NOW)
    opened = b.open(a.first(TYPE, bundle, b"x" * 256, id=1, now_ms=NOW_MS), now_ms=NOW_MS)
    assert opened.contact is not None
    a.open(b.answer(opened.contact, b"", id=2, now_ms=NOW_MS, purpose=Purpose.REKEY), now_ms=NOW_MS)


Case = tuple[Callable[[bytes], bytes], Callable[[bytes], Any]]


def plain() -> Case:
    """Without encryption: the envelope alone."""
    return lambda data: envelope.pack(envelope.Envelope(data)), lambda wire: envelope.unpack(wire).body


def unicast() -> Case:
    """In a session."""
    a, b = connected()
    return lambda data: a.seal(B, data, id=1, now_ms=NOW_MS), lambda wire: b.open(wire, now_ms=NOW_MS)


def hybrid() -> Case:
    """In a session of suite 2, which costs more to begin and nothing after."""
    a, b = connected(HYBRID)
    return lambda data: a.seal(B, data, id=1, now_ms=NOW_MS), lambda wire: b.open(wire, now_ms=NOW_MS)


def topic() -> Case:
    """To all of a type."""
    a, b = connected()
    publisher = a.publisher(TYPE, NOW_MS)

    def seal(data: bytes) -> bytes:
        if publisher.iteration >= 60_000:
            publisher.rotate(NOW_MS)
        return publisher.seal(data, id=1, now_ms=NOW_MS)

    def open_(wire: bytes) -> Any:
        return b.open(wire, now_ms=NOW_MS, source=A, destination=TYPE)

    return seal, open_


CASES = [plain, unicast, hybrid, topic]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_seal(benchmark: Any, case: Callable[[], Case], size: int) -> None:
    seal, _ = case()
    data = os.urandom(size)
    benchmark.extra_info["overhead_bytes"] = len(seal(data)) - size
    benchmark(seal, data)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_open_a_batch(benchmark: Any, case: Callable[[], Case], size: int) -> None:
    made: list[Case] = []
    data = os.urandom(size)

    def setup() -> tuple[tuple[list[bytes]], dict[str, Any]]:
        if not made:
            made.append(case())
        return ([made[0][0](data) for _ in range(BATCH)],), {}

    def open_all(wires: list[bytes]) -> None:
        open_ = made[0][1]
        for wire in wires:
            open_(wire)

    benchmark.pedantic(open_all, setup=setup, rounds=10 if size > 10_000 else 30)


@pytest.mark.parametrize("known", [False, True], ids=["new chains", "known chains"])
@pytest.mark.parametrize("suite", [CLASSICAL, HYBRID], ids=["classical", "hybrid"])
def test_first_contact(benchmark: Any, suite: int, known: bool) -> None:
    """Both sides of a first message with 256 bytes and its answer."""
    tenant = Tenant(suite)
    a, b = tenant.agent(A), tenant.agent(B)

    def setup() -> tuple[tuple[Endpoint, Endpoint], dict[str, Any]]:
        ends = (a, b) if known else (tenant.agent(A), tenant.agent(B))
        for each in ends:  # what came with the directory was proved before
            each.trust.type_prekey(TYPE, prekeys.TYPE, NOW)
        return ends, {}

    contact(a, b)
    bundle = a.trust.type_prekey(TYPE, prekeys.TYPE, NOW)
    wire = a.first(TYPE, bundle, b"", id=7, now_ms=NOW_MS)
    benchmark.extra_info["first_bytes"] = len(wire)
    benchmark.pedantic(contact, setup=setup, rounds=100)
