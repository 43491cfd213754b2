"""SLIM: `dataplane.proto.v1.DataPlaneService/OpenChannel`, as the clients of slim-bindings 3 speak it.

The first message of a stream is a link negotiation; from then on headers are signed with the key of the link. What
a client publishes becomes a native frame whose envelope carries all that receivers have in common, and each receiver
gets it signed anew. Sessions are never looked at.

An id of a subscription need not be an agent's: all members of a group subscribe to the same one. To the router such a
subscription is one to the type, and what is for another id of it than a client has asked for is held back here. So who
publishes to an id with any other fan-out than one reaches everybody who asked for it.
"""

import asyncio
import contextlib
import itertools
import struct
from collections import Counter
from collections.abc import Iterator, Sequence

from agpd import __version__
from agpd.errors import Code, Refused, describe
from agpd.gateway.dialects import PREFIXES, SLIM, Dialect, dialect_of
from agpd.gateway.foreign_tables import Way
from agpd.names import NAME_LIMIT, Name
from agpd.transport.dialect import DialectSession
from agpd.transport.slim_link import agree
from agpd.wire import slim
from agpd.wire.envelope import ContentType, Envelope, pack, unpack
from agpd.wire.frames import FANOUT_ALL, FANOUT_ANY, FANOUT_LIMIT, encode_data
from agpd.wire.hashes import Hashes
from agpd.wire.slim import ANY_ID_BYTES, Address, Dropped, Mac, Publication, Subscription

PATH = slim.PATH
NEGOTIATION_TIMEOUT_S = 5.0  # as long as a client waits for the answer
# Names whose texts a client has told, beside those of agents that are here.
TEXTS_LIMIT = 1024
MENTIONED_LIMIT = 256
_COMPONENTS = struct.Struct("<QQQ")

Texts = dict[Hashes, Sequence[str]]


