"""How often one caller, or one address, may ask: a token bucket for each."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from agpd.errors import Code, Refused

KEYS = 10_000
ROUNDING = 1e-3  # of one act: sums of many intervals are not exact


class TooMany(Refused):
    """Asked too often; `wait_s` is when it is worth to ask again."""

    def __init__(self, wait_s: float, detail: str) -> None:
        super().__init__(Code.TOO_MANY_REQUESTS, detail)
        self.wait_s = wait_s


class Rates:
    """Lets each key act `per_second` times on average, and `burst` times at once after a rest.

    `clock` returns monotonic seconds. Of more than `keys` keys the one that acted longest ago is forgotten.
    """

    def __init__(
        self, per_second: float, burst: float, clock: Callable[[], float], *, keys: int = KEYS
    ) -> None:
        self._interval_s = 1 / per_second
        self._slack_s = (burst - 1 + ROUNDING) / per_second
        self._clock = clock
        self._keys = keys
        self._due: OrderedDict[str, float] = OrderedDict()  # when its bucket would be full again

    def wait_s(self, key: str) -> float:
        """Seconds until it may act; 0: now."""
        return max(0.0, self._due.get(key, 0.0) - self._slack_s - self._clock())

    def note(self, key: str) -> None:
        """It has acted."""
        self._due[key] = max(self._due.get(key, 0.0), self._clock()) + self._interval_s
        self._due.move_to_end(key)
        if len(self._due) > self._keys:
            self._due.popitem(last=False)

    def take(self, key: str, what: str) -> None:
        """Act, or raise `TooMany`. `what` says of what there is too much."""
        self.check(key, what)
        self.note(key)

    def check(self, key: str, what: str) -> None:
        """Raises `TooMany` if it may not act now."""
        wait_s = self.wait_s(key)
        if wait_s > 0:
            raise TooMany(wait_s, what)


def source_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that an IPv6 address lies in."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
