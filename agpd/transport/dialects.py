"""What the calls of all dialects share: settings, spellings, counters, and how often they may be opened."""

import logging
import time
from collections import Counter
from collections.abc import Callable

from agpd.config import Config
from agpd.gateway.hub import Hub
from agpd.gateway.rates import Rates
from agpd.gateway.spellings import Spellings
from agpd.telemetry.logs import event
from agpd.transport.callers import Callers

# Clients of AGP open a stream that has ended again at once, 250 times a second: from here on they wait for the answer.
OPENINGS_PER_S = 5.0
OPENINGS_BURST = 30
OPENING_DELAY_LIMIT_S = 1.0
NOTE_INTERVAL_S = 1.0
_log = logging.getLogger(__name__)


class Dialects:
    """What the sessions of one gateway share. `counts` says how often something was ignored or dropped, and why."""

    def __init__(
        self, config: Config, hub: Hub, callers: Callers, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config
        self.hub = hub
        self.callers = callers
        self.spellings = Spellings(hub.router)
        self.counts: Counter[str] = Counter()
        self.openings = Rates(OPENINGS_PER_S, OPENINGS_BURST, clock)
        self._clock = clock
        self._noted: dict[str, tuple[float, int]] = {}  # reason -> when it was logged last, how many since
        hub.types_changed = self.spellings.types_changed
        hub.policy_changed = self.spellings.policy_changed
        self.spellings.policy_changed(hub.admission.policy)

    def note(self, reason: str, count: int = 1, **details: object) -> None:
        """Count it, and log it at most once a second for each reason, with the number of those left out."""
        self.counts[reason] += count
        at, left_out = self._noted.get(reason, (-NOTE_INTERVAL_S, 0))
        if (now := self._clock()) - at < NOTE_INTERVAL_S:
            self._noted[reason] = at, left_out + count
            return
        self._noted[reason] = now, 0
        event(_log, logging.INFO, "not delivered", reason=reason, count=count, left_out=left_out, **details)

    def opening_delay_s(self, key: str) -> float:
        """How long a call of this peer must wait for its answer; it is one call more."""
        wait_s = min(self.openings.wait_s(key), OPENING_DELAY_LIMIT_S)
        self.openings.note(key)
        return wait_s
