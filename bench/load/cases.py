"""What the suite measures."""

from typing import NamedTuple

SIZES = (16, 256, 4096, 65536)
RECEIVERS = 16
SENDERS = 4


class Case(NamedTuple):
    """`verb`: pub (with `pattern`) or rr. `raw`: prebuilt frames, else the SDK. `messages`: or requests."""

    verb: str
    pattern: str
    size: int
    tls: bool
    raw: bool
    messages: int
    senders: int = SENDERS
    receivers: int = RECEIVERS
    concurrency: int = 1

    @property
    def name(self) -> str:
        """Unique, and the same in all results."""
        by = "raw" if self.raw else "sdk"
        carrier = "tls" if self.tls else "plain"
        what = f"rr-{self.concurrency}" if self.verb == "rr" else self.pattern
        return f"{what}/{self.size}/{carrier}/{by}"

    @property
    def deliveries(self) -> int:
        """What the receivers must have in the end."""
        return self.messages * self.receivers if self.pattern == "broadcast" else self.messages


def _counts(pattern: str, size: int) -> int:
    """Messages for about a second: bytes are the limit from 4 KiB on."""
    budget = {"unicast": 600_000, "anycast": 300_000, "broadcast": 150_000}[pattern]
    bytes_limit = 2**31 // (16 if pattern == "broadcast" else 1)
    return min(budget, bytes_limit // (size + 200))


def cases() -> list[Case]:
    """The whole suite: the gateway alone, then SDK to SDK."""
    raw = [
        Case("pub", pattern, size, tls, True, _counts(pattern, size))
        for tls in (False, True)
        for pattern in ("unicast", "anycast", "broadcast")
        for size in SIZES
    ]
    requests = [
        Case("rr", "", size, tls, True, count, 1, 1, concurrency)
        for tls in (False, True)
        for size in SIZES
        for concurrency, count in ((1, 2000), (64, 20_000 if size < 65536 else 5000))
    ]
    sdk = [Case("pub", "unicast", 256, tls, False, 200_000, 1, 1) for tls in (False, True)]
    sdk += [
        Case("rr", "", 256, tls, False, count, 1, 1, concurrency)
        for tls in (False, True)
        for concurrency, count in ((1, 2000), (64, 20_000))
    ]
    return raw + requests + sdk
