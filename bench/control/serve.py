"""The gateway that is measured, in a process of its own, as `agpd dev` runs it. Prints its native and its HTTP port.

    python -m bench.control.serve DIRECTORY

Certificates, secrets and the database are in DIRECTORY. SIGTERM ends it.
"""

import logging
import sys
from pathlib import Path

from agpd.app import Gateway
from agpd.cli.dev import dev_config, seed
from agpd.cli.serve import run


def main(directory: Path) -> int:
    """Serve until a signal; the exit code."""

    async def ready(gateway: Gateway) -> None:
        assert gateway.plane is not None
        assert gateway.plane.http is not None
        await seed(gateway.plane.control, directory)
        print(gateway.address[1], gateway.plane.http[1], flush=True)

    return run(dev_config(0, directory, plaintext=False, control=True), ready)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(main(Path(sys.argv[1])))
