"""Prekeys: the short-lived keys that a first message is sealed to.

Three kinds: an instance's own; a type's, which all its instances hold; and a type's mailbox prekey for messages that
wait. `proto/e2e.md` section 4. Times are Unix seconds.
"""

from collections.abc import Callable
from typing import NamedTuple

from agpd.crypto import hazmat, layout
from agpd.crypto.errors import Cause, Expired, Malformed, Replayed, SuiteRefused, UnknownKey, UntrustedKey
from agpd.crypto.hazmat import Chance
from agpd.crypto.keys import ExchangeKey, KemKey, Secret, SigningKey
from agpd.crypto.layout import Reader
from agpd.crypto.vouch import LEEWAY_S

LABEL = b"agpd-prek-v1"
INSTANCE, TYPE, MAILBOX = 1, 2, 3
CLASSICAL, HYBRID = 1, 2
SUITES = (CLASSICAL, HYBRID)
PREKEY_LIFE_S = 3600
"""A new one is made this often."""
KEPT_S = 3600
"""For so long after its end its private part is kept for messages in flight."""
SILENCE_S = 86400
"""For so long at most the newest one serves on while nobody makes another: the key daemon may be down."""
ROTATION_GRACE_S = 60
ID_BYTES = 8
SEEN_LIMIT = 200_000
"""First messages remembered, of mailboxes and of all else: about 20 MB each."""


class Bundle(NamedTuple):
    """The public part as it was read; nothing in it is proved. `kem` is empty in suite 1."""

    kind: int
    suite: int
    epoch: int
    not_before: int
    not_after: int
    name: str
    exchange: bytes
    kem: bytes
    body: bytes
    signature: bytes

    @property
    def raw(self) -> bytes:
        """As it travels."""
        return self.body + self.signature

    @property
    def id(self) -> bytes:
        """What a first message names it by."""
        return hazmat.digest(self.body)[:ID_BYTES]

    def check_signature(self, signer: bytes) -> None:
        """Raises `UntrustedKey(SIGNATURE)`."""
        hazmat.verify(signer, LABEL, self.body, self.signature)

    def check_use(self, now_s: float) -> None:
        """May something be sealed to it, if it is the newest there is? Raises `Expired`."""
        if not self.not_before - LEEWAY_S <= now_s < self.not_after + SILENCE_S:
            raise Expired(f"the prekey of {self.name} is out of its time")


def read(reader: Reader) -> Bundle:
    """The next bundle. Raises `Malformed`."""
    start = reader.position
    reader.version()
    kind, suite, epoch = reader.number(1), reader.number(1), reader.number(4)
    not_before, not_after = reader.number(8), reader.number(8)
    name = reader.name()
    if kind not in (INSTANCE, TYPE, MAILBOX) or suite not in SUITES:
        raise Malformed("a prekey of unknown kind or suite")
    if (name.count("/") == 3) != (kind == INSTANCE):
        raise Malformed("a prekey's name does not fit its kind")
    if not 0 < not_after - not_before <= PREKEY_LIFE_S:
        raise Malformed("a prekey lives too long")
    exchange = reader.take(hazmat.KEY_BYTES)
    kem = reader.take(hazmat.KEM_PUBLIC_BYTES) if suite == HYBRID else b""
    end = reader.position
    reader.position = start
    body = reader.take(end - start)
    signature = reader.take(hazmat.SIGNATURE_BYTES)
    return Bundle(kind, suite, epoch, not_before, not_after, name, exchange, kem, body, signature)


def parse(raw: bytes) -> Bundle:
    """Exactly one bundle. Raises `Malformed`."""
    reader = Reader(raw)
    bundle = read(reader)
    reader.done()
    return bundle


class Prekey(Secret):
    """A prekey with its private part. `kept_s`: how long that outlives `not_after`; a mailbox's longest wait."""

    __slots__ = ("bundle", "exchange", "kem", "kept_s", "seen")

    def __init__(self, bundle: Bundle, exchange: ExchangeKey, kem: KemKey | None, kept_s: int) -> None:
        self.bundle = bundle
        self.exchange = exchange
        self.kem = kem
        self.kept_s = kept_s
        self.seen: set[bytes] = set()  # first messages that were accepted under it

    def pack(self) -> bytes:
        """DANGER: with the private parts, as the key daemon grants it to an instance within a session."""
        kem = b"" if self.kem is None else self.kem.seed()
        return b"".join(
            (
                layout.number(layout.VERSION, 1),
                layout.number(self.kept_s, 4),
                self.exchange.secret(),
                layout.number(len(kem), 1),
                kem,
                self.bundle.raw,
            )
        )


def unpack(reader: Reader) -> Prekey:
    """The next prekey of a grant. Raises `Malformed`, also if its parts do not belong together."""
    reader.version()
    kept_s = reader.number(4)
    exchange = ExchangeKey(reader.take(hazmat.KEY_BYTES))
    seed = reader.take(reader.number(1))
    bundle = read(reader)
    if len(seed) not in (0, hazmat.KEM_SEED_BYTES) or bool(seed) != (bundle.suite == HYBRID):
        raise Malformed("a granted prekey does not fit its suite")
    kem = KemKey(seed) if seed else None
    if exchange.public != bundle.exchange or (kem is not None and kem.public != bundle.kem):
        raise Malformed("a granted prekey does not fit its public part")
    return Prekey(bundle, exchange, kem, kept_s)


