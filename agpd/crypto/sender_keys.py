"""One to many: a chain of keys for each publisher and topic, handed to each receiving type once.

What it costs does not depend on the number of receivers. Each message is signed too, or every reader could speak as the
publisher. `proto/e2e.md` section 8.
"""

import struct
from collections import OrderedDict
from typing import NamedTuple

from agpd.crypto import aead, hazmat, layout
from agpd.crypto.errors import (
    Cause,
    DecryptionFailed,
    EpochRollback,
    Expired,
    Replayed,
    SessionEnded,
    UnknownKey,
    UntrustedKey,
    WrongDestination,
)
from agpd.crypto.hazmat import Chance
from agpd.crypto.headers import SHORT_BYTES, Kind, Padding, pack_plain, unpack_plain
from agpd.crypto.keys import Secret, SigningKey
from agpd.crypto.layout import VERSION, Reader
from agpd.crypto.session import EXPIRY_LEEWAY_MS, Opened

KEY_LABEL = b"agpd-skdm-v1"
MESSAGE_LABEL = b"agpd-snd-v1"
EPOCH_LIFE_MS = 3_600_000
EPOCH_MESSAGES = 2**16
EPOCH_KEPT_MS = 600_000
"""A receiver forgets an epoch so long after its end."""
EPOCHS_KEPT = 5
EPOCHS_LIMIT = 10_000
"""Of all publishers together."""
GAP_LIMIT = 2_000
SKIPPED_LIMIT = 25_000
OVERHEAD_BYTES = SHORT_BYTES + 8 + 4 + 4 + aead.TAG_BYTES + hazmat.SIGNATURE_BYTES  # 124

# version, suite, kind, flags, id, correlation, expires, key id, epoch, iteration
_HEAD = struct.Struct(">BBBBQQQQII")
_HEAD_BYTES = _HEAD.size
_CONTEXT = b"agpsndr1"
_NONCE = bytes(12)  # each key is used once
_SUITE = 1


class Distribution(NamedTuple):
    """What opens an epoch from one iteration on: sealed to a type or an instance. `not_after_ms` is Unix time."""

    topic: str
    key_id: int
    epoch: int
    iteration: int
    chain: bytes
    public: bytes
    not_after_ms: int
    body: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"<sender key of {self.topic}, epoch {self.epoch}, not shown>"


def parse(raw: bytes) -> Distribution:
    """Raises `Malformed`."""
    reader = Reader(raw)
    reader.version()
    topic = reader.name()
    key_id, epoch, iteration = reader.number(8), reader.number(4), reader.number(4)
    chain, public = reader.take(hazmat.KEY_BYTES), reader.take(hazmat.KEY_BYTES)
    not_after_ms = reader.number(8)
    body = raw[: reader.position]
    signature = reader.take(hazmat.SIGNATURE_BYTES)
    reader.done()
    return Distribution(topic, key_id, epoch, iteration, chain, public, not_after_ms, body, signature)


def step(chain: bytes) -> tuple[bytes, bytes]:
    """The key of this message, and the chain key of the next."""
    return hazmat.derive(chain, 1, _CONTEXT), hazmat.derive(chain, 2, _CONTEXT)


