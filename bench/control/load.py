"""Asks a running gateway over HTTPS, as much as it answers or at a steady rate. Prints `ready`, then JSON.

    python -m bench.control.load PORT DIRECTORY SECONDS KIND=RATE ...

KIND is `token`, `register` or `find`; RATE is requests in a second, 0 for as many as 16 connections bring.
"""

import asyncio
import base64
import itertools
import json
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.control.agents import agent
from bench.control.service import quantiles

CONNECTIONS = 16
_numbers = itertools.count(time.time_ns())  # other agents in each run


class Connection:
    """One kept-alive connection, which shows the development certificate."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes) -> None:
        """Send it and read the answer. Raises `RuntimeError` for a status that is not 2xx."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        body = await self._reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"{head.splitlines()[0]!r} {body[:300]!r}")

    def close(self) -> None:
        self._writer.close()


def _http(line: str, content_type: str = "", body: bytes = b"", more: str = "") -> bytes:
    head = f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}"
    if body:
        head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def requests(directory: Path) -> dict[str, Callable[[], bytes]]:
    """How each kind is asked for."""
    secret = (directory / "acme.admin.secret").read_text().strip()
    basic = base64.b64encode(f"acme.admin:{secret}".encode()).decode()
    token = _http(
        "POST /t/acme/oauth2/token",
        "application/x-www-form-urlencoded",
        b"grant_type=client_credentials",
        f"Authorization: Basic {basic}\r\n",
    )
    return {
        "token": lambda: token,
        "register": lambda: _http(
            "POST /v1/agents", "application/json", msgspec.json.encode(agent(next(_numbers)))
        ),
        "find": lambda: _http(
            f"GET /v1/agents?organization=acme&label=shard={next(_numbers) % 1000}&limit=100"
        ),
    }


async def connect(port: int, directory: Path, make: Callable[[], bytes]) -> list[Connection]:
    """Open connections, of which the first has been answered: a secret that was verified is known from then on."""
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    context.check_hostname = False
    context.load_cert_chain(directory / "agent.pem", directory / "agent.key")
    opened = [
        Connection(*await asyncio.open_connection("127.0.0.1", port, ssl=context)) for _ in range(CONNECTIONS)
    ]
    await opened[0].ask(make())
    return opened


async def run(
    connections: list[Connection], make: Callable[[], bytes], seconds: float, rate: float
) -> dict[str, Any]:
    """What it took: requests in a second, and how long they took, from when they were due."""
    taken: list[float] = []
    due = itertools.count()
    begin = time.perf_counter()

    async def ask(connection: Connection) -> None:
        while True:
            at = begin + next(due) / rate if rate else time.perf_counter()
            if at > begin + seconds or time.perf_counter() > begin + seconds:
                break
            if at > time.perf_counter():
                await asyncio.sleep(at - time.perf_counter())
            await connection.ask(make())
            taken.append(time.perf_counter() - at)
        connection.close()

    await asyncio.gather(*map(ask, connections))
    return {"per_s": round(len(taken) / (time.perf_counter() - begin), 1), **quantiles(taken)}


async def main(port: int, directory: Path, seconds: float, rates: dict[str, float]) -> dict[str, Any]:
    """All kinds at the same time. Prints `ready` when it begins."""
    make = requests(directory)
    opened = {kind: await connect(port, directory, make[kind]) for kind in rates}
    print("ready", flush=True)
    done = await asyncio.gather(
        *(run(opened[kind], make[kind], seconds, rate) for kind, rate in rates.items())
    )
    return dict(zip(rates, done, strict=True))


if __name__ == "__main__":
    wanted = dict(word.split("=") for word in sys.argv[4:])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(
            json.dumps(
                runner.run(
                    main(
                        int(sys.argv[1]),
                        Path(sys.argv[2]),
                        float(sys.argv[3]),
                        {kind: float(rate) for kind, rate in wanted.items()},
                    )
                )
            )
        )
