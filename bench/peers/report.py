"""The tables of a result, in Markdown."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench.peers.results import Entry, Peer, Result

Format = Callable[[float], str]


def _micro(value: float) -> str:
    return f"{value:.2f}" if value < 9.95 else f"{value:,.0f}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


class Figure(NamedTuple):
    """Something that is compared: where it stands in a result, how it reads, whether more of it is better.

    `carrier` is empty for the one over which a system's clients are compared.
    """

    title: str
    carrier: str
    case: str
    name: str
    form: Format
    more_is_better: bool = False

    def entry(self, result: Result, peer: Peer) -> Entry | None:
        """The case of a system."""
        return result.entry(peer.key, self.carrier or ("tls" if peer.secure else "plain"), self.case)

    def value(self, result: Result, peer: Peer) -> float | None:
        """A system's; None where it was not measured or failed."""
        found = self.entry(result, peer)
        return None if found is None else found.measured.get(self.name)


CPU = (
    Figure("unicast, plaintext", "plain", "load-unicast", "cpu_us_per_delivery", _micro),
    Figure("unicast, TLS", "tls", "load-unicast", "cpu_us_per_delivery", _micro),
    Figure("broadcast, plaintext", "plain", "load-broadcast", "cpu_us_per_delivery", _micro),
    Figure("broadcast, TLS", "tls", "load-broadcast", "cpu_us_per_delivery", _micro),
    Figure("its clients, one to one", "", "clients-unicast", "cpu_us_per_delivery", _micro),
)
CLIENTS = (
    Figure("one to one, msg/s", "", "clients-unicast", "deliveries_per_s", _whole, True),
    Figure("one to 16, deliveries/s", "", "clients-broadcast", "deliveries_per_s", _whole, True),
    Figure("request p50, µs", "", "requests", "p50_us", _whole),
    Figure("request p99, µs", "", "requests", "p99_us", _whole),
)


HOT_PATH = {"compiled": "compiled", "Python": "in Python"}


def row(*cells: object) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def head(*titles: str) -> list[str]:
    """The head of a table, its first two columns to the left."""
    return [
        row(*titles),
        "|" + "|".join("---" if number < 2 else "--:" for number in range(len(titles))) + "|",
    ]


def label(peer: Peer) -> str:
    """Its name and the version of its server, or of the package that hosts it."""
    if not peer.versions:
        return peer.label
    first, last = next(iter(peer.versions.items())), next(reversed(peer.versions.values()))
    return f"{peer.label} ({first[0]} {first[1]})" if peer.hosted else f"{peer.label} {last}"


def tables(result: Result) -> list[str]:
    """Both tables, what is missing in them, and where agpd is behind."""
    lines = ["Processor time of the server, µs for each delivery:", "", *cpu(result), ""]
    lines += ["Client to client:", "", *clients(result), "", *notes(result), ""]
    return [*lines, "Where another is ahead of agpd:", "", *ahead(result)]


def cpu(result: Result) -> list[str]:
    """Processor time of the servers."""
    lines = head("server", "load", *(figure.title for figure in CPU))
    for peer in present(result):
        cells = (cell(result, peer, figure) for figure in CPU)
        lines.append(row(label(peer), peer.load, *cells))
    return lines


def clients(result: Result) -> list[str]:
    """From client to client."""
    lines = head("system", "client", *(figure.title for figure in CLIENTS))
    for peer in present(result):
        if peer.client:
            cells = (cell(result, peer, figure) for figure in CLIENTS)
            lines.append(row(label(peer), f"{peer.client} ({peer.secure or 'plaintext'})", *cells))
    return lines


def summary(result: Result) -> list[str]:
    """One table of the most important figures."""
    figures = (CPU[0], CPU[1], *CLIENTS)
    titles = ("server µs/msg, plaintext", "server µs/msg, TLS", *(figure.title for figure in CLIENTS))
    lines = [row("", *titles), "|---|" + "--:|" * len(titles)]
    for peer in present(result):
        lines.append(row(label(peer), *(cell(result, peer, figure) for figure in figures)))
    return lines


def present(result: Result) -> list[Peer]:
    """The systems that took part."""
    return [peer for peer in result.peers if not peer.absent]


