"""Rounds: what fails does not stop the rest, and is tried twice."""

import pytest

from bench.peers import suite
from bench.peers.catalogue import SYSTEMS

# By its own client, so that no compiler is needed.
AGPD = SYSTEMS[0]._replace(native="", secure="", load=20, sent=20, asked=5)
BROKEN = AGPD._replace(key="broken", module="agpd", binary="no-such-program")


def test_every_case_of_every_system_has_an_entry_and_a_failure_stops_nobody() -> None:
    said: list[str] = []
    entries = suite.run([BROKEN, AGPD], 3, 1.0, said.append)
    cases = ["clients-broadcast", "clients-unicast", "load-broadcast", "load-unicast", "requests"]
    assert [(each.system, each.case) for each in entries] == [
        (system, case) for system in ("agpd", "broken") for case in cases
    ]
    for each in entries:
        if each.system == "agpd":
            assert (each.runs, each.failures, each.lost) == (3, 0, 0.0)
            assert each.measured
        else:
            assert (each.runs, each.failures, each.measured) == (0, suite.ATTEMPTS, {})
            assert "no-such-program" in each.failed
    assert sum(line.startswith("broken/plain/requests: ") for line in said) == suite.ATTEMPTS
    assert sum(line.startswith("agpd/plain/requests ") for line in said) == 3


def test_what_failed_once_is_measured_in_the_other_rounds() -> None:
    runs = [{"messages": 10, "expected": 10, "lost": lost, "x": x} for lost, x in ((0, 1.0), (5, 3.0))]
    made = suite.entry(("a", "tls", "requests"), runs, ["why"])
    assert (made.runs, made.failures, made.failed, made.lost) == (2, 1, "why", 0.25)
    assert made.measured["x"] == 2.0


@pytest.mark.parametrize(
    ("carrier", "names"),
    [
        ("plain", ["load-unicast", "load-broadcast"]),
        ("tls", ["load-unicast", "load-broadcast", "clients-unicast", "clients-broadcast", "requests"]),
    ],
)
def test_clients_are_compared_over_the_protected_carrier(carrier: str, names: list[str]) -> None:
    assert [name for name, _ in suite.cases(SYSTEMS[0], carrier, 1.0)] == names


def test_the_limit_is_measured_with_unicast_only() -> None:
    assert [name for name, _ in suite.cases(SYSTEMS[1], "tls", 1.0)] == ["load-unicast"]
