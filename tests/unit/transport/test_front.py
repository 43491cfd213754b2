"""agpd/transport/front.py: limits before the handshake are divided, certificates are those of the configuration."""

import asyncio
import time

import pytest
from unit.transport.certificate_world import World

from agpd.config import Config, Limits, Listen, Tls
from agpd.transport import front
from agpd.transport.sockets import bind
from agpd.transport.tls import TlsConfigError


@pytest.mark.parametrize(("limit", "share", "part"), [(256, 1, 256), (256, 2, 128), (16, 3, 6), (1, 64, 1)])
def test_parts_are_rounded_up(limit: int, share: int, part: int) -> None:
    assert front.part(limit, share) == part


def test_plaintext_has_no_certificates_and_bad_files_are_an_error(tmp_path) -> None:
    assert front.certificates(Config(listen=Listen(plaintext=True)), time.time) is None
    world = World(tmp_path)
    files = {
        "certificate": str(world.gateway.certificate),
        "key": str(world.gateway.key),
        "ca": str(world.ca),
    }
    found = front.certificates(Config(tls=Tls(**files, accept_any_name=True)), time.time)
    assert found is not None
    assert found.profile.accept_any_name
    with pytest.raises(TlsConfigError):
        front.certificates(Config(tls=Tls(**files | {"ca": str(tmp_path / "absent")})), time.time)


async def test_one_of_two_processes_holds_half_of_the_unfinished_handshakes(tmp_path) -> None:
    world = World(tmp_path)
    files = {
        "certificate": str(world.gateway.certificate),
        "key": str(world.gateway.key),
        "ca": str(world.ca),
    }
    config = Config(tls=Tls(**files), limits=Limits(prehandshake_connections=8, prehandshake_per_ip=8))
    sock = bind("127.0.0.1", 0)
    address = sock.getsockname()
    trust = front.certificates(config, time.time)
    listener = front.listener(config, sock, asyncio.Protocol, trust=trust, accepting=lambda: True, share=2)
    listener.start()
    writers = [(await asyncio.open_connection(*address))[1] for _ in range(6)]
    async with asyncio.timeout(10):
        while listener.prehandshake + listener.refused["prehandshake"] < 6:
            await asyncio.sleep(0)
    assert listener.prehandshake == 4
    listener.close()
    await listener.wait_closed()
    for writer in writers:
        writer.close()