def make(
    signer: SigningKey,
    name: str,
    kind: int,
    suite: int,
    epoch: int,
    now_s: int,
    chance: Chance,
    kept_s: int = KEPT_S,
) -> Prekey:
    """A new prekey, signed by the instance's key or that of the type. Raises `SuiteRefused` without ML-KEM."""
    exchange = ExchangeKey.generate(chance)
    kem = KemKey.generate(chance) if suite == HYBRID else None
    body = b"".join(
        (
            layout.number(layout.VERSION, 1),
            layout.number(kind, 1),
            layout.number(suite, 1),
            layout.number(epoch, 4),
            layout.number(now_s, 8),
            layout.number(now_s + PREKEY_LIFE_S, 8),
            layout.name(name),
            exchange.public,
            b"" if kem is None else kem.public,
        )
    )
    bundle = parse(body + signer.sign(LABEL, body))
    return Prekey(bundle, exchange, kem, max(KEPT_S, kept_s))


class Ring(Secret):
    """The prekeys whose private parts an instance holds: its own, and those granted to it."""

    __slots__ = ("_held", "_next_s", "_retired", "_silence_s")

    def __init__(self, silence_s: int = SILENCE_S) -> None:
        self._held: dict[bytes, Prekey] = {}
        self._retired: dict[bytes, int] = {}
        self._silence_s = silence_s
        self._next_s = 0.0  # nothing is to be erased before

    def add(self, prekey: Prekey) -> None:
        """Hold this one too; one that is held already stays, with what was seen under it."""
        self._held.setdefault(prekey.bundle.id, prekey)
        self._next_s = 0.0

    def retire(self, kind: int, before_epoch: int, at_s: int) -> None:
        """An instance was removed: what is created 60 s after `at_s` under an older epoch is refused."""
        for id_, prekey in self._held.items():
            if prekey.bundle.kind == kind and prekey.bundle.epoch < before_epoch:
                self._retired.setdefault(id_, at_s)

    def find(self, id_: bytes, now_s: float) -> Prekey:
        """The prekey of this id. Raises `UnknownKey(UNKNOWN_PREKEY)`."""
        self.erase(now_s)
        found = self._held.get(id_)
        if found is None:
            raise UnknownKey("the prekey is not held, or no more", Cause.UNKNOWN_PREKEY)
        return found

    def check_created(self, prekey: Prekey, created_s: float) -> None:
        """Raises `Expired` for what was created under a prekey after it had been retired."""
        retired_s = self._retired.get(prekey.bundle.id)
        if retired_s is not None and created_s > retired_s + ROTATION_GRACE_S:
            raise Expired("sealed to a prekey that was withdrawn before")

    def check_seen(self, prekey: Prekey, ephemeral: bytes) -> None:
        """Raises `Replayed`."""
        if ephemeral in prekey.seen:
            raise Replayed("a first message that was accepted before")

    def mark_seen(self, prekey: Prekey, ephemeral: bytes) -> None:
        """It was authentic. It is remembered as long as the prekey, without which nothing opens.

        Raises `Replayed(REPLAY_STORE_FULL)`: no more first messages to prekeys of this kind for now.
        """
        is_mail = prekey.bundle.kind == MAILBOX
        count = sum(
            len(each.seen) for each in self._held.values() if (each.bundle.kind == MAILBOX) == is_mail
        )
        if count >= SEEN_LIMIT:
            raise Replayed("too many first messages to remember", Cause.REPLAY_STORE_FULL)
        prekey.seen.add(ephemeral)

    def newest(self, kind: int) -> Prekey | None:
        """The newest of its kind."""
        return max(
            (prekey for prekey in self._held.values() if prekey.bundle.kind == kind),
            key=lambda prekey: prekey.bundle.epoch,
            default=None,
        )

    def all(self, kind: int) -> list[Prekey]:
        """All of a kind, the oldest first."""
        found = (prekey for prekey in self._held.values() if prekey.bundle.kind == kind)
        return sorted(found, key=lambda prekey: prekey.bundle.epoch)

    def erase(self, now_s: float) -> None:
        """Forget what has had its time. The newest of a kind serves on until there is another, for a day at most."""
        if now_s < self._next_s:
            return
        ends = {id_: self._end(prekey) for id_, prekey in self._held.items()}
        for id_, end in ends.items():
            if end <= now_s:
                del self._held[id_]
                self._retired.pop(id_, None)
        self._next_s = min((end for end in ends.values() if end > now_s), default=0.0)

    def drop(self) -> None:
        """Forget all."""
        self._held.clear()
        self._retired.clear()

    def _end(self, prekey: Prekey) -> float:
        bundle = prekey.bundle
        later = [
            other.bundle.not_before
            for other in self._held.values()
            if other.bundle.kind == bundle.kind and other.bundle.epoch > bundle.epoch
        ]
        if not later:
            return bundle.not_after + max(prekey.kept_s, self._silence_s)
        return max(bundle.not_after, min(later)) + prekey.kept_s

    def __len__(self) -> int:
        return len(self._held)


def pick_suite(bundle: Bundle, minimum: int, supported: Callable[[], bool] = hazmat.has_kem) -> int:
    """The highest suite that the bundle and this process offer. Raises `SuiteRefused` below the minimum."""
    suite = HYBRID if bundle.suite == HYBRID and supported() else CLASSICAL
    if suite < minimum:
        raise SuiteRefused(
            f"suite {minimum} is demanded, and only suite {suite} can be spoken with {bundle.name}"
        )
    return suite


def check_granted(prekey: Prekey, type_name: str, signer: bytes) -> None:
    """Is this a prekey of the own type, by the type's key? Raises `UntrustedKey`."""
    if prekey.bundle.name != type_name or prekey.bundle.kind == INSTANCE:
        raise UntrustedKey(f"a granted prekey is not one of {type_name}")
    prekey.bundle.check_signature(signer)
