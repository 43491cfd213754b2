"""`make demo`: start the gateway and the agents, show what they say, check that every step has happened."""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agpd.names import parse_pattern
from agpd.transport.pki import Authority
from examples.workflow.documents import INTERFACE, ORCHESTRATOR, REVIEWER, WRITER

TIME_LIMIT_S = 18.0
GRACE_S = 3.0
AGENTS = {
    "writer": (WRITER, "green"),
    "reviewer-1": (REVIEWER, "cyan"),
    "reviewer-2": (REVIEWER, "blue"),
    "interface": (INTERFACE, "magenta"),
    "orchestrator": (ORCHESTRATOR, "yellow"),
}
STEPS = (
    "presence: the writer and both reviewers are there",
    "broadcast: everyone got the news",
    "request: the writer answered with drafts",
    "anycast: each reviewer got some of the drafts",
    "writer: reviews came by full name",
    "interface: the request was answered",
    "interface: heard the news",
    "writer: heard the end",
    "reviewer: heard the end",
    "presence: the interface has left",
)


class Stage:
    """The processes of the demo, and which steps they have reported."""

    def __init__(self, directory: Path, console: Console, limit: asyncio.Timeout, steps: list[str]) -> None:
        self.directory = directory
        self._limit = limit
        self.console = console
        self.steps = steps
        self._address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def play(self, absent: frozenset[str]) -> list[int]:
        """Run everything; the agents' exit codes."""
        authority = Authority.create(self.directory, "demo", time.time())
        gateway = await self._gateway(authority)
        try:
            url = f"agp://{await self._address}"
            running = [self._agent(name, authority, url) for name in AGENTS if name not in absent]
            return await asyncio.gather(*running)
        finally:
            gateway.terminate()
            await gateway.wait()

    async def _gateway(self, authority: Authority) -> asyncio.subprocess.Process:
        pair = authority.issue_gateway(["127.0.0.1"], self.directory / "gateway", time.time())
        settings = {
            "listen.native": "127.0.0.1:0",
            "listen.grpc": "",
            "tls.certificate": pair.certificate,
            "tls.key": pair.key,
            "tls.ca": self.directory / "ca.pem",
            "tls.crl": self.directory / "crl.pem",
            "limits.connections": 100,
            "limits.drain_timeout_ms": 1000,
            "log.format": "json",
        }
        sets = [f"--set={name}={value}" for name, value in settings.items()]
        process = await self._start("gateway", ["-m", "agpd", "serve", *sets], {})
        self._reading = asyncio.create_task(self._read("gateway", "white", process))
        self._reading.add_done_callback(self._gateway_ended)
        return process

    def _gateway_ended(self, _: object) -> None:
        if not self._address.done():
            self._address.set_exception(RuntimeError("the gateway did not start; its lines above say why"))

    async def _agent(self, name: str, authority: Authority, url: str) -> int:
        type_name, colour = AGENTS[name]
        # A certificate for this one type: with it nobody can speak as another.
        pair = authority.issue_agent(parse_pattern(type_name), self.directory / name, time.time())
        environment = {
            "AGP_URL": url,
            "AGP_CERTIFICATE": str(pair.certificate),
            "AGP_KEY": str(pair.key),
            "AGP_CA": str(self.directory / "ca.pem"),
        }
        role = name.partition("-")[0]
        process = await self._start(name, ["-m", "examples.workflow.agents", role], environment)
        try:
            await self._read(name, colour, process)
            code = await process.wait()
            if code:
                self._hurry()
            return code
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _hurry(self) -> None:
        """One agent has failed: the others need not be waited for long."""
        due = asyncio.get_running_loop().time() + GRACE_S
        self._limit.reschedule(min(due, self._limit.when() or due))

    async def _start(
        self, name: str, arguments: list[str], environment: dict[str, str]
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env=os.environ | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def _read(self, name: str, colour: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            if name == "gateway":
                line = self._gateway_said(line)
            self._show(name, colour, line)

    def _gateway_said(self, line: str) -> str:
        """A line of the gateway's log in short. What is no such line stays as it is."""
        try:
            record = json.loads(line)
        except ValueError:
            return line
        if record["event"] == "listening":
            self._address.set_result(record["address"])
        about = (record.get(field, "") for field in ("address", "principal", "code", "messages_in"))
        return f"{record['event']} {' '.join(str(each) for each in about if each != '')}"

    def _show(self, name: str, colour: str, line: str) -> None:
        _, is_step, step = line.partition("step: ")
        if is_step:
            self.steps.append(step)
            line = f"+ {step}"
        style = "bold" if is_step else "red" if line.startswith("failed") else ""
        self.console.print(Text.assemble((f"{name:>12} ", colour), (line, style)))


async def demo(console: Console, absent: frozenset[str]) -> bool:
    """Has every step happened, in time?"""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="agpd-demo-") as directory:
        steps: list[str] = []
        codes: list[int] = []
        try:
            async with asyncio.timeout(TIME_LIMIT_S) as limit:
                codes = await Stage(Path(directory), console, limit, steps).play(absent)
        except TimeoutError:
            console.print("\nnot finished in time", style="red")
    return checklist(console, steps, time.monotonic() - began) and not any(codes)


def checklist(console: Console, steps: list[str], seconds: float) -> bool:
    """Print each step with whether it has happened."""
    missing = [step for step in STEPS if step not in steps]
    console.print("\nWhat should happen, and has it?", style="bold")
    for step in STEPS:
        mark, style = ("no ", "bold red") if step in missing else ("yes", "green")
        console.print(Text.assemble("  ", (mark, style), "  ", step))
    if missing:
        console.print(f"\n{len(missing)} steps are missing; a line 'failed' above says why", style="bold red")
    else:
        console.print(f"\nall {len(STEPS)} steps in {seconds:.1f} s", style="bold green")
    return not missing


def main() -> int:
    """0 if every step has happened."""
    parser = argparse.ArgumentParser(prog="python -m examples.workflow", description=__doc__)
    parser.add_argument(
        "--without", action="append", choices=AGENTS, default=[], help="leave an agent out, to see it fail"
    )
    absent = frozenset(parser.parse_args().without)
    return 0 if asyncio.run(demo(Console(highlight=False, soft_wrap=True), absent)) else 1


if __name__ == "__main__":
    sys.exit(main())
