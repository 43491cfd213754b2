"""`make bench-peers`.

python -m bench.peers [--peers nats,redis] [--repeat N] [--share X] [--output DIRECTORY]
"""

import json
import os
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import click

from bench.load.card import card
from bench.peers import catalogue, environments, report, results, suite
from bench.peers.environments import Absent


@click.command()
@click.option("--peers", default="", envvar="PEERS", help="Keys separated by commas; left out: all.")
@click.option("--repeat", type=click.IntRange(1), default=5, envvar="BENCH_REPEAT", show_envvar=True)
@click.option("--share", type=click.FloatRange(0, 10), default=1.0, help="Scales the number of messages.")
@click.option("--output", type=click.Path(path_type=Path), default=results.DIRECTORY)
@click.option(
    "--plots/--no-plots", default=True, help="Draw them; needs matplotlib in an environment of its own."
)
def main(peers: str, repeat: int, share: float, output: Path, plots: bool) -> None:
    """Measure agpd beside other systems; write figures, a table and plots."""
    try:
        systems = catalogue.chosen(peers)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    machine = card(datetime.now(UTC))
    able, found = suite.present(systems, click.echo)
    entries = suite.run(able, repeat, share, click.echo)
    result = results.Result(card=machine, repeat=repeat, peers=found, entries=entries)
    path = results.write(result, output)
    text = "\n".join([*report.card(result, path.name), "", *report.tables(result)])
    path.with_suffix(".md").write_text(text + "\n")
    click.echo(text)
    click.echo(f"written to {path}")
    if not plots:
        return
    try:
        draw(result, path.with_suffix(""))
    except Absent as error:
        click.echo(f"no plots: {error}")


def leave(number: int, frame: object) -> NoReturn:
    """End with every process that this one has started, one that is just being started included."""
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
    sys.exit(128 + number)


def draw(result: results.Result, prefix: Path) -> None:
    """`PREFIX-cpu`, `-clients` and `-latency`, each as PNG and SVG. Raises `Absent`."""
    interpreter = environments.python("plots")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(report.plots(result), file)
        file.flush()
        environments.call([str(interpreter), str(environments.HERE / "plots.py"), file.name, str(prefix)])


if __name__ == "__main__":
    main()
