"""What the suite measures."""

import enum
from typing import NamedTuple

SIZES = (16, 256, 4096, 65536)
RECEIVERS = 16
SENDERS = 4


class By(enum.Enum):
    """Who sends and receives, and through what."""

    NATIVE = "native"  # agpload, through the gateway
    RELAY = "relay"  # agpload, through the relay: the limit
    RAW = "raw"  # agpctl bench --raw, through the gateway, where agpload cannot be built
    SDK = "sdk"  # agpctl bench, through the gateway


class Case(NamedTuple):
    """`verb`: pub (with `pattern`) or rr. `messages`: or requests.

    `background`: this share of what a pair of peers brings through the gateway goes through it meanwhile (not in C).
    """

    verb: str
    pattern: str
    size: int
    tls: bool
    by: By
    messages: int
    senders: int = SENDERS
    receivers: int = RECEIVERS
    concurrency: int = 1
    background: float = 0.0

    @property
    def native(self) -> bool:
        """Prebuilt frames, sent and counted in C."""
        return self.by in (By.NATIVE, By.RELAY)

    @property
    def name(self) -> str:
        """Unique, and the same in all results: also in those of `agpctl bench --raw`."""
        by = "raw" if self.by is By.NATIVE else self.by.value
        carrier = "tls" if self.tls else "plain"
        what = f"rr-{self.concurrency}" if self.verb == "rr" else self.pattern
        what += "-loaded" if self.background else ""
        many = f"-{self.receivers}" if self.verb == "pub" and self.receivers > RECEIVERS else ""
        return f"{what}{many}/{self.size}/{carrier}/{by}"

    @property
    def deliveries(self) -> int:
        """What the receivers must have in the end."""
        return self.messages * self.receivers if self.pattern == "broadcast" else self.messages


def _counts(pattern: str, size: int) -> int:
    """Messages for about a second: bytes are the limit from 4 KiB on."""
    budget = {"unicast": 3_000_000, "anycast": 1_500_000, "broadcast": 600_000}[pattern]
    bytes_limit = 2**30 if size < 4096 else 2**29
    return min(budget, bytes_limit // (8 if pattern == "broadcast" else 1) // (size + 200))


def _requests(size: int, concurrency: int) -> int:
    if concurrency == 1:
        return 5000
    return 50_000 if size < 65536 else 5000


def cases(native: bool = True) -> list[Case]:
    """The whole suite: the gateway alone beside the relay, then SDK to SDK.

    Without the native generator its part is done by `agpctl bench --raw`, and there is no relay.
    """
    by = By.NATIVE if native else By.RAW
    messages = [
        Case("pub", pattern, size, tls, by, _counts(pattern, size))
        for tls in (False, True)
        for pattern in ("unicast", "anycast", "broadcast")
        for size in SIZES
    ]
    many = [Case("pub", "broadcast", 256, False, by, 5000, SENDERS, 1000)]
    limit = [
        Case("pub", "unicast", 256, tls, By.RELAY, _counts("unicast", 256)) for tls in (False, True) if native
    ]
    requests = [
        Case("rr", "", size, tls, by, _requests(size, concurrency), 1, 1, concurrency)
        for tls in (False, True)
        for size in SIZES
        for concurrency in (1, 64)
    ]
    sdk = [Case("pub", "unicast", 256, tls, By.SDK, 200_000, 1, 1) for tls in (False, True)]
    sdk += [
        Case("rr", "", 256, tls, By.SDK, count, 1, 1, concurrency)
        for tls in (False, True)
        for concurrency, count in ((1, 2000), (64, 20_000))
    ]
    sdk += [Case("rr", "", 256, tls, By.SDK, 2000, 1, 1, background=0.5) for tls in (False, True)]
    return messages + many + limit + requests + sdk
