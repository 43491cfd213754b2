"""Gateways for clients of others: agpd as a process, the one in the wheel, and one that never answers."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dialogue import Worker
from wheels import LATEST, python


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    def __init__(self, url: str) -> None:
        self.url = url


@contextmanager
def plaintext(directory: Path) -> Iterator[Running]:
    with reference() as url:
        yield Running(url)


@contextmanager
def reference() -> Iterator[str]:
    """The gateway in the wheel of agp-bindings 0.3.5, for comparison."""
    worker, address = Worker(python(LATEST), "agp.py"), f"127.0.0.1:{free_port()}"
    try:
        worker.call("serve", address=address)
        yield f"http://{address}"
    finally:
        worker.close()
