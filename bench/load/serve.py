"""The gateway that is measured, in a process of its own: prints its port, serves until its standard input ends.

    python -m bench.load.serve [DIRECTORY]

With a directory it makes development certificates there and listens with mutual TLS, else in plaintext.
"""

import asyncio
import logging
import sys
import time
from pathlib import Path

import uvloop

from agpd.app import Gateway
from agpd.config import Config, Listen, Tls
from agpd.transport.pki import development


def configuration(directory: Path | None) -> Config:
    """Defaults on a free port of loopback."""
    listen = Listen(native="127.0.0.1:0", plaintext=directory is None)
    if directory is None:
        return Config(listen=listen)
    files = development(directory, time.time())
    tls = Tls(certificate=str(files.certificate), key=str(files.key), ca=str(files.ca), accept_any_name=True)
    return Config(listen=listen, tls=tls)


async def serve(config: Config) -> None:
    """Until standard input ends."""
    async with Gateway(config) as gateway:
        gateway.start()
        print(gateway.address[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    uvloop.run(serve(configuration(Path(sys.argv[1]) if len(sys.argv) > 1 else None)))
