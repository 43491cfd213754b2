"""Resources on standard output: tables for people, documents for programs."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from agpd.cli.kinds import Kind
from agpd.cli.text import printable

FORMATS = ("table", "wide", "json", "yaml", "name")
CELL_LIMIT = 200
_TIMES = {"created", "updated", "since", "expires", "until", "at"}


def resources(
    kind: Kind, items: Sequence[Mapping[str, Any]], form: str, now: float, *, one: bool = False
) -> str:
    """The text for these resources. `one`: of a single one, JSON is an object instead of a list."""
    if form == "name":
        return "\n".join(f"{kind.name}/{kind.title(item)}" for item in items)
    if form in ("json", "yaml"):
        return documents([{"kind": kind.name, **item} for item in items], form, one=one)
    if not items:
        return f"no {kind.plural}"
    columns = [column for column in kind.columns if form == "wide" or not column.wide]
    rows = [[printable(column.text(item, now), CELL_LIMIT) for column in columns] for item in items]
    return table([column.title for column in columns], rows, cut=form != "wide")


def documents(items: Iterable[Mapping[str, Any]], form: str, *, one: bool = False) -> str:
    """Values as JSON, an object or a list; or as YAML documents."""
    if form == "json":
        values = list(items)
        return json.dumps(values[0] if one else values, indent=2)
    import yaml

    return str(yaml.safe_dump_all(items, sort_keys=False, allow_unicode=False)).rstrip("\n")


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, cut: bool = True) -> str:
    """Columns as wide as they need to be; with `cut`, lines end at the edge of a terminal."""
    widths = [max(len(row[at]) for row in (titles, *rows)) for at in range(len(titles))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    head = "  ".join(title.ljust(width) for title, width in zip(titles, widths, strict=True)).rstrip()
    edge = terminal_width()
    start = sum(widths[:-1]) + 2 * (len(widths) - 1)
    if (
        cut and edge and start + 8 < edge
    ):  # where even that does not help, a line is better broken than useless
        lines = [line if len(line.rstrip()) <= edge else f"{line[: edge - 1]}…" for line in lines]
    return "\n".join([emphasised(head), *(line.rstrip() for line in lines)])


def description(values: Mapping[str, Any]) -> str:
    """All fields of one resource, one in a line; times as dates. An empty `secret` is not shown: it never is there."""
    return "\n".join(_lines(values, ""))


def _lines(values: Mapping[str, Any], indent: str) -> list[str]:
    width = max(map(len, values), default=0) + 1
    lines = []
    for name, value in values.items():
        if name == "secret" and not value:
            continue
        label = f"{indent}{printable(str(name))}:".ljust(len(indent) + width + 1)
        if isinstance(value, dict) and value:
            lines += [label.rstrip(), *_lines(value, f"{indent}  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(label.rstrip())
            for item in value:
                inner = _lines(item, f"{indent}    ")
                lines += [f"{indent}  - {inner[0].lstrip()}", *inner[1:]]
        else:
            lines.append(f"{label} {_plain(name, value)}")
    return lines


def _plain(name: str, value: Any) -> str:
    if name in _TIMES and isinstance(value, int | float):
        return date(value) if value else "never" if name in ("expires", "until") else "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return printable(", ".join(map(str, value))) or "-"
    return "-" if value in (None, "", {}) else printable(str(value))


def date(at: float) -> str:
    """A time, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def emphasised(text: str) -> str:
    """Bold, where standard output is a terminal and NO_COLOR is not set."""
    return click.style(text, bold=True) if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


def terminal_width() -> int:
    """Of standard output; 0 if it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
