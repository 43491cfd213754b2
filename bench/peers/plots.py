"""The plots of a result, PNG and SVG. Runs in an environment of its own, with matplotlib and without this package.

    python plots.py SERIES.json PREFIX      # writes PREFIX-cpu.svg, PREFIX-cpu.png, PREFIX-clients... PREFIX-latency...

Input: what `bench.peers.report.plots` makes, as JSON.
"""

import json
import math
import sys
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

# Dark for what is compared first, light beside it; in red for agpd, in grey for the limit.
COLOURS = {"ours": ("#b8371f", "#e8ab9e"), "limit": ("#6b6b6b", "#c4c4c4"), "": ("#35618f", "#a9c1d8")}
pyplot.rcParams.update(
    {
        "svg.hashsalt": "agpd",  # the same figures give the same file
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
    }
)


def bars(plot: dict[str, Any]) -> Any:
    """Horizontal bars, a group for each row and a bar for each name, the best above. Missing ones are left out."""
    names = plot["names"]
    rows = [row for row in plot["rows"] if _first(row) is not None]
    rows.sort(key=_first, reverse=plot["more_is_better"])
    figure, axes = pyplot.subplots(figsize=(7.5, 0.9 + 0.46 * len(rows)))
    height = 0.8 / len(names)
    for place, name in enumerate(names):
        known = [(number, row) for number, row in enumerate(rows) if row["values"].get(name) is not None]
        where = [number + (place - (len(names) - 1) / 2) * height for number, _ in known]
        values = [row["values"][name] for _, row in known]
        drawn = axes.barh(where, values, height, color=[COLOURS[row["kind"]][place] for _, row in known])
        axes.bar_label(drawn, [text(value) for value in values], padding=3, fontsize=8)
    _scale(axes, plot["log"], [value for row in rows for value in row["values"].values() if value])
    _label(axes, rows)
    axes.set_xlabel(plot["unit"])
    axes.set_title(plot["title"], loc="left", fontsize=10)
    axes.grid(axis="x", which="major", color="#dddddd")
    patches = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS[""]]
    axes.legend(patches, names, loc="lower right" if plot["more_is_better"] else "upper right", framealpha=1)
    return figure


def _first(row: dict[str, Any]) -> Any:
    """What it is ranked by; None if it has nothing."""
    return next((value for value in row["values"].values() if value is not None), None)


def _scale(axes: Any, log: bool, values: list[float]) -> None:
    """From a power of ten, or from nought; with room for the number beside the longest bar."""
    if not log:
        axes.set_xlim(0, max(values) * 1.1)
        return
    axes.set_xscale("log")
    axes.set_xlim(10 ** math.floor(math.log10(min(values))), max(values) * 2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")


def _label(axes: Any, rows: list[dict[str, Any]]) -> None:
    """The systems, agpd marked."""
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        if row["kind"] == "ours":
            tick.set_color(COLOURS["ours"][0])
            tick.set_fontweight("bold")


def text(value: float) -> str:
    """Three significant digits, with separators."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def save(figure: Any, path: str) -> None:
    """Both formats."""
    figure.savefig(f"{path}.svg", bbox_inches="tight", metadata={"Date": None})
    figure.savefig(f"{path}.png", bbox_inches="tight", dpi=130)
    pyplot.close(figure)


def main(source: str, prefix: str) -> None:
    """All of them."""
    with open(source) as file:
        plots = json.load(file)
    for plot in plots:
        save(bars(plot), f"{prefix}-{plot['key']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
