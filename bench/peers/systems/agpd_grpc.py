"""agpd as clients of AGP see it: `agpd serve`, with gRPC on the first port."""

import logging
import sys
from pathlib import Path

import msgspec

from bench.peers.at import HOST, At


def server(at: At, binary: str) -> list[str]:
    """gRPC on the first port, the native protocol on the second; it reads the shared certificates."""
    directory = [] if at.files is None else [str(Path(at.files.ca).parent)]
    return [binary, "-m", "bench.peers.systems.agpd_grpc", str(at.port), str(at.ports[1]), *directory]


def main(arguments: list[str]) -> int:
    """`agpd serve` with the settings of `bench.load.serve`, on given ports."""
    from agpd.cli.serve import nothing_more, run
    from bench.load.serve import configuration

    logging.disable(logging.WARNING)
    config = configuration(Path(arguments[2]) if len(arguments) > 2 else None)
    listen = msgspec.structs.replace(
        config.listen, grpc=f"{HOST}:{arguments[0]}", native=f"{HOST}:{arguments[1]}"
    )
    return run(msgspec.structs.replace(config, listen=listen), nothing_more)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
