"""A page of the documentation as a person works through it: saves what it says to save, types what it says to type.

    In a terminal of its own:   before a block: its command goes on running
    Save this as `name.py`:     before a block: that is a file
    ```toml                     a file too, with the last name in backquotes before it

In what a command prints, `...` stands for anything, a line `...` for any lines, and a number of 16 hexadecimal digits
for whatever was printed there: later commands are given that.
"""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

DEADLINE_S = 60.0
_BLOCK = re.compile(r"^```\{?\.?(console|python|toml)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"`([\w.-]+\.(?:py|toml))`")
_SAMPLE = re.compile(r"\b[0-9a-f]{16}\b")
_OWN_TERMINAL = "In a terminal of its own:"


class Step(NamedTuple):
    """A file to save under `name`; or a command with what it prints; or, without either, what a terminal prints."""

    name: str
    command: str
    text: str
    own_terminal: bool


def steps(page: str) -> Iterator[Step]:
    """What the page says to do, in order."""
    end = 0
    for block in _BLOCK.finditer(page):
        before, end = page[end : block.start()].strip(), block.end()
        kind, text = block.groups()
        if kind != "console":
            yield Step(_NAME.findall(before)[-1], "", text, False)
            continue
        own = before.endswith(_OWN_TERMINAL)
        first, *commands = re.split(r"^\$ ", text, flags=re.MULTILINE)
        if first:
            yield Step("", "", first, False)
        for command in commands:
            line, _, output = command.partition("\n")
            yield Step("", line, output, own)


class Terminal(NamedTuple):
    """Something that goes on running, and what it prints."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]

    def said(self) -> str:
        return os.pread(self.output.fileno(), 1 << 20, 0).decode()


class Desk:
    """Works through a page in `directory`. `samples`: what was printed where the page has an example."""

    def __init__(self, directory: Path, env: dict[str, str]) -> None:
        self.directory = directory
        self.samples: dict[str, str] = {}
        self._env = env
        self._terminals: list[Terminal] = []

    def do(self, step: Step) -> None:
        """Raises `AssertionError` if it is not as the page says."""
        if step.name:
            (self.directory / step.name).write_text(step.text)
        elif step.own_terminal:
            self._open(step)
        elif step.command:
            self._type(step)
        else:
            self._wait(step.text, *self._terminals)

    def close(self) -> None:
        """End what still runs."""
        for process, output in reversed(self._terminals):
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)
            output.close()

    def _type(self, step: Step) -> None:
        line = _SAMPLE.sub(lambda sample: self.samples.get(sample[0], sample[0]), step.command)
        where = self.directory / ".where"
        script = f"{line}\nstatus=$?; pwd > '{where}'; exit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.directory,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE_S,
        )
        said = done.stdout.decode()
        found = re.fullmatch(pattern(step.text), said)
        assert found, f"$ {step.command}\n{said}\n--- but the page says\n{step.text}"
        assert done.returncode == 0 or step.text, f"$ {step.command}\nexit code {done.returncode}"
        self.samples |= dict(zip(_SAMPLE.findall(step.text), found.groups(), strict=True))
        self.directory = Path(where.read_text().strip())

    def _open(self, step: Step) -> None:
        output = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the terminal
        process = subprocess.Popen(
            ["bash", "-c", f"exec {step.command}"],
            cwd=self.directory,
            env=self._env,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        self._terminals.append(Terminal(process, output))
        self._wait(step.text, self._terminals[-1])

    def _wait(self, text: str, *terminals: Terminal) -> None:
        """Until one of them has printed this."""
        end, wanted = time.monotonic() + DEADLINE_S, re.compile(pattern(text))
        while True:
            running = any(terminal.process.poll() is None for terminal in terminals)
            said = [terminal.said() for terminal in terminals]
            if any(wanted.search(each) for each in said):
                return
            if not running or time.monotonic() > end:
                raise AssertionError(f"no terminal says\n{text}\n--- but\n" + "\n---\n".join(said))
            time.sleep(0.01)


def pattern(text: str) -> str:
    """A regular expression for output that the page shows so; columns may have other widths."""
    return "".join(_line(line) for line in text.splitlines())


def _line(line: str) -> str:
    if line == "...":
        return r"(?:.*\n)*?"
    parts = []
    for word in line.split():
        literal = [_word(part) for part in re.split(r"(\.\.\.|\b[0-9a-f]{16}\b)", word) if part]
        parts.append("".join(literal))
    return r"[ ]*" + r"[ ]+".join(parts) + r"[ ]*\n"


def _word(part: str) -> str:
    if part == "...":
        return ".*"
    return r"([0-9a-f]{16})" if _SAMPLE.fullmatch(part) else re.escape(part)
