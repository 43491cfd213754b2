"""What the control plane decides takes effect in the data plane: policy, tokens, quotas, standing routes."""

from collections.abc import Callable, Sequence

from agpd.control import enforced
from agpd.control.enforced import Enforced
from agpd.control.following import Following
from agpd.control.resources import AuditEvent
from agpd.control.service import Control
from agpd.gateway.hub import Hub
from agpd.gateway.quotas import Allowance
from agpd.gateway.tokens import Tokens

KINDS = ("tenant", "route")
NOTHING = Enforced()


class Joint:
    """Keeps a hub in agreement with a control plane, from `open` to `close`. `clock` returns Unix seconds.

    A change is in force a moment after its commit. Tokens that end or are revoked end their connections with the
    periodic check of links.
    """

    def __init__(self, control: Control, hub: Hub, clock: Callable[[], float]) -> None:
        self._control = control
        self._hub = hub
        self._changed: set[str] | None = None  # tenants; None: all
        self._following = Following(self._load)
        tokens = control.tokens
        hub.tokens = Tokens(tokens.verify, tokens.is_revoked, clock, tokens.enter)
        hub.admission.require_token = control.settings.require_token
        hub.admission.policy = control.policy
        control.on_policy(self._take_policy)
        control.store.listen(self._hear)

    async def open(self) -> None:
        """Put in force what there is. Raises `Refused(UNAVAILABLE)`."""
        await self._load()

    async def settled(self) -> None:
        """Wait until every change so far is in force."""
        await self._following.settled()

    async def close(self) -> None:
        """Follow no more."""
        await self._following.close()

    def _take_policy(self) -> None:
        self._hub.adopt(self._control.policy)

    def _hear(self, events: Sequence[AuditEvent]) -> None:
        changed = {event.tenant for event in events if event.action.partition(".")[0] in KINDS}
        if changed and self._changed is not None:
            self._changed |= changed
            self._following.mark()

    async def _load(self) -> None:
        wanted, self._changed = self._changed, set()
        try:
            found = await self._control.store.read(lambda connection: enforced.read(connection, wanted))
        except BaseException:
            self._changed = None if wanted is None else self._changed | wanted
            raise
        for name in found if wanted is None else wanted:
            self._enforce(name, found.get(name, NOTHING))

    def _enforce(self, name: str, tenant: Enforced) -> None:
        quotas = tenant.quotas
        self._hub.quotas.set(
            name,
            Allowance(
                connections=quotas.connections,
                agents=quotas.agents,
                subscriptions=quotas.subscriptions,
                messages_per_second=quotas.messages_per_second,
                bytes_per_second=quotas.bytes_per_second,
            ),
        )
        self._hub.router.set_standing(name, tenant.routes)