class Publisher(Secret):
    """One agent's way of sealing to a topic, or to all of a type. `epoch` counts up with each rotation."""

    __slots__ = (
        "_chain",
        "_chance",
        "_identity",
        "_key",
        "_padding",
        "epoch",
        "iteration",
        "key_id",
        "not_after_ms",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        identity: SigningKey,
        chance: Chance,
        now_ms: int,
        padding: Padding = Padding.BLOCK,
    ) -> None:
        self.topic = topic
        self.epoch = 0
        self._identity = identity
        self._chance = chance
        self._padding = padding
        self.rotate(now_ms)

    def rotate(self, now_ms: int) -> None:
        """A new epoch: because a reader was removed, or it is time. Readers need a new `distribution`."""
        self.epoch += 1
        self.iteration = 0
        self.key_id = int.from_bytes(self._chance(8), "big")
        self.not_after_ms = now_ms + EPOCH_LIFE_MS
        self._chain = self._chance(hazmat.KEY_BYTES)
        self._key = SigningKey.generate(self._chance)

    def renew(self, identity: SigningKey) -> None:
        """The agent has another key: sign distributions with it."""
        self._identity = identity

    def wants_rotation(self, now_ms: int) -> bool:
        """Is the epoch over?"""
        return now_ms >= self.not_after_ms or self.iteration >= EPOCH_MESSAGES

    def distribution(self) -> bytes:
        """What lets a reader open from the next message on, and none before. To be sealed before it is sent."""
        body = b"".join(
            (
                layout.number(VERSION, 1),
                layout.name(self.topic),
                layout.number(self.key_id, 8),
                layout.number(self.epoch, 4),
                layout.number(self.iteration, 4),
                self._chain,
                self._key.public,
                layout.number(self.not_after_ms, 8),
            )
        )
        return body + self._identity.sign(KEY_LABEL, body)

    def seal(
        self,
        data: bytes,
        *,
        id: int,  # noqa: A002
        now_ms: int,
        expires_ms: int = 0,
        inner: bytes = b"",
        purpose: int = 0,
    ) -> bytes:
        """A message to all readers. Raises `SessionEnded` where `wants_rotation`."""
        if self.wants_rotation(now_ms) or not self._chain:
            raise SessionEnded("the epoch is over; rotate")
        key, self._chain = step(self._chain)
        head = _HEAD.pack(
            VERSION, _SUITE, Kind.TOPIC, 0, id, 0, expires_ms, self.key_id, self.epoch, self.iteration
        )
        self.iteration += 1
        plain = pack_plain(purpose, inner, data, self._padding)
        unsigned = head + aead.make(key).encrypt(_NONCE, plain, head)
        return unsigned + self._key.sign(MESSAGE_LABEL, unsigned)

    def drop(self) -> None:
        """Forget all keys."""
        self._chain = b""
        self.not_after_ms = 0


class _Epoch(Secret):
    """What a reader holds of one epoch of one publisher."""

    __slots__ = ("chain", "distributed", "epoch", "iteration", "not_after_ms", "public", "skipped", "topic")

    def __init__(self, found: Distribution) -> None:
        self.topic = found.topic
        self.epoch = found.epoch
        self.iteration = found.iteration
        self.chain = found.chain
        self.public = found.public
        self.not_after_ms = found.not_after_ms
        self.distributed = (found.iteration, hazmat.digest(found.body))
        self.skipped: OrderedDict[int, bytes] = OrderedDict()


