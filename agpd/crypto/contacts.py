"""First messages and their answers: whom to believe, and what comes of it. `proto/e2e.md` section 6.

`sealing` is what agents use; this is the part of it that begins sessions. Times are Unix ms.
"""

from collections import OrderedDict
from typing import NamedTuple

from agpd.crypto import handshake, prekeys
from agpd.crypto.errors import (
    Cause,
    DecryptionFailed,
    Expired,
    Replayed,
    SessionEnded,
    SuiteRefused,
    UnknownKey,
    UntrustedKey,
    WrongDestination,
)
from agpd.crypto.handshake import Encapsulate, Identity, Received, View
from agpd.crypto.hazmat import Chance
from agpd.crypto.headers import (
    CHAIN_HASHED,
    CLAIM,
    ENROL,
    NO_REPLY,
    Header,
    Kind,
    Padding,
    Purpose,
    pack_long,
    pack_plain,
    read_long,
    unpack_plain,
)
from agpd.crypto.keys import ExchangeKey, Secret
from agpd.crypto.noise import Handshake
from agpd.crypto.prekeys import Bundle, Prekey, Ring
from agpd.crypto.session import EXPIRY_LEEWAY_MS, Contact, Opened, Session, derive_keys
from agpd.crypto.trust import Peer, Trust
from agpd.crypto.vouch import Chain, extends

PENDING_LIMIT = 4096
PENDING_MS = 60_000
"""So long an answer is waited for, if the first message does not expire sooner."""
CHAINS_KEPT = 4096


class _Pending(NamedTuple):
    """A first message that awaits its answer."""

    state: Handshake
    destination: str
    suite: int
    until_ms: int
    is_enrolling: bool


