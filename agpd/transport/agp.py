"""AGP: `pubsub.proto.v1.PubSubService/OpenChannel`, as the clients of agp-bindings and slim-bindings 0.3.6 speak it.

A Publish becomes a native frame whose envelope carries what an AGP receiver must get unchanged, and is made from that
again at each receiver. Header types of sessions are never looked at: their numbers differ between versions.
"""

import itertools
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from agpd.errors import Code, Refused
from agpd.gateway.dialects import Dialect, dialect_of
from agpd.gateway.instance_ids import instance_segment
from agpd.names import NAME_LIMIT, Name
from agpd.transport.dialect import DialectSession
from agpd.wire import agp
from agpd.wire.agp import Said, Verb
from agpd.wire.envelope import ContentType, Envelope, pack, unpack
from agpd.wire.frames import FANOUT_ALL, FANOUT_LIMIT, Kind, encode_data
from agpd.wire.hashes import Hashes, Names

PATH = "/pubsub.proto.v1.PubSubService/OpenChannel"
CONTENT = "msg"  # what applications send
CONTENT_TYPE_LIMIT = 127  # characters, of a native envelope
QUESTIONS_LIMIT = 1024
SESSIONS_LIMIT = 4096

Address = tuple[Hashes, int | None]
"""Hashes of a type and an id, None for any."""


class Question(NamedTuple):
    """A request of a native agent that has not been answered: the agent's handle, and the request's id."""

    asker: int
    request: int


