"""One agent's end: seals what it sends, opens what it receives. `proto/e2e.md` sections 6 to 8.

Bytes in, bytes out. Times are Unix ms, `now_ms` the caller's clock; whatever is refused raises a `CryptoError`.
"""

import os

from agpd.crypto import forks, hazmat, prekeys
from agpd.crypto.contacts import Contacts
from agpd.crypto.errors import Cause, DecryptionFailed, SessionEnded, UnknownKey
from agpd.crypto.handshake import Encapsulate, Identity
from agpd.crypto.hazmat import Chance
from agpd.crypto.headers import NO_REPLY, Kind, Padding, Purpose, kind_of
from agpd.crypto.keys import Secret
from agpd.crypto.prekeys import Bundle, Ring
from agpd.crypto.sender_keys import Publisher, Readers, check_reader
from agpd.crypto.session import Contact, Opened, Session, session_of
from agpd.crypto.sessions import Sessions
from agpd.crypto.trust import Peer, Trust

# Looking up the member of an enumeration costs 100 ns.
_DATA = int(Kind.DATA)
_APPLICATION = Purpose.APPLICATION


class Endpoint(Secret):
    """What one agent needs for end-to-end encryption. `trust` and `ring` are its own; `sessions` may be looked at.

    After a fork of the process the child's endpoints hold no key and refuse everything.
    """

    __slots__ = (
        "_chance",
        "_contacts",
        "_generation",
        "_is_dropped",
        "_padding",
        "_publishers",
        "readers",
        "ring",
        "sessions",
        "trust",
    )

    def __init__(
        self,
        identity: Identity,
        trust: Trust,
        ring: Ring,
        *,
        started_ms: int,
        chance: Chance = os.urandom,
        padding: Padding = Padding.BLOCK,
        enrols: bool = False,
        encapsulate: Encapsulate = hazmat.encapsulate,
    ) -> None:
        """`enrols`: this is a key daemon. `encapsulate` is replaced only by tests of fixed transcripts."""
        self.trust = trust
        self.ring = ring
        self.sessions = Sessions(identity.name)
        self.readers = Readers()
        self._chance = chance
        self._padding = padding
        self._contacts = Contacts(
            identity,
            trust,
            ring,
            started_ms=started_ms,
            chance=chance,
            padding=padding,
            enrols=enrols,
            encapsulate=encapsulate,
        )
        self._publishers: dict[str, Publisher] = {}
        self._generation = trust.generation
        self._is_dropped = False
        forks.guard(self)

    @property
    def identity(self) -> Identity:
        """The agent's own keys and certificates."""
        return self._contacts.identity

    @property
    def name(self) -> str:
        """The agent's full name."""
        return self._contacts.identity.name

    @property
    def type_name(self) -> str:
        """Its first three segments."""
        return self.name.rpartition("/")[0]

    def certify(self, identity: Identity) -> None:
        """Use these keys from now on: the first certificate has come, or the next. Sessions go on."""
        self._contacts.certify(identity)
        for publisher in self._publishers.values():
            publisher.renew(identity.signing)

    # A first message and its answer

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
        """Seal to a prekey that `Trust` has proved, of the destination or its type; the answer makes a session.

        `flags`: NO_REPLY, CLAIM, ENROL. `data` is as secret as the prekey's private part: send none to begin with where
        that is too little. Raises `StaleDirectory`, `SuiteRefused`, `UntrustedKey`, `SessionEnded` (too many pending).
        """
        self._check_alive()
        return self._contacts.first(
            destination,
            bundle,
            data,
            id=id,
            now_ms=now_ms,
            correlation=correlation,
            expires_ms=expires_ms,
            inner=inner,
            purpose=purpose,
            flags=flags,
        )

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
    ) -> bytes:
        """Answer a first message, once: that makes the session. Raises `SessionEnded`."""
        self._check_alive()
        wire, session = self._contacts.answer(
            contact, data, id=id, now_ms=now_ms, expires_ms=expires_ms, inner=inner, purpose=purpose
        )
        if session is not None:
            self.sessions.add(session)
        return wire

    # Within a session

    def seal(
        self,
        peer: str,
        data: bytes,
        *,
        id: int,  # noqa: A002
        now_ms: int,
        correlation: int = 0,
        expires_ms: int = 0,
        inner: bytes = b"",
        purpose: int = Purpose.APPLICATION,
    ) -> bytes:
        """To an instance with which there is a session. Raises `UnknownKey`: send a `first` instead."""
        if self.trust.generation != self._generation:
            self._review()
        session = self.sessions.current(peer, now_ms)
        if session is None:
            self._check_alive()
            raise UnknownKey(f"no session with {peer}")
        return session.seal(data, id, now_ms, correlation, expires_ms, inner, purpose)

    def open(self, wire: bytes, *, now_ms: int, source: str = "", destination: str = "") -> Opened:
        """Whatever came, streams apart. `source` and `destination` are what the carrier says: only to find keys by.

        A first message that wants an answer has a `contact`. What has a purpose other than APPLICATION is not for the
        application; sender keys are taken care of here. Raises every error of this layer.
        """
        if self.trust.generation != self._generation:
            self._review()
        kind = kind_of(wire)
        if kind == _DATA:
            session = self.sessions.find(session_of(wire))
            was_confirmed = session.is_confirmed
            opened = session.open(wire, now_ms)
            if not was_confirmed:
                self.sessions.settle(session)
            if opened.purpose is not _APPLICATION:
                return self._handle(opened, session.peer, session, now_ms)
            return opened
        self._check_alive()
        if kind == Kind.TOPIC:
            return self.readers.open(wire, source, destination, now_ms)
        if kind == Kind.FIRST:
            opened, sender = self._contacts.open_first(wire, now_ms)
            return opened if sender is None else self._handle(opened, sender, None, now_ms)
        if kind == Kind.ANSWER:
            opened, answerer, made = self._contacts.open_answer(wire, now_ms)
            if made is not None:
                self.sessions.add(made)
            return self._handle(opened, answerer, None, now_ms)
        raise DecryptionFailed  # a chunk, which belongs to a stream

    def wants_rekey(self, peer: str, now_ms: int) -> bool:
        """Is it time for a `first` to a peer that is being talked to, with no data and the purpose REKEY?"""
        return self.sessions.wants_rekey(peer, now_ms)

    # To many

    def publisher(self, topic: str, now_ms: int) -> Publisher:
        """This agent's sender key for a topic or type; `distribute` it when it is new or was rotated."""
        self._check_alive()
        found = self._publishers.get(topic)
        if found is None:
            found = Publisher(topic, self.identity.signing, self._chance, now_ms, self._padding)
            self._publishers[topic] = found
        return found

    def distribute(self, topic: str, ids: list[int], *, now_ms: int) -> list[tuple[str, bytes]]:
        """The sender key as one first message for each type that the directory lets read it, and nobody else.

        `ids`: one for each of `trust.readers_of(topic)`. Raises what `Trust.type_prekey` raises.
        """
        raw = self.publisher(topic, now_ms).distribution()
        sealed = []
        for reader, id_ in zip(self.trust.readers_of(topic), ids, strict=True):
            bundle = self.trust.type_prekey(reader, prekeys.TYPE, now_ms / 1000)
            wire = self.first(
                reader, bundle, raw, id=id_, now_ms=now_ms, purpose=Purpose.SENDER_KEY, flags=NO_REPLY
            )
            sealed.append((reader, wire))
        return sealed

    def distribute_to(self, topic: str, peer: str, *, id: int, now_ms: int) -> bytes:  # noqa: A002
        """The sender key for one instance that has asked, over a session. Raises `UntrustedKey(NOT_GRANTED)`."""
        check_reader(peer.rpartition("/")[0], self.trust.readers_of(topic), topic)
        raw = self.publisher(topic, now_ms).distribution()
        return self.seal(peer, raw, id=id, now_ms=now_ms, purpose=Purpose.SENDER_KEY)

    # Life

    def expire(self, now_ms: int) -> None:
        """Erase what has had its time. To be called every few seconds."""
        self.ring.erase(now_ms / 1000)
        self.sessions.expire(now_ms)
        self.readers.expire(now_ms)
        self._contacts.expire(now_ms)

    def forget_chain(self, peer: str) -> None:
        """The peer says NEED_CHAIN: send it whole with the next `first`."""
        self._contacts.forget_chain(peer)

    def forget_peer(self, peer: str) -> None:
        """The peer says UNKNOWN_SESSION: begin anew. Anybody can say so; it costs a handshake and no secret."""
        self._contacts.forget_chain(peer)
        self.sessions.forget(peer)

    def drop(self) -> None:
        """Forget all keys; nothing can be sealed or opened any more."""
        self._is_dropped = True
        self.sessions.drop()
        self.readers.drop()
        self.ring.drop()
        self._contacts.drop()
        for publisher in self._publishers.values():
            publisher.drop()
        self._publishers.clear()

    def _handle(self, opened: Opened, peer: Peer, session: Session | None, now_ms: int) -> Opened:
        """What is for this layer itself."""
        if opened.purpose is Purpose.SENDER_KEY:
            self.readers.install(opened.data, peer.name, peer.signing, now_ms)
        elif opened.purpose is Purpose.CLAIM and session is not None and session.held is not None:
            opened, session.held = session.held, None
        return opened

    def _review(self) -> None:
        """The directory has changed: end what was revoked."""
        self._generation = self.trust.generation
        for session in self.sessions:
            if self.trust.is_revoked(session.peer):
                self.readers.forget(session.peer.name)
                self.sessions.end(session)

    def _check_alive(self) -> None:
        if self._is_dropped:
            raise SessionEnded("the keys were dropped, by a fork or at the end", Cause.FORKED_PROCESS)
