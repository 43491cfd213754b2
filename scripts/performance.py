"""Writes the tables of README and docs/topics/performance.md from a result of `make bench`.

python scripts/performance.py [RESULT.json]     # left out: the newest in bench/results
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIZES = (16, 256, 4096, 65536)
Measured = dict[str, dict[str, Any]]


def row(*cells: object) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def pair(got: Measured, name: str) -> tuple[str, str]:
    """Messages a second, gateway µs for each; dashes where nothing was measured."""
    one = got.get(name)
    return (f"{one['messages_per_s']:,.0f}", f"{cpu_us(one):.2f}") if one else ("-", "-")


def cpu_us(one: dict[str, Any]) -> float:
    """The gateway's time for a message, in µs, from the first delivery to the last."""
    return float(one["received_gateway_cpu_s"] / one["messages"] * 1e6)


def latency(got: Measured, name: str) -> tuple[str, str]:
    """p50 / p99 / p99.9 in µs, requests a second."""
    one = got[name]
    times = " / ".join(f"{one[key]:,.0f}" for key in ("p50_us", "p99_us", "p999_us"))
    return times, f"{one['requests_per_s']:,.0f}"


def card(result: dict[str, Any], path: Path) -> str:
    """Where and when it was measured."""
    one = result["card"]
    return (
        f"{one['cpu']}, {one['cores']} cores shared by all processes, virtual; Linux {one['kernel']}; {one['python']}\n"
        f"built with {one['optimised']}; hot path: {one.get('hot_path', 'Python')};\n"
        f"uvloop {one['uvloop']}; {one['openssl']};\n"
        f"loopback; commit {one['commit']}, {one['date'][:10]}. Medians of {result['repeat']} runs,\n"
        f"`bench/results/{path.name}`; prebuilt frames by\n"
        f"{result.get('generator', 'agpctl bench --raw')}. Load at the start {one['load_average']}.\n"
        "Expect ±20 % between runs."
    )


def gateway(got: Measured) -> list[str]:
    """The gateway alone."""
    lines = [
        row("", "plaintext, msg/s", "gateway µs/msg", "mutual TLS, msg/s", "gateway µs/msg"),
        "|---|---|---|---|---|",
    ]
    for pattern in ("unicast", "anycast", "broadcast"):
        for size in SIZES:
            plain, tls = (pair(got, f"{pattern}/{size}/{carrier}/raw") for carrier in ("plain", "tls"))
            lines.append(row(f"{pattern}, {size} B", *plain, *tls))
    return lines


def limit(got: Measured) -> list[str]:
    """The gateway beside the relay."""
    lines = [row("256 bytes, unicast", "relay, µs", "agpd, µs", "agpd / relay"), "|---|---|---|---|"]
    for label, carrier in (("plaintext", "plain"), ("mutual TLS", "tls")):
        ours, least = (got.get(f"unicast/256/{carrier}/{by}") for by in ("raw", "relay"))
        times = [f"{cpu_us(one):.2f}" if one else "-" for one in (least, ours)]
        ratio = f"{cpu_us(ours) / cpu_us(least):.1f}" if ours and least else "-"
        lines.append(row(label, *times, ratio))
    return lines


def deliveries(got: Measured) -> list[str]:
    """Broadcast, for each delivery."""
    lines = [row("256 bytes", "deliveries/s", "gateway µs/delivery"), "|---|---|---|"]
    for label, name in (
        ("1 to 16, plaintext", "broadcast/256/plain/raw"),
        ("1 to 16, mutual TLS", "broadcast/256/tls/raw"),
        ("1 to 1000, plaintext", "broadcast-1000/256/plain/raw"),
    ):
        one = got.get(name)
        if one is None:
            lines.append(row(label, "-", "-"))
            continue
        each = one["received_gateway_cpu_s"] / one["received_received"] * 1e6
        lines.append(row(label, f"{one['received_deliveries_per_s']:,.0f}", f"{each:.3f}"))
    return lines


def requests(got: Measured) -> list[str]:
    """Request and reply."""
    lines = [row("", "plaintext, µs", "requests/s", "mutual TLS, µs", "requests/s"), "|---|---|---|---|---|"]
    cases = [("prebuilt frames", "raw", size, n) for n in (1, 64) for size in SIZES]
    cases += [("SDK", "sdk", 256, n) for n in (1, 64)]
    for label, by, size, n in cases:
        plain, tls = (latency(got, f"rr-{n}/{size}/{carrier}/{by}") for carrier in ("plain", "tls"))
        lines.append(row(f"{label}, {size} B, {n} in flight", *plain, *tls))
    loaded = [f"rr-1-loaded/256/{carrier}/sdk" for carrier in ("plain", "tls")]
    if all(name in got for name in loaded):  # results of before do not have it
        plain, tls = (latency(got, name) for name in loaded)
        lines.append(row("SDK, 256 B, 1 in flight, beside half of the load that there can be", *plain, *tls))
    return lines


