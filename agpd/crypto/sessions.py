"""The sessions of one agent: which one to send on, which still open, and when it is time for another."""

from collections import OrderedDict
from collections.abc import Iterator

from agpd.crypto.errors import SessionEnded, UnknownKey
from agpd.crypto.keys import Secret
from agpd.crypto.session import Session

GENERATIONS = 4
"""With one peer: the newest, and three older ones that still open."""
PEERS_LIMIT = 16_384
STICKY_LIMIT = 8
CROSSING_MS = 10_000
RESPONDER_REKEY_MS = 150_000
"""Who did not begin the session begins another one only then: the rekey of who did has not come."""


class Sessions(Secret):
    """Sessions by the number in their messages, and by peer."""

    __slots__ = ("_by_id", "_by_peer", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._by_id: dict[int, Session] = {}
        self._by_peer: OrderedDict[str, list[Session]] = OrderedDict()

    def add(self, session: Session) -> None:
        """Another one with this peer. Raises `SessionEnded` if its number is taken, which chance does not bring."""
        if session.receive_id in self._by_id:
            raise SessionEnded("two sessions of one number")
        peer = session.peer.name
        mine = self._by_peer.setdefault(peer, [])
        self._by_peer.move_to_end(peer)
        crossed = bool(mine) and _yields(session, mine[0])
        mine.insert(1 if crossed else 0, session)
        self._by_id[session.receive_id] = session
        for old in mine[GENERATIONS:]:
            self._remove(old)
        del mine[GENERATIONS:]
        self.settle(session)
        while len(self._by_peer) > PEERS_LIMIT:
            self.forget(next(iter(self._by_peer)))

    def settle(self, session: Session) -> None:
        """It is known that the peer has this session: what is older is not sent on any more."""
        if session.is_confirmed:
            mine = self._by_peer.get(session.peer.name, [])
            if session in mine:
                for old in mine[mine.index(session) + 1 :]:
                    if session.created_ms - old.created_ms >= CROSSING_MS or old.is_confirmed:
                        old.stop_sending()

    def find(self, number: int) -> Session:
        """The session that a message names. Raises `UnknownKey`."""
        session = self._by_id.get(number)
        if session is None:
            raise UnknownKey("no such session, or no more")
        return session

    def current(self, peer: str, now_ms: int) -> Session | None:
        """The one to send on: the newest that the peer is known to have, else the newest."""
        mine = self._by_peer.get(peer, ())
        if mine and mine[0].is_confirmed and mine[0].can_send(now_ms):
            return mine[0]
        usable = [each for each in mine if each.can_send(now_ms)]
        return next((each for each in usable if each.is_confirmed), usable[0] if usable else None)

    def of_type(self, type_name: str, now_ms: int) -> list[str]:
        """Instances of a type with which there is a session, the last used of them first, at most eight."""
        found = (
            peer
            for peer in reversed(self._by_peer)
            if peer.startswith(type_name + "/") and self.current(peer, now_ms) is not None
        )
        return [peer for peer, _ in zip(found, range(STICKY_LIMIT), strict=False)]

    def wants_rekey(self, peer: str, now_ms: int) -> bool:
        """Should this side begin another handshake with a peer that it talks to?"""
        session = self.current(peer, now_ms)
        if session is None:
            return True
        if session.initiator == self._name:
            return session.wants_rekey(now_ms)
        return now_ms >= session.created_ms + RESPONDER_REKEY_MS

    def expire(self, now_ms: int) -> None:
        """Erase the keys that have had their time."""
        for session in list(self._by_id.values()):
            if not session.can_receive(now_ms):
                self.end(session)
            elif not session.can_send(now_ms):
                session.stop_sending()

    def end(self, session: Session) -> None:
        """Forget one."""
        self._remove(session)
        mine = self._by_peer.get(session.peer.name, [])
        if session in mine:
            mine.remove(session)
        if not mine:
            self._by_peer.pop(session.peer.name, None)

    def forget(self, peer: str) -> None:
        """End all sessions with a peer."""
        for session in self._by_peer.pop(peer, []):
            self._remove(session)

    def drop(self) -> None:
        """Forget all."""
        for peer in list(self._by_peer):
            self.forget(peer)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def _remove(self, session: Session) -> None:
        session.drop()
        self._by_id.pop(session.receive_id, None)


def _yields(new: Session, old: Session) -> bool:
    """Of two handshakes that have crossed, both sides prefer that of the smaller name."""
    return (
        new.initiator != old.initiator
        and abs(new.created_ms - old.created_ms) < CROSSING_MS
        and old.initiator < new.initiator
    )