class Contacts(Secret):
    """One agent's handshakes."""

    __slots__ = (
        "_chains",
        "_chance",
        "_encapsulate",
        "_enrols",
        "_known_to",
        "_padding",
        "_pending",
        "_ring",
        "_started_ms",
        "_trust",
        "identity",
    )

    def __init__(
        self,
        identity: Identity,
        trust: Trust,
        ring: Ring,
        *,
        started_ms: int,
        chance: Chance,
        padding: Padding,
        enrols: bool,
        encapsulate: Encapsulate,
    ) -> None:
        self.identity = identity
        self._trust = trust
        self._ring = ring
        self._started_ms = started_ms
        self._chance = chance
        self._padding = padding
        self._enrols = enrols
        self._encapsulate = encapsulate
        self._pending: OrderedDict[int, _Pending] = OrderedDict()
        self._chains: OrderedDict[bytes, Chain] = OrderedDict()
        self._known_to: dict[str, bytes] = {}

    @property
    def name(self) -> str:
        """The agent's full name."""
        return self.identity.name

    def certify(self, identity: Identity) -> None:
        """Use these keys from now on."""
        self.identity = identity
        self._known_to.clear()

    def first(
        self,
        destination: str,
        bundle: Bundle,
        data: bytes,
        *,
        id: int,  # noqa: A002
        now_ms: int,
        correlation: int = 0,
        expires_ms: int = 0,
        inner: bytes = b"",
        purpose: int = Purpose.APPLICATION,
        flags: int = 0,
    ) -> bytes:
        """`Endpoint.first`."""
        organization = destination.partition("/")[0]
        self._trust.require_fresh(organization, now_ms / 1000)
        suite = prekeys.pick_suite(bundle, self._trust.minimum_suite(organization))
        if destination != bundle.name and not extends(destination, bundle.name):
            raise UntrustedKey(f"the prekey is not one of {destination}")
        if not flags & ENROL and self._knows_chain(destination):
            flags |= CHAIN_HASHED
        header = pack_long(
            suite, Kind.FIRST, flags, id, correlation, expires_ms, now_ms, self.name, destination
        )
        view = View(*self._trust.view_of(organization))
        rest = pack_plain(purpose, inner, data, self._padding)
        wire, state = handshake.write_first(
            self.identity, header, suite, flags, bundle, rest, view, self._chance, self._encapsulate
        )
        if flags & NO_REPLY:
            state.drop()
        else:
            self._await(id, state, destination, suite, now_ms, expires_ms, bool(flags & ENROL))
        return wire

    def answer(
        self,
        contact: Contact,
        data: bytes,
        *,
        id: int,  # noqa: A002
        now_ms: int,
        expires_ms: int = 0,
        inner: bytes = b"",
        purpose: int = Purpose.APPLICATION,
    ) -> tuple[bytes, Session | None]:
        """`Endpoint.answer`, and the session; there is none with who enrols."""
        received = contact.spend()
        asked = received.header
        header = pack_long(
            asked.suite, Kind.ANSWER, 0, id, asked.id, expires_ms, now_ms, self.name, asked.source
        )
        view = View(*self._trust.view_of(asked.source.partition("/")[0]))
        rest = pack_plain(Purpose.CLAIM if contact.is_claim else purpose, inner, data, self._padding)
        wire, (i2r, r2i), final = handshake.write_answer(self.identity, header, received, rest, view)
        if contact.peer is None:
            return wire, None
        keys = derive_keys(i2r, r2i, final, is_initiator=False)
        session = Session(keys, contact.peer, asked.suite, asked.source, now_ms, self._padding)
        session.held = contact.held
        return wire, session

    def open_first(self, wire: bytes, now_ms: int) -> tuple[Opened, Peer | None]:
        """A first message, and who sent it; None: an instance that asks to be vouched for."""
        now_s = now_ms / 1000
        header = read_long(wire)
        if header.destination not in (self.name, self.name.rpartition("/")[0]) or header.source == self.name:
            raise WrongDestination(f"a first message from {header.source} to {header.destination}")
        prekey = self._ring.find(handshake.prekey_id(wire, header), now_s)
        if prekey.bundle.kind == prekeys.INSTANCE and header.destination != self.name:
            raise WrongDestination("sealed to an instance, addressed to its type")
        self._ring.check_seen(prekey, handshake.ephemeral_of(wire, header))
        organization = header.source.partition("/")[0]
        if header.suite < self._trust.minimum_suite(organization):
            raise SuiteRefused(f"suite {header.suite} is below what the directory demands")
        received = handshake.read_first(wire, header, prekey, ExchangeKey.generate(self._chance))
        if header.flags & ENROL:
            peer = None
            self._check_enrolment(received)
        else:
            self._trust.require_fresh(organization, now_s)
            peer = self._prove(received, self._chain_of(received), now_s)
            received.check_exchange_key(peer.chain)
            self._trust.check_view(*received.view, now_s)
        self._check_times(header, prekey, now_ms)
        self._ring.mark_seen(prekey, received.ephemeral)
        return _accepted(received, peer), peer

    def open_answer(self, wire: bytes, now_ms: int) -> tuple[Opened, Peer, Session | None]:
        """An answer, who sent it, and the session that it makes."""
        now_s = now_ms / 1000
        header = read_long(wire)
        if header.destination != self.name:
            raise WrongDestination(f"an answer to {header.destination}")
        pending = self._pending.get(header.correlation)
        if pending is None or now_ms >= pending.until_ms:
            raise Replayed("no answer is awaited, or not any more", Cause.SECOND_ANSWER)
        if header.suite != pending.suite:
            raise DecryptionFailed
        if header.source != pending.destination and not extends(header.source, pending.destination):
            raise UntrustedKey(f"{header.source} answers for {pending.destination}")
        state = pending.state.clone()
        received = handshake.read_answer(wire, header, state)
        peer = self._prove(received, self._chain_of(received), now_s)
        if not pending.is_enrolling:
            self._trust.check_view(*received.view, now_s)
        del self._pending[header.correlation]
        pending.state.drop()
        opened = _opened(header, received.rest)
        i2r, r2i = state.split()
        if header.expires_ms and now_ms > header.expires_ms + EXPIRY_LEEWAY_MS:
            raise Expired("nobody waits for it any more")
        if pending.is_enrolling:
            return opened, peer, None
        keys = derive_keys(i2r, r2i, state.hash, is_initiator=True)
        if self.identity.chain is not None:
            self._known_to[peer.name] = self.identity.chain.hash
        return opened, peer, Session(keys, peer, header.suite, self.name, now_ms, self._padding)

    def forget_chain(self, peer: str) -> None:
        """The peer does not know the chain by its hash: send it whole."""
        self._known_to.pop(peer, None)

    def expire(self, now_ms: int) -> None:
        """Await no more what is out of its time."""
        for id_, pending in list(self._pending.items()):
            if now_ms >= pending.until_ms:
                self._pending.pop(id_).state.drop()

    def drop(self) -> None:
        """Forget all keys."""
        for pending in self._pending.values():
            pending.state.drop()
        self._pending.clear()

    def _prove(self, received: Received, chain: Chain, now_s: float) -> Peer:
        peer = self._trust.check_chain(chain, received.header.source, now_s)
        received.check_signature(peer.signing)
        self._chains[chain.hash] = chain
        if len(self._chains) > CHAINS_KEPT:
            self._chains.popitem(last=False)
        return peer

    def _chain_of(self, received: Received) -> Chain:
        if received.chain is not None:
            return received.chain
        chain = self._chains.get(received.chain_hash)
        if chain is None:
            raise UnknownKey("a chain is named by a hash that is not known here", Cause.NEED_CHAIN)
        return chain

    def _check_enrolment(self, received: Received) -> None:
        if not self._enrols:
            raise UntrustedKey("only a key daemon takes what nobody vouches for")
        received.check_signature(received.enrolling)

    def _check_times(self, header: Header, prekey: Prekey, now_ms: int) -> None:
        if header.expires_ms and now_ms > header.expires_ms + EXPIRY_LEEWAY_MS:
            raise Expired("nobody waits for it any more")
        if header.created_ms > now_ms + EXPIRY_LEEWAY_MS:
            raise Expired("from the future")
        self._ring.check_created(prekey, header.created_ms / 1000)
        is_mail = prekey.bundle.kind == prekeys.MAILBOX
        if not is_mail and header.created_ms + EXPIRY_LEEWAY_MS < self._started_ms:
            raise Replayed("made before this instance was", Cause.BEFORE_START)

    def _await(
        self,
        id_: int,
        state: Handshake,
        destination: str,
        suite: int,
        now_ms: int,
        expires_ms: int,
        is_enrolling: bool,
    ) -> None:
        if len(self._pending) >= PENDING_LIMIT:
            self.expire(now_ms)
            if len(self._pending) >= PENDING_LIMIT:
                raise SessionEnded("too many first messages await their answer")
        until_ms = min(
            now_ms + PENDING_MS, expires_ms + EXPIRY_LEEWAY_MS if expires_ms else now_ms + PENDING_MS
        )
        self._pending[id_] = _Pending(state, destination, suite, until_ms, is_enrolling)

    def _knows_chain(self, destination: str) -> bool:
        chain = self.identity.chain
        return chain is not None and self._known_to.get(destination) == chain.hash


def _accepted(received: Received, peer: Peer | None) -> Opened:
    header = received.header
    opened = _opened(header, received.rest)
    if peer is not None and header.flags & NO_REPLY:
        received.noise.drop()
    elif peer is not None and header.flags & CLAIM:
        contact = Contact(received, peer, is_claim=True, held=opened)
        return Opened(
            opened.source,
            opened.kind,
            opened.id,
            opened.correlation,
            opened.expires_ms,
            Purpose.CLAIM,
            b"",
            b"",
            contact,
        )
    else:
        opened.contact = Contact(received, peer)
    return opened


def _opened(header: Header, rest: bytes) -> Opened:
    purpose, inner, data = unpack_plain(rest)
    return Opened(
        header.source, header.kind, header.id, header.correlation, header.expires_ms, purpose, inner, data
    )
