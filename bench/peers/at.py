"""Where a system listens, with which files. Standard library only: every environment imports this."""

import json
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

HOST = "127.0.0.1"

Arrived = Callable[[], object]
"""Called for each message that a receiver got, from any thread."""
Send = Callable[[Sequence[int], bytes], Awaitable[None]]
"""Send the body to each of these receivers in turn; with broadcast and anycast only their number matters."""
Ask = Callable[[bytes], Awaitable[bytes]]
"""One request; its answer."""


class Files(NamedTuple):
    """PEM files: one authority, a certificate for 127.0.0.1, a certificate of clients."""

    ca: str
    server_certificate: str
    server_key: str
    certificate: str
    key: str


class At(NamedTuple):
    """`ports` are free ports of loopback, `directory` is for the server's own files, `files` is None in plaintext."""

    ports: tuple[int, ...]
    directory: str
    files: Files | None

    @property
    def port(self) -> int:
        """The first port: where clients connect."""
        return self.ports[0]

    @property
    def address(self) -> str:
        """`127.0.0.1:port`."""
        return f"{HOST}:{self.port}"

    def context(self) -> ssl.SSLContext | None:
        """A client's TLS 1.3 with its certificate; None in plaintext."""
        if self.files is None:
            return None
        context = ssl.create_default_context(cafile=self.files.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.files.certificate, self.files.key)
        return context

    def encode(self) -> str:
        """For a command line."""
        return json.dumps([self.ports, self.directory, self.files])

    @classmethod
    def decode(cls, text: str) -> "At":
        """What `encode` made."""
        ports, directory, files = json.loads(text)
        return cls(tuple(ports), directory, None if files is None else Files(*files))


def pem(path: str) -> str:
    """The text of a PEM file."""
    with open(path) as file:
        return file.read()