def sdk(got: Measured) -> list[str]:
    """SDK to SDK."""
    lines = [row("", "sent/s", "received/s", "gateway µs/msg"), "|---|---|---|---|"]
    for label, carrier in (("plaintext", "plain"), ("mutual TLS", "tls")):
        one = got[f"unicast/256/{carrier}/sdk"]
        sent, cpu = pair(got, f"unicast/256/{carrier}/sdk")
        lines.append(row(label, sent, f"{one['received_deliveries_per_s']:,.0f}", cpu))
    return lines


def parts(micro: dict[str, float]) -> list[str]:
    """Parts of the whole; `micro` is in ns."""

    def us(name: str) -> str:
        return f"{micro[name] / 1000:,.0f} µs"

    decisions = " / ".join(f"{micro[f'test_unicast[{n}]']:.0f} ns" for n in (1000, 100_000, 1_000_000))
    envelope = f"{micro['test_pack_envelope']:.0f} ns / {micro['test_unpack_envelope']:.0f} ns"
    return [
        row("", ""),
        "|---|---|",
        row("pack an envelope of 256 bytes / unpack it", envelope),
        row(
            "the forwarding loop for a read of 256 KiB (913 frames): receivers at random / in 16 runs",
            f"{us('test_forward[random]')} / {us('test_forward[runs]')}",
        ),
        row(
            "the same with anycast / broadcast to 16",
            f"{us('test_forward[anycast]')} / {us('test_forward[broadcast]')}",
        ),
        row("a routing decision among 10³ / 10⁵ / 10⁶ subscriptions (unicast)", decisions),
    ]


def summary(got: Measured) -> list[str]:
    """The table of the README."""
    lines = [row("256 bytes", "plaintext", "mutual TLS"), "|---|---|---|"]
    for label, name, format_ in (
        ("unicast, 16 receivers at random", "unicast/256/{}/raw", "{1} µs, {0} msg/s"),
        ("anycast, 1 of 16", "anycast/256/{}/raw", "{1} µs, {0} msg/s"),
        ("broadcast to 16", "broadcast/256/{}/raw", "{1} µs, {0} msg/s"),
        ("Python SDK to Python SDK", "unicast/256/{}/sdk", "{1} µs, {0} msg/s"),
    ):
        both = [format_.format(*pair(got, name.format(carrier))) for carrier in ("plain", "tls")]
        lines.append(row(label, *both))
    both = [pair(got, f"unicast/256/{carrier}/relay")[1] for carrier in ("plain", "tls")]
    if "-" not in both:
        lines.append(row("the limit: unicast through a relay in C", *(f"{each} µs" for each in both)))
    both = [latency(got, f"rr-1/256/{carrier}/sdk")[0] + " µs" for carrier in ("plain", "tls")]
    lines.append(row("request and reply between SDKs, p50 / p99 / p99.9", *both))
    return lines


def fill(text: str, name: str, lines: list[str] | str) -> str:
    """The text with what stands between the markers `name` replaced."""
    body = lines if isinstance(lines, str) else "\n".join(lines)
    begin, end = f"<!-- performance: {name} -->", f"<!-- /performance: {name} -->"
    filled, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: f"{begin}\n\n{body}\n\n{end}",
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise SystemExit(f"{count} places marked {begin} … {end}, not one")
    return filled


def main() -> None:
    """Fill both pages."""
    found = sorted((ROOT / "bench/results").glob("2*.json"))
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else found[-1]
    result = json.loads(path.read_text())
    if failed := [case["name"] for case in result["load"] if case["failed"]]:
        raise SystemExit(f"{path} has cases that failed, which is not to be published: {', '.join(failed)}")
    got = {case["name"]: case["measured"] for case in result["load"]}
    page = ROOT / "docs/topics/performance.md"
    text = page.read_text()
    for name, lines in (
        ("card", card(result, path)),
        ("gateway", gateway(got)),
        ("limit", limit(got)),
        ("deliveries", deliveries(got)),
        ("requests", requests(got)),
        ("sdk", sdk(got)),
        ("parts", parts(result["micro"])),
    ):
        text = fill(text, name, lines)
    page.write_text(text)
    readme = ROOT / "README.md"
    readme.write_text(fill(readme.read_text(), "table", summary(got)))


if __name__ == "__main__":
    main()
