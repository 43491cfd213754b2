"""bench/agp/__main__.py: medians over rounds, and a table in which nothing lost is left out."""

from bench.agp.__main__ import CASES, SYSTEMS, summed, table


def figure(cpu: float, lost: int = 0, system: str = "agpd") -> dict[str, object]:
    of = {"system": system, "carrier": "plain", "case": "unicast"}
    return of | {"cpu_us_per_message": cpu, "messages_per_s": 1000 * cpu, "lost": lost}


def test_medians_of_the_rounds_and_the_sum_of_what_was_lost() -> None:
    (entry,) = summed([figure(1.0), figure(5.0, 2), figure(2.0, 1)])
    assert (entry["cpu_us_per_message"], entry["messages_per_s"], entry["lost"]) == (2.0, 2000.0, 3)


def test_a_row_for_each_case_and_a_dash_for_what_could_not_be_measured() -> None:
    head, _, *rows = table(summed([figure(2.0, 7), figure(3.0, system=SYSTEMS[1].label)]))
    assert head.count("|") == len(SYSTEMS) + 2
    assert len(rows) == len(CASES)
    assert rows[0] == "| unicast, plain | 2.0 (2,000, 7 lost) | 3.0 (3,000) | - |"
