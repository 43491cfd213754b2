"""Access of clients that show their secret on a connection: it holds as long as the connection and the secret do.

A token ends after minutes, and whoever has one renews it. A connection that was opened with a secret has nothing to
renew with, so its access has no end of its own; it ends when the secret does, or when what was issued for the client or
the secret is revoked. Revocations are kept in memory only as long as tokens live, so what stands for days is not asked
again and again whether it is revoked: each revocation ends, when it is heard, whatever it is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakSet

from agpd.control.resources import AuditEvent
from agpd.control.revocations import DETAIL
from agpd.control.scopes import Scopes
from agpd.control.store import Store
from agpd.names import Pattern

PRUNE_SLACK = 64


@dataclass(eq=False, slots=True, weakref_slot=True)
class Standing:
    """What a client may do on a connection. `expires` is when its secret does; times are Unix seconds."""

    organization: str
    pattern: Pattern
    client: str
    credential: str
    scopes: Scopes
    issued: float
    expires: float
    ended: bool = False


class Standings:
    """All that somebody holds. Each is ended by the revocations that come after it was issued."""

    def __init__(self, store: Store) -> None:
        self._of: dict[str, WeakSet[Standing]] = {}  # by client
        self._prune_at = PRUNE_SLACK
        store.listen(self._hear)

    def add(self, standing: Standing) -> None:
        """From now on revocations end it. To be called before it is looked up whether it may begin."""
        if len(self._of) >= self._prune_at:
            self._of = {client: held for client, held in self._of.items() if held}
            self._prune_at = 2 * len(self._of) + PRUNE_SLACK
        self._of.setdefault(standing.client, WeakSet()).add(standing)

    def _hear(self, events: Sequence[AuditEvent]) -> None:
        for event in events:
            for kind, value, before, _ in event.detail.get(DETAIL, ()):
                if kind in ("client", "credential"):
                    client, _, credential = value.partition("/")
                    self._end(client, credential, before)

    def _end(self, client: str, credential: str, before: float) -> None:
        """`credential` empty: all of the client."""
        for standing in self._of.get(client, ()):
            if credential in ("", standing.credential) and standing.issued <= before:
                standing.ended = True
