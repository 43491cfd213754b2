"""Gateways for clients of others: agpd as a process, the one in the wheel, and one that never answers."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dialogue import Worker
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from scenarios.process import GatewayProcess, World, gateway
from wheels import LATEST, python


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Agpd:
    """agpd as a process. What it logs and its end are those of `process`."""

    def __init__(self, process: GatewayProcess, *, secure: bool) -> None:
        self.process = process
        said = process.log.wait("listening")
        self.address = str(said["grpc"])
        self.url = f"{'https' if secure else 'http'}://{self.address}"
        self.http = f"{'https' if secure else 'http'}://{said.get('http', '')}"
        self.native = f"{'agp' if secure else 'agp+tcp'}://{process.address[0]}:{process.address[1]}"

    def stop(self) -> int:
        """End it in order; returns how many connections it has accepted."""
        self.process.stop()
        return sum(record["accepted"] for record in self.process.log.find("no longer listening"))


@contextmanager
def agpd(
    directory: Path, world: World | None = None, *, port: int = 0, **sections: Mapping[str, object]
) -> Iterator[Agpd]:
    """A gateway with these sections of settings: plaintext, or TLS with the files of `world`."""
    listen = {"grpc": f"127.0.0.1:{port}", "http": "127.0.0.1:0"} | sections.pop("listen", {})
    with gateway(directory, world, listen=listen, **sections) as process:
        yield Agpd(process, secure=world is not None)


@contextmanager
def reference() -> Iterator[str]:
    """The gateway in the wheel of agp-bindings 0.3.5, for comparison."""
    worker, address = Worker(python(LATEST), "agp.py"), f"127.0.0.1:{free_port()}"
    try:
        worker.call("serve", address=address)
        yield f"http://{address}"
    finally:
        worker.close()


class Mute:
    """Speaks HTTP/2, takes every stream, and says nothing on it."""

    def __init__(self) -> None:
        self.asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._sockets.append(self._listener.accept()[0])
                self._threads.append(
                    threading.Thread(target=self._talk, args=self._sockets[-1:], daemon=True)
                )
                self._threads[-1].start()

    def _talk(self, peer: socket.socket) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        with contextlib.suppress(OSError):
            while True:
                peer.sendall(connection.data_to_send())
                if not (data := peer.recv(65536)):
                    return
                events = connection.receive_data(data)
                self.asked += sum(isinstance(event, RequestReceived) for event in events)

    def close(self) -> None:
        """Leave nothing behind."""
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(5)


@contextmanager
def mute() -> Iterator[Mute]:
    """A server that withholds response headers for ever."""
    mute = Mute()
    try:
        yield mute
    finally:
        mute.close()
