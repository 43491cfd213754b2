"""The relay in C: what the machine's limit is. It has no clients but agpload."""

from bench.peers.at import At


def server(at: At, binary: str) -> list[str]:
    """Listens on the first port."""
    argv = [binary, "--port", str(at.port)]
    if at.files is None:
        return argv
    files = at.files
    return [*argv, "--ca", files.ca, "--cert", files.server_certificate, "--key", files.server_key]
