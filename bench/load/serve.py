"""The gateway that is measured, in a process of its own: `agpd serve` on a free port, which it prints.

    python -m bench.load.serve [DIRECTORY]

With a directory it makes development certificates there and listens with mutual TLS, else in plaintext. SIGTERM
ends it.
"""

import logging
import sys
import time
from pathlib import Path

from agpd.app import Gateway
from agpd.cli.serve import run
from agpd.config import Config, Limits, Listen, Tls
from agpd.transport.pki import development


def configuration(directory: Path | None) -> Config:
    """Defaults on a free port of loopback."""
    listen = Listen(native="127.0.0.1:0", grpc="", plaintext=directory is None)
    limits = Limits(drain_timeout_ms=1000)
    if directory is None:
        return Config(listen=listen, limits=limits)
    files = development(directory, time.time())
    tls = Tls(certificate=str(files.certificate), key=str(files.key), ca=str(files.ca), accept_any_name=True)
    return Config(listen=listen, limits=limits, tls=tls)


async def _print_port(gateway: Gateway) -> None:
    print(gateway.address[1], flush=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(run(configuration(Path(sys.argv[1]) if len(sys.argv) > 1 else None), _print_port))