def cell(result: Result, peer: Peer, figure: Figure) -> str:
    """A figure, with what was lost; `failed` if it could not be measured, a dash if it does not apply."""
    found = figure.entry(result, peer)
    if found is None:
        return "-"
    if not found.runs:
        return "failed"
    lost = f" (lost {found.lost:.1%})" if found.lost else ""
    return figure.form(found.measured[figure.name]) + lost


def notes(result: Result) -> list[str]:
    """Why something is missing."""
    labels = {peer.key: peer.label for peer in result.peers}
    lines = [f"- {peer.label}: left out: {peer.absent}" for peer in result.peers if peer.absent]
    lines += [
        f"- {labels[entry.system]}, {entry.case}, {entry.carrier}: failed {entry.failures} times of "
        f"{entry.failures + entry.runs}: {entry.failed}"
        for entry in result.entries
        if entry.failures
    ]
    return lines or ["Every system took part, and nothing failed."]


class Ahead(NamedTuple):
    """A figure of a system that is better than agpd's."""

    peer: Peer
    figure: Figure
    theirs: float
    ours: float

    def __str__(self) -> str:
        theirs, ours = self.figure.form(self.theirs), self.figure.form(self.ours)
        what = self.figure.title if self.figure in CLIENTS else f"{self.figure.title}, server µs"
        times = max(self.theirs / self.ours, self.ours / self.theirs)
        return f"- {label(self.peer)}: {what}: {theirs} against {ours} ({times:.2f} times)"


def better(result: Result) -> Iterator[Ahead]:
    """All of them; the relay, which is no system but the limit, is left out."""
    agpd = next(peer for peer in result.peers if peer.key == "agpd")
    for figure in (*CPU, *CLIENTS):
        ours = figure.value(result, agpd)
        for peer in present(result):
            theirs = figure.value(result, peer)
            if ours is None or theirs is None or not peer.client:
                continue
            if (theirs > ours) if figure.more_is_better else (theirs < ours):
                yield Ahead(peer, figure, theirs, ours)


def ahead(result: Result) -> list[str]:
    """A line for each figure in which another system is better, by whatever little."""
    return [str(each) for each in better(result)] or ["Nowhere in this run."]


def card(result: Result, file: str) -> list[str]:
    """Where, when and with what it was measured."""
    one = result.card
    lines = [
        f"{one.cpu}, {one.cores} cores shared by all processes; Linux {one.kernel}; {one.python} built with",
        f"{one.optimised}; uvloop {one.uvloop}; {one.openssl}; agpd at {one.commit}, its loop",
        f"{HOT_PATH[one.hot_path]}; {one.date[:10]}.",
        f"Medians of rounds: {result.repeat}; `bench/results/{file}`. Load at the start {one.load_average}.",
        "",
        row("system", "versions"),
        "|---|---|",
    ]
    for peer in present(result):
        if peer.versions:
            lines.append(
                row(peer.label, ", ".join(f"{name} {value}" for name, value in peer.versions.items()))
            )
    return lines


class Plot(NamedTuple):
    """Bars of one or two figures."""

    key: str
    title: str
    unit: str
    log: bool
    figures: tuple[Figure, ...]


PLOTS = (
    Plot(
        "cpu",
        "Processor time of the server for a message of 256 bytes",
        "µs (less is better); * loaded by its own client",
        True,
        CPU[1::-1],
    ),
    Plot("clients", "From client to client, 256 bytes", "a second (more is better)", True, CLIENTS[:2]),
    Plot("latency", "Request and reply, one at a time, 256 bytes", "µs (less is better)", False, CLIENTS[2:]),
)


def plots(result: Result) -> list[dict[str, object]]:
    """What `plots.py` draws."""
    return [
        {
            "key": plot.key,
            "title": plot.title,
            "unit": plot.unit,
            "log": plot.log,
            "more_is_better": plot.figures[0].more_is_better,
            "names": [figure.title for figure in plot.figures],
            "rows": [_drawn(result, peer, plot) for peer in present(result)],
        }
        for plot in PLOTS
    ]


def _drawn(result: Result, peer: Peer, plot: Plot) -> dict[str, object]:
    unlike = {"": ", plaintext", "CURVE": ", CURVE"}.get(peer.secure, "")
    star = " *" if plot.key == "cpu" and peer.load != "agpload" else ""
    return {
        "label": peer.label + unlike + star,
        "kind": {"agpd": "ours", "relay": "limit"}.get(peer.key, ""),
        "values": {figure.title: figure.value(result, peer) for figure in plot.figures},
    }