class AgpSession(DialectSession[Address]):
    """One client."""

    dialect = Dialect.AGP
    message_limit_bytes = agp.MESSAGE_LIMIT_BYTES

    def entered(self) -> None:
        config = self.dialects.config.agp
        self._broadcasts = frozenset((FANOUT_ALL, *config.broadcast_fanouts))
        self._metadata_limit = config.metadata_limit_bytes
        self._ids = itertools.count(1)
        self._texts: dict[Address, Sequence[str]] = {}
        self._own_texts: Sequence[str] = ()  # what its certificate or token says of its names
        self._own: dict[Address, Name] = {}  # its agents, whose ids are held for it
        self._held: dict[int, Name] = {}  # ids of native agents that the peer knows, by handle
        # Sessions of our own making: one for each native agent that writes, one for each request.
        self._session_ids = itertools.count(secrets.randbelow(agp.SESSION_ID_LIMIT))
        self._sessions: dict[int, int] = {}
        self._questions: dict[int, Question] = {}
        self._tell_own_names()

    def left(self) -> None:
        spellings = self.dialects.spellings
        for names in self._texts.values():
            spellings.untell(names)
        if self._own_texts:
            spellings.untell(self._own_texts, ours=True)
        for name in [*self._held.values(), *self._own.values()]:
            spellings.ids.release(name)

    def _tell_own_names(self) -> None:
        """They need not come from the peer, which may never send texts, and nobody else's leave no room for them."""
        assert self.link is not None
        names = self.link.principal.speaks_as.prefix[:3]
        if names:
            self.dialects.spellings.tell(names, ours=True)
            self._own_texts = names

    # ---- what the client says

    def hear(self, messages: list[bytes]) -> None:
        """Frames for what is published, all together; what comes between acts in its place."""
        assert self.link is not None
        for data in messages:
            if self.link.close_code is not None:
                return
            try:
                self._hear_one(data)
            except Refused as refused:
                self.note(refused.code.name.lower(), detail=refused.detail)

    def _hear_one(self, data: bytes) -> None:
        said = agp.parse(data, self._metadata_limit)
        if len(data) > agp.MESSAGE_LIMIT_BYTES and _forwarded_bytes(said) > agp.MESSAGE_LIMIT_BYTES:
            self.note("too_large", bytes=len(data))
            return
        if said.hints:
            self.dialects.counts["hints"] += 1
        if said.verb is Verb.PUBLISH:
            self.put(self._frame(said))
        else:
            self.settle()
            self._subscription(said)

    def _frame(self, said: Said) -> bytes:
        """A Publish as a native frame. Raises `Refused`."""
        if len(said.content_type) > CONTENT_TYPE_LIMIT:
            raise Refused(Code.INVALID_REQUEST, "the content type is too long")
        destination = (said.destination, said.destination_id)
        kind, source, number = self.foreign.way((said.source, said.source_id), destination)
        correlation = 0
        question = self._questions.get(said.session_id)
        if question is not None and question.asker == number:
            del self._questions[said.session_id]
            kind, correlation = Kind.REPLY, question.request
        content_type = ContentType.BYTES if said.content_type == CONTENT else said.content_type
        headers = agp.carried_trace(said.carried) or None
        envelope = Envelope(said.body, content_type, correlation, 0, headers, said.carried)
        return encode_data(
            kind,
            pack(envelope),
            destination=number,
            source=source,
            id=next(self._ids),
            fanout=self._fanout(said.fanout),
        )

    def _fanout(self, wanted: int) -> int:
        return FANOUT_ALL if wanted in self._broadcasts else min(wanted, FANOUT_LIMIT)

    def _subscription(self, said: Said) -> None:
        """A Subscribe or Unsubscribe. Raises `Refused`."""
        source, destination = (said.source, said.source_id), (said.destination, said.destination_id)
        if said.verb is Verb.UNSUBSCRIBE:
            self.foreign.unsubscribe(destination)
            self._untell_names(destination)
            return
        news = said.names is not None and self._tell_names(destination, said.names)
        try:
            self.foreign.subscribe(source, destination)
        except Refused:
            if news:
                self._untell_names(destination)
            raise

    def _tell_names(self, address: Address, names: Names) -> bool:
        """The texts of an address, if they are news.

        Only of the peer's own organization, so that nobody fills another's memory. One that is too long to be known is
        not kept.
        """
        assert self.link is not None
        if address in self._texts or self.link.principal.organization not in ("", names[0]):
            return False
        kept = [text for text in names if len(text) <= NAME_LIMIT]
        if kept[:1] != [names[0]]:
            return False
        self.dialects.spellings.tell(kept)
        self._texts[address] = kept
        return True

    def _untell_names(self, address: Address) -> None:
        names = self._texts.pop(address, None)
        if names is not None:
            self.dialects.spellings.untell(names)

    # ---- what agents are called

    def spell(self, address: Address) -> Name:
        hashes, id_ = address
        of_type = self.dialects.spellings.spell(hashes, self)
        if id_ is None:
            return of_type
        instance = self.dialects.spellings.ids.instance_of(of_type, id_)
        assert instance is not None, "the id that means any is None"
        return of_type.at(instance)

    def own(self, address: Address) -> Name:
        """Its id, which is the client's choice, may stand for another instance."""
        hashes, id_ = address
        assert id_ is not None, "a source has one"
        name = self.dialects.spellings.spell(hashes, self).at(instance_segment(id_))
        self.dialects.spellings.ids.hold(name)
        self._own[address] = name
        return name

    def disown(self, address: Address) -> None:
        self.dialects.spellings.ids.release(self._own.pop(address))

    def hashes(self) -> Iterator[int]:
        for triple, _ in self.foreign.addresses():
            yield from triple

    def _id_of(self, name: Name) -> int:
        """The id by which the client answers to this instance."""
        if dialect_of(name) is Dialect.AGP:
            return int(name.instance[4:20], 16)
        return self.dialects.spellings.ids.id_of(name)

    # ---- what the client is told

    def tell(self, kind: int, destination: int, source: int, id_: int, envelope: bytes) -> bytes | None:
        said = unpack(envelope)
        sender, receiver = self.foreign.met.get(source), self.foreign.met.get(destination)
        if sender is None or receiver is None:
            return None  # the handle has died on the way here
        content_type = CONTENT if isinstance(said.content_type, int) else said.content_type
        if dialect_of(sender) is Dialect.AGP:
            return agp.assemble(said.carried, content_type, said.body)
        if dialect_of(sender) is not Dialect.NATIVE:
            self.note("other_dialect", source=sender)
            return None
        carried = self._published(kind, (source, sender), receiver, id_, said.headers)
        return None if carried is None else agp.assemble(carried, content_type, said.body)

    def _published(
        self,
        kind: int,
        source: tuple[int, Name],
        receiver: Name,
        id_: int,
        headers: Mapping[str, str] | None,
    ) -> bytes | None:
        """What a message of a native agent carries, as if an AGP client had sent it."""
        number, sender = source
        directory = self.dialects.spellings.directory
        try:
            sender_id = self._hold(number, sender)
        except Refused as refused:
            self.note(refused.code.name.lower(), detail=refused.detail, source=sender)
            return None
        return agp.publish(
            directory.address(sender)[1],
            sender_id,
            directory.address(receiver)[1],
            self._id_of(receiver) if receiver.is_instance else None,
            fanout=1,
            session_id=self._session(kind, number, id_),
            message_id=id_ & 0xFFFF_FFFF,
            metadata=agp.trace_context(headers) or None,
        )

    def _hold(self, number: int, name: Name) -> int:
        """The id of a native agent; it stays what it is as long as this client may answer to it."""
        ids = self.dialects.spellings.ids
        held = self._held.get(number)
        if held == name:
            return ids.id_of(name)
        if held is not None or len(self._held) >= SESSIONS_LIMIT:
            oldest = number if held is not None else next(iter(self._held))
            ids.release(self._held.pop(oldest))
            self._sessions.pop(oldest, None)
        id_ = ids.hold(name)
        self._held[number] = name
        return id_

    def _session(self, kind: int, source: int, request: int) -> int:
        if kind != Kind.REQUEST:
            session = self._sessions.get(source)
            if session is None:
                session = self._sessions[source] = self._new_session()
            return session
        session = self._new_session()
        if len(self._questions) >= QUESTIONS_LIMIT:
            del self._questions[next(iter(self._questions))]
        self._questions[session] = Question(source, request)
        return session

    def _new_session(self) -> int:
        return next(self._session_ids) % agp.SESSION_ID_LIMIT


def _forwarded_bytes(said: Said) -> int:
    """Length as receivers get it: what was cleared does not count, and it is never longer than what came."""
    return agp.assembled_bytes(said.carried, said.content_type, len(said.body)) if said.carried else 0