class Readers(Secret):
    """The epochs that one agent can read, of all publishers."""

    __slots__ = ("_epochs", "_forgotten", "_skipped")

    def __init__(self) -> None:
        self._epochs: dict[tuple[str, int], _Epoch] = {}
        self._forgotten: dict[tuple[str, str], tuple[int, int]] = {}  # epoch, and until when it matters
        self._skipped = 0

    def install(self, raw: bytes, source: str, signing: bytes, now_ms: int) -> Distribution:
        """Take a distribution from the instance that has proved to be `source`; again is no matter.

        Raises `Malformed`, `UntrustedKey`, `Expired`, `EpochRollback`.
        """
        found = parse(raw)
        hazmat.verify(signing, KEY_LABEL, found.body, found.signature)
        if now_ms >= found.not_after_ms + EPOCH_KEPT_MS or found.not_after_ms > now_ms + 2 * EPOCH_LIFE_MS:
            raise Expired("a sender key out of its time")
        key = (source, found.key_id)
        held = self._epochs.get(key)
        if held is not None:
            if (held.epoch, held.topic, held.public) != (found.epoch, found.topic, found.public):
                raise EpochRollback("a sender key is given another content")
            return found
        if found.epoch <= self._forgotten.get((source, found.topic), (0, 0))[0]:
            raise EpochRollback("a sender key of an epoch that was forgotten")
        self._check_single(source, found)
        self._epochs[key] = _Epoch(found)
        self._trim(source, found.topic)
        if len(self._epochs) > EPOCHS_LIMIT:
            self._forget(*next(iter(self._epochs)))
        return found

    def open(self, wire: bytes, source: str, topic: str, now_ms: int) -> Opened:
        """A message of a publisher that the carrier names; a wrong name finds no key.

        Raises `UnknownKey(UNKNOWN_SENDER_KEY)` (ask the publisher), `DecryptionFailed`, `UntrustedKey(SIGNATURE)`,
        `Replayed`, `Expired`, `WrongDestination`. Nothing changes if it raises, `Expired` apart.
        """
        body_end = len(wire) - hazmat.SIGNATURE_BYTES
        if body_end < _HEAD_BYTES + aead.TAG_BYTES:
            raise DecryptionFailed
        head = wire[:_HEAD_BYTES]
        version, suite, kind, flags, id_, correlation, expires_ms, key_id, epoch, iteration = _HEAD.unpack(
            head
        )
        if version != VERSION or suite != _SUITE or kind != Kind.TOPIC or flags or correlation:
            raise DecryptionFailed
        held = self._epochs.get((source, key_id))
        if held is None or held.epoch != epoch:
            raise UnknownKey("no sender key for it", Cause.UNKNOWN_SENDER_KEY)
        if now_ms >= held.not_after_ms + EPOCH_KEPT_MS:
            self._forget(source, key_id)
            raise UnknownKey("the sender key has ended", Cause.UNKNOWN_SENDER_KEY)
        _check_iteration(held, iteration)
        hazmat.verify(held.public, MESSAGE_LABEL, wire[:body_end], wire[body_end:])
        if held.topic != topic:
            raise WrongDestination(f"sealed for {held.topic}, delivered for {topic}")
        key, chain, skipped = _advance(held, iteration)
        plain = aead.open_(aead.make(key), _NONCE, wire[_HEAD_BYTES:body_end], head)
        self._commit(held, iteration, chain, skipped)
        if expires_ms and now_ms > expires_ms + EXPIRY_LEEWAY_MS:
            raise Expired("nobody waits for it any more")
        purpose, inner, data = unpack_plain(plain)
        return Opened(source, kind, id_, correlation, expires_ms, purpose, inner, data)

    def expire(self, now_ms: int) -> None:
        """Forget the epochs that have ended."""
        for (source, key_id), held in list(self._epochs.items()):
            if now_ms >= held.not_after_ms + EPOCH_KEPT_MS:
                self._forget(source, key_id)
        for key, (_, until_ms) in list(self._forgotten.items()):
            if now_ms >= until_ms:  # its distribution is refused as expired
                del self._forgotten[key]

    def forget(self, source: str) -> None:
        """This publisher was revoked."""
        for each, key_id in list(self._epochs):
            if each == source:
                self._forget(each, key_id)

    def drop(self) -> None:
        """Forget all keys."""
        self._epochs.clear()
        self._skipped = 0

    def __len__(self) -> int:
        return len(self._epochs)

    def _check_single(self, source: str, found: Distribution) -> None:
        for (publisher, _), held in self._epochs.items():
            if publisher == source and held.topic == found.topic and held.epoch == found.epoch:
                raise EpochRollback("two sender keys of one epoch")

    def _trim(self, source: str, topic: str) -> None:
        mine = sorted(
            (held.epoch, key_id)
            for (publisher, key_id), held in self._epochs.items()
            if publisher == source and held.topic == topic
        )
        for _, key_id in mine[:-EPOCHS_KEPT]:
            self._forget(source, key_id)

    def _forget(self, source: str, key_id: int) -> None:
        held = self._epochs.pop((source, key_id))
        self._skipped -= len(held.skipped)
        known, until_ms = self._forgotten.get((source, held.topic), (0, 0))
        until_ms = max(until_ms, held.not_after_ms + EPOCH_KEPT_MS)
        self._forgotten[source, held.topic] = (max(known, held.epoch), until_ms)

    def _commit(self, held: _Epoch, iteration: int, chain: bytes, skipped: dict[int, bytes]) -> None:
        if held.skipped.pop(iteration, None) is not None:
            self._skipped -= 1
            return
        held.chain, held.iteration = chain, iteration + 1
        held.skipped.update(skipped)
        self._skipped += len(skipped)
        for each in [held, *self._epochs.values()]:
            while self._skipped > SKIPPED_LIMIT and each.skipped:
                each.skipped.popitem(last=False)
                self._skipped -= 1


def _check_iteration(held: _Epoch, iteration: int) -> None:
    if iteration < held.iteration and iteration not in held.skipped:
        if iteration < held.distributed[0]:
            raise UnknownKey("sent before this reader joined", Cause.UNKNOWN_SENDER_KEY)
        raise Replayed("seen before, or its key is forgotten")
    if iteration - held.iteration > GAP_LIMIT:
        raise UnknownKey("too many messages are missing", Cause.UNKNOWN_SENDER_KEY)


def _advance(held: _Epoch, iteration: int) -> tuple[bytes, bytes, dict[int, bytes]]:
    """The key of an iteration, the chain key after it, and the keys skipped on the way."""
    if iteration in held.skipped:
        return held.skipped[iteration], held.chain, {}
    chain, skipped = held.chain, {}
    for each in range(held.iteration, iteration):
        skipped[each], chain = step(chain)
    key, chain = step(chain)
    return key, chain, skipped


def check_reader(type_name: str, readers: list[str], topic: str) -> None:
    """May instances of this type have the sender key? Raises `UntrustedKey(NOT_GRANTED)`."""
    if type_name not in readers:
        raise UntrustedKey(f"{type_name} may not read {topic}", Cause.NOT_GRANTED)
