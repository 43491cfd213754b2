"""The tables of docs/topics/performance.md that come from `make memory`."""

from pathlib import Path
from typing import Any

from scripts.performance import fill as fill_marked
from scripts.performance import row

PAGE = Path(__file__).parents[2] / "docs" / "topics" / "performance.md"
_POLICIES = {"cpython": "CPython's defaults", "agpd": "`agpd serve`"}
_WORK = {
    "growth": "10,000 connections and 100,000 subscriptions come",
    "churn": "3,000 connections come and go",
}


def _by_number(values: dict[str, int]) -> str:
    return ", ".join(f"{bytes_:,} ({int(number):,})" for number, bytes_ in values.items())


def memory(result: dict[str, Any]) -> list[str]:
    """Bytes for each of many things."""
    rows = {
        "idle connection, plaintext": result["plaintext"],
        "idle connection, mutual TLS": result["tls"],
        "of a plaintext one: seen by Python's allocators, uvloop's handle included": result[
            "plaintext_traced"
        ],
        "connection without a socket: the gateway's own objects": result["own_objects"],
        "subscription": result["subscriptions"],
    }
    lines = [row("", "bytes for each (of how many)"), "|---|---|"]
    return lines + [row(name, _by_number(values)) for name, values in rows.items()]


def collector(result: dict[str, Any]) -> list[str]:
    """Collections, by who decides about them."""
    lines = [row("", "", "full collections", "longest pause", "all pauses"), "|---|---|---|---|---|"]
    for policy, label in _POLICIES.items():
        for work, what in _WORK.items():
            pauses = [value for key, value in result["collector"][policy][work].items() if key != "collected"]
            longest = max(each["longest_ms"] for each in pauses)
            total = sum(each["total_ms"] for each in pauses)
            lines.append(row(label, what, pauses[2]["count"], f"{longest:,.1f} ms", f"{total:,.0f} ms"))
    return lines


def messages(result: dict[str, Any]) -> list[str]:
    """What a message costs beside other subscriptions."""
    lines = [row("", "10³ subscriptions", "10⁶ subscriptions", "ratio"), "|---|---|---|---|"]
    for pattern, measured in result["messages"].items():
        few, many = measured["ns_per_message"].values()
        lines.append(row(pattern, f"{few:,.0f} ns", f"{many:,.0f} ns", f"{measured['ratio']:.2f}"))
    return lines


def fill(result: dict[str, Any]) -> None:
    """Write the tables into the page."""
    text = PAGE.read_text()
    machine = result["machine"]
    said = (
        f"Measured on {machine['date']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"CPython {machine['python']}, {machine['descriptors']:,} descriptors for a process."
    )
    for name, body in (
        ("memory", [*memory(result), "", said]),
        ("collector", collector(result)),
        ("subscriptions", messages(result)),
    ):
        text = fill_marked(text, name, body)
    PAGE.write_text(text)
