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
Case = tuple[str, Callable[[Server, int], measure.Measured]]
FAILURES = (Failed, Absent)


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

    `share` scales how many messages are sent. A case that failed in one round is not tried again.
    """
    rounds = Rounds(share, say)
    with tempfile.TemporaryDirectory(prefix="bench-pki-") as directory:
        made = files(Path(directory))
        for number in range(repeat):
            for system in systems:
                for carrier in system.carriers:
                    rounds.visit(system, carrier, made if carrier == "tls" else None, number)
    return rounds.entries(repeat)


class Rounds:
    """What has been measured so far, by system, carrier and case."""

    def __init__(self, share: float, say: Say) -> None:
        self._share = share
        self._say = say
        self._done: dict[tuple[str, str, str], list[measure.Measured]] = {}
        self._failed: dict[tuple[str, str, str], str] = {}

    def visit(self, system: System, carrier: str, made: Files | None, number: int) -> None:
        """Start the server and measure everything that has not failed before."""
        open_cases = [
            (name, case)
            for name, case in cases(system, carrier, self._share)
            if (system.key, carrier, name) not in self._failed
        ]
        if not open_cases:
            return
        try:
            with started(system, made) as server:
                for name, case in open_cases:
                    self._measure(server, carrier, name, case, number)
        except FAILURES as error:
            for name, _ in open_cases:
                self._failed.setdefault((system.key, carrier, name), str(error))
            self._say(f"{system.label}, {carrier}: {error}")

    def _measure(
        self,
        server: Server,
        carrier: str,
        name: str,
        case: Callable[[Server, int], measure.Measured],
        number: int,
    ) -> None:
        key = (server.system.key, carrier, name)
        try:
            measured = case(server, number)
        except FAILURES as error:
            self._failed[key] = str(error)
            self._say(f"{'/'.join(key)}: {error}")
            return
        self._done.setdefault(key, []).append(measured)
        lost = f"  LOST {measured['lost']}" if measured["lost"] else ""
        figures = (f"{measured[field]:,.2f}" for field in SHOWN if field in measured)
        self._say(f"{'/'.join(key):<36} {'  '.join(figures)}{lost}")

    def entries(self, repeat: int) -> list[Entry]:
        """One for each case of each system; what failed has its reason and no figures."""
        found = []
        for key in sorted({*self._done, *self._failed}):
            runs = self._done.get(key, [])
            reason = self._failed.get(key, "")
            system, carrier, case = key
            figures = {} if reason else medians(runs)
            lost = sum(each["lost"] for each in runs)
            of = sum(each["expected"] for each in runs)
            found.append(
                Entry(
                    system=system,
                    carrier=carrier,
                    case=case,
                    runs=len(runs),
                    failed=reason,
                    lost=lost / of if of else 0.0,
                    measured=figures,
                )
            )
        return found


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


def _load(system: System, pattern: str, messages: int) -> Callable[[Server, int], measure.Measured]:
    if system.native:
        return lambda server, number: measure.native(server, pattern, messages, number)
    return _clients(pattern, RECEIVERS, messages)


def _clients(pattern: str, receivers: int, messages: int) -> Callable[[Server, int], measure.Measured]:
    return lambda server, number: measure.clients(server, pattern, receivers, messages, number)
