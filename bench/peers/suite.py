"""All systems, one after the other, again and again: the rounds of one run."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agpd.transport.pki import development
from bench.peers import environments, measure
from bench.peers.at import Files
from bench.peers.catalogue import PATTERNS, RECEIVERS, System
from bench.peers.environments import Absent
from bench.peers.results import Entry, Peer, medians
from bench.peers.servers import Failed, Server, started

Say = Callable[[str], object]
Key = tuple[str, str, str]
Run = Callable[[Server, int], measure.Measured]
Case = tuple[str, Run]
FAILURES = (Failed, Absent)
ATTEMPTS = 2  # failures after which a case is given up


def files(directory: Path) -> Files:
    """One authority for all systems: certificates of a server on loopback and of a client (P-256)."""
    made = development(directory, time.time())
    paths = (made.ca, made.certificate, made.key, made.agent_certificate, made.agent_key)
    return Files(*map(str, paths))


def present(systems: Sequence[System], say: Say) -> tuple[list[System], list[Peer]]:
    """What can be run here, and all with their versions or the reason why one cannot.

    Where agpload cannot be built, a system's own client is its load.
    """
    able, found = [], []
    native = _native(say)
    for system in systems:
        peer = Peer(
            key=system.key,
            label=system.label,
            secure=system.secure,
            client=system.client,
            hosted=not system.binary,
        )
        found.append(peer)
        try:
            if system.native and not native and not system.client:
                raise Absent("agpload could not be built")
            environments.python(system.environment)
            peer.versions = environments.versions(system)
        except Absent as error:
            peer.absent = str(error)
            say(f"{system.label}: left out: {error}")
            continue
        peer.load = "agpload" if system.native and native else "its client"
        able.append(system if native else system._replace(native="", load=system.sent))
    return able, found


def _native(say: Say) -> bool:
    try:
        environments.native("agpload")
    except Absent as error:
        say(f"the load comes from the clients: {error}")
        return False
    return True


def run(systems: Sequence[System], repeat: int, share: float, say: Say) -> list[Entry]:
    """Every system in every round, so that what disturbs the machine for a while disturbs all of them.

    `share` scales how many messages are sent. A case that has failed `ATTEMPTS` times is not tried again.
    """
    rounds = Rounds(share, say)
    with tempfile.TemporaryDirectory(prefix="bench-pki-") as directory:
        made = files(Path(directory))
        for number in range(repeat):
            for system in systems:
                for carrier in system.carriers:
                    rounds.visit(system, carrier, made if carrier == "tls" else None, number)
    return rounds.entries()


class Rounds:
    """What has been measured so far, by system, carrier and case."""

    def __init__(self, share: float, say: Say) -> None:
        self._share = share
        self._say = say
        self._done: dict[Key, list[measure.Measured]] = {}
        self._failed: dict[Key, list[str]] = {}

    def visit(self, system: System, carrier: str, made: Files | None, number: int) -> None:
        """Start the server and measure everything that has not been given up."""
        open_cases = [
            (name, case)
            for name, case in cases(system, carrier, self._share)
            if len(self._failed.get((system.key, carrier, name), ())) < ATTEMPTS
        ]
        if not open_cases:
            return
        try:
            with started(system, made) as server:
                for name, case in open_cases:
                    self._measure(server, (system.key, carrier, name), case, number)
        except FAILURES as error:
            for name, _ in open_cases:
                self._fail((system.key, carrier, name), error)

    def _measure(self, server: Server, key: Key, case: Run, number: int) -> None:
        try:
            measured = case(server, number)
        except FAILURES as error:
            self._fail(key, error)
            return
        self._done.setdefault(key, []).append(measured)
        lost = f"  LOST {measured['lost']}" if measured["lost"] else ""
        figures = (f"{measured[field]:,.2f}" for field in SHOWN if field in measured)
        self._say(f"{'/'.join(key):<36} {'  '.join(figures)}{lost}")

    def _fail(self, key: Key, error: Exception) -> None:
        self._failed.setdefault(key, []).append(str(error))
        self._say(f"{'/'.join(key)}: {error}")

    def entries(self) -> list[Entry]:
        """One for each case of each system."""
        keys = sorted({*self._done, *self._failed})
        return [entry(key, self._done.get(key, []), self._failed.get(key, [])) for key in keys]


def entry(key: Key, runs: Sequence[measure.Measured], failures: Sequence[str]) -> Entry:
    """Medians over the runs that succeeded; without one, no figures."""
    system, carrier, case = key
    of = sum(each["expected"] for each in runs)
    return Entry(
        system=system,
        carrier=carrier,
        case=case,
        runs=len(runs),
        failures=len(failures),
        failed=failures[-1] if failures else "",
        lost=sum(each["lost"] for each in runs) / of if of else 0.0,
        measured=medians(runs) if runs else {},
    )


SHOWN = ("cpu_us_per_delivery", "deliveries_per_s", "p50_us", "p99_us")


def cases(system: System, carrier: str, share: float) -> Iterator[Case]:
    """Load in each pattern over each carrier; clients and requests over the one that they are compared on."""

    def part(count: int) -> int:
        return max(1, round(count * share))

    patterns = [pattern for pattern in PATTERNS if pattern in system.patterns]
    for pattern in patterns:
        yield f"load-{pattern}", _load(system, pattern, part(system.load // _divisor(pattern)))
    if carrier == system.carrier and system.client:
        for pattern in patterns:
            receivers = RECEIVERS if pattern == "broadcast" else 1
            yield f"clients-{pattern}", _clients(pattern, receivers, part(system.sent // _divisor(pattern)))
        yield "requests", lambda server, _: measure.requests(server, part(system.asked))


def _divisor(pattern: str) -> int:
    """A broadcast is sixteen deliveries."""
    return 8 if pattern == "broadcast" else 1


def _load(system: System, pattern: str, messages: int) -> Run:
    if system.native:
        return lambda server, number: measure.native(server, pattern, messages, number)
    return _clients(pattern, RECEIVERS, messages)


def _clients(pattern: str, receivers: int, messages: int) -> Run:
    return lambda server, number: measure.clients(server, pattern, receivers, messages, number)