class SlimSession(DialectSession[bytes]):
    """One client. Addresses are targets (`wire.slim.Address`): one with an id is an agent, any other a type."""

    dialect = Dialect.SLIM
    message_limit_bytes = slim.DELIVERY_LIMIT_BYTES

    def entered(self) -> None:
        config = self.dialects.config.agp
        self._broadcasts = frozenset((FANOUT_ALL, *config.broadcast_fanouts))
        self._metadata_limit = config.metadata_limit_bytes
        self._frame_ids = itertools.count(1)
        self._mac: Mac | None = None
        self._texts: Texts = {}  # of its own names and those that it subscribes to
        self._mentioned: Texts = {}  # of those that it publishes to
        self._own_texts: Sequence[str] = ()
        self._asked: Counter[bytes] = Counter()  # subscribed target -> how many sources asked for it
        # Address of the router -> the pairs of target and source that are behind it.
        self._behind: dict[bytes, set[tuple[bytes, bytes]]] = {}
        self._subscriptions = 0
        self._spoken: set[bytes] = set()  # its agents
        self._waiting = asyncio.get_running_loop().call_later(NEGOTIATION_TIMEOUT_S, self._too_late)
        self._tell_own_names()

    def left(self) -> None:
        self._waiting.cancel()
        spellings = self.dialects.spellings
        for names in (*self._texts.values(), *self._mentioned.values()):
            spellings.untell(names)
        if self._own_texts:
            spellings.untell(self._own_texts, ours=True)

    # ---- the link

    def _negotiate(self, data: bytes) -> None:
        agreed = agree(slim.read_negotiation(data), __version__)
        self._waiting.cancel()
        self._mac = agreed.mac
        self.send(agreed.reply)

    def _too_late(self) -> None:
        assert self.link is not None
        self.hub.end(self.link, Code.HANDSHAKE_TIMEOUT, "no link negotiation")

    # ---- what the client says

    def hear(self, messages: list[bytes]) -> None:
        """Frames for what is published, all together; what comes between acts in its place."""
        assert self.link is not None
        for data in messages:
            if self.link.close_code is not None:
                return
            if self._mac is None:
                self._negotiate(data)
                continue
            said = slim.read(data, self._mac)
            if isinstance(said, Dropped):
                self.note(said.reason, bytes=len(data))
                continue
            if said.hinted:
                self.dialects.counts["hints"] += 1
            if isinstance(said, Publication):
                self._publish(said)
            else:
                self.settle()
                self._subscription(said)

    def _publish(self, said: Publication) -> None:
        assert self.link is not None
        if said.metadata_bytes > self._metadata_limit:
            self.note("metadata_too_long", bytes=said.metadata_bytes)
            return
        try:
            frame = self._frame(said)
        except Refused as refused:
            self.note(refused.code.name.lower(), detail=refused.detail)
            return
        if len(frame) > self.link.frame_limit:  # the header is in it twice
            self.note("too_large", bytes=len(frame))
            return
        self.put(frame)

    def _frame(self, said: Publication) -> bytes:
        """A Publish as a native frame. Raises `Refused`."""
        destination, fanout = said.destination, self._fanout(said.fanout)
        target = destination.target
        if destination.id is not None and fanout != FANOUT_ANY:
            target, fanout = _of_type(target), FANOUT_ALL
        kind, source, number = self._way(said.source, destination, target)
        return encode_data(
            kind,
            pack(Envelope(b"", ContentType.BYTES, 0, 0, None, said.body)),
            destination=number,
            source=source,
            id=next(self._frame_ids),
            fanout=fanout,
        )

    def _way(self, source: Address, destination: Address, target: bytes) -> Way:
        """From the source to the target, with what the destination is called in mind. Raises `Refused`."""
        if destination.components not in self._mentioned:
            # That the name is known is for the better, and not for the client to know: it may be somebody else's.
            with contextlib.suppress(Refused):
                self._tell_texts(destination, self._mentioned, MENTIONED_LIMIT)
        if source.components in self._texts:
            way = self.foreign.way(source.target, target)
        else:
            with self._telling(source):
                way = self.foreign.way(source.target, target)
        self._spoken.add(source.target)
        return way

    def _fanout(self, wanted: int) -> int:
        return FANOUT_ALL if wanted in self._broadcasts else min(wanted, FANOUT_LIMIT)

    def _subscription(self, said: Subscription) -> None:
        """A Subscribe or Unsubscribe, and the answer if one is wanted."""
        problem = ""
        try:
            if said.subscribe:
                self._subscribe(said.source, said.destination)
            else:
                self._unsubscribe(said.source, said.destination)
        except Refused as refused:
            problem = describe(refused.code, refused.detail)
            self.note(refused.code.name.lower(), detail=refused.detail)
        if said.acknowledge:
            self.send(slim.acknowledgement(said.acknowledge, problem))

    def _subscribe(self, source: Address, destination: Address) -> None:
        address, asked = _routed(source, destination), (destination.target, source.target)
        if asked not in self._behind.get(address, ()):
            # Beside the router's own count, which knows nothing of ids that are no agent's.
            limits = self.hub.admission.limits
            limit = limits.subscriptions_per_connection + limits.agents_per_connection
            self.hub.admission.check_room(self._subscriptions, limit, Code.TOO_MANY_SUBSCRIPTIONS)
        with self._telling(source, destination):
            self.foreign.subscribe(source.target, address)
        behind = self._behind.setdefault(address, set())
        if asked not in behind:
            behind.add(asked)
            self._asked[destination.target] += 1
            self._subscriptions += 1

    def _unsubscribe(self, source: Address, destination: Address) -> None:
        """Once nobody of this client asks for any of the ids of a type, it takes no part in it any more."""
        address, asked = _routed(source, destination), (destination.target, source.target)
        behind = self._behind.get(address, set())
        if asked not in behind:
            return
        behind.remove(asked)
        self._subscriptions -= 1
        self._asked[destination.target] -= 1
        if not self._asked[destination.target]:
            del self._asked[destination.target]
        if not behind:
            del self._behind[address]
            self.foreign.unsubscribe(address)

    # ---- what agents are called

    def _tell_own_names(self) -> None:
        """What its certificate or token says of them, so that nobody else's leave no room for them."""
        assert self.link is not None
        names = self.link.principal.speaks_as.prefix[:3]
        if names:
            self._own_texts = *names[:2], *(kind.removeprefix(SLIM) for kind in names[2:])
            self.dialects.spellings.tell(self._own_texts, ours=True)

    @contextlib.contextmanager
    def _telling(self, *addresses: Address) -> Iterator[None]:
        """The texts of these names are known from now on, unless what they are told for is refused.

        Raises `Refused`.
        """
        news: list[Address] = []
        try:
            news += (each for each in addresses if self._tell_texts(each, self._texts, TEXTS_LIMIT))
            yield
        except Refused:
            for address in news:
                self.dialects.spellings.untell(self._texts.pop(address.components))
            raise

    def _tell_texts(self, address: Address, told: Texts, limit: int) -> bool:
        """The texts of a name, if they are news; what was told first is forgotten above the limit.

        Only of the client's own organization, so that nobody fills another's memory. One that is too long to be known
        is not kept. Raises `Refused`.
        """
        assert self.link is not None
        names = address.strings
        if names is None or address.components in told:
            return False
        kept = [text for text in names if len(text) <= NAME_LIMIT]
        if self.link.principal.organization not in ("", names[0]) or kept[:1] != [names[0]]:
            return False
        self.dialects.spellings.tell(kept)
        told[address.components] = kept
        if len(told) > limit:
            self.dialects.spellings.untell(told.pop(next(iter(told))))
        return True

    def spell(self, address: bytes) -> Name:
        of_type = self.dialects.spellings.spell(_COMPONENTS.unpack_from(address), self)
        if address.endswith(ANY_ID_BYTES):
            return of_type
        high, low = address[_COMPONENTS.size : -8], address[-8:]
        return of_type.at(f"{PREFIXES[Dialect.SLIM]}{high[::-1].hex()}{low[::-1].hex()}")

    def hashes(self) -> Iterator[int]:
        for address in self.foreign.addresses():
            yield from _COMPONENTS.unpack_from(address)

    # ---- what the client is told

    def tell(self, kind: int, destination: int, source: int, id_: int, envelope: bytes) -> bytes | None:
        sender = self.foreign.met.get(source)
        if sender is None or self._mac is None:
            return None  # the handle has died on the way here
        if dialect_of(sender) is not Dialect.SLIM:
            self.note("other_dialect", source=sender)
            return None
        body = unpack(envelope).carried
        target = slim.target_of(body)
        if target.endswith(ANY_ID_BYTES) or target in self._asked or target in self._spoken:
            return self._mac.seal(body)
        return None  # for another id of a type that it takes part in


def _of_type(target: bytes) -> bytes:
    return target[: -len(ANY_ID_BYTES)] + ANY_ID_BYTES


def _routed(source: Address, destination: Address) -> bytes:
    """For which address of the router a subscription is: the agent itself, or a type that it takes part in.

    There it is reached under its own instance, so under another name with the same id too.
    """
    return destination.target if destination.target == source.target else _of_type(destination.target)
