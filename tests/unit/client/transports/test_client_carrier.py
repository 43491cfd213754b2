"""Connecting to an address: what is warned of, and what is said when nobody is there."""

import asyncio
import contextlib
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import agpd_client as agp
from agpd.transport.pki import development
from agpd_client.gateway import assemble
from agpd_client.transports import carrier
from agpd_client.transports.address import Address
from agpd_client.transports.carrier import Carrier


async def test_plaintext_to_elsewhere_warns_once() -> None:
    carrier._warned.clear()
    with pytest.warns(UserWarning, match=r"agp\+tcp://gw\.example:1 is .* everyone on the way.*use agp://"):
        carrier.warn_of_plaintext(Address("tcp", "gw.example", 1))
    with pytest.warns(UserWarning, match=r"agp\+grpc\+tcp://gw\.example:1 is .*use agp\+grpc://"):
        carrier.warn_of_plaintext(Address("tunnel+tcp", "gw.example", 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        carrier.warn_of_plaintext(Address("tcp", "gw.example", 1))
        carrier.warn_of_plaintext(Address("tcp", "127.0.0.1", 1))


@pytest.mark.parametrize(
    ("host", "text"), [("127.0.0.1", "agpd dev"), ("agpd.invalid", "no connection to agpd.invalid:9")]
)
async def test_nobody_there(host: str, text: str) -> None:
    address = Address("tcp", host, 9)
    carrier._warned.add(address)
    with pytest.raises(agp.ConnectError, match=text):
        await assemble(Carrier(address)).open()


def test_elsewhere_agpd_dev_is_not_the_advice() -> None:
    error = carrier._unreachable(Address("tcp", "gw.example", 9), ConnectionRefusedError())
    assert str(error) == "no gateway at gw.example:9: is it running, and is the port right?"


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        (Address("tls", "127.0.0.1", 7420), "start one with `agpd dev`"),
        (Address("tls", "127.0.0.1", 7421), "start one with `agpd dev`, or mend the address"),
        (Address("tcp", "127.0.0.1", 7420), "start one with `agpd dev`, or mend the address"),
    ],
)
def test_on_this_machine_agpd_dev_is_the_advice(address: Address, advice: str) -> None:
    error = carrier._unreachable(address, ConnectionRefusedError())
    assert str(error) == f"no gateway at {address}: {advice}"


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


async def end(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(4096)


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def speak_something_else(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("serve", "timeout_s", "error", "text"),
    [
        (end, 5.0, agp.ConnectError, "is a gateway there"),
        (say_nothing, 0.05, agp.ConnectError, r"no answer from 127\.0\.0\.1:\d+ within 0\.05 s"),
        (speak_something_else, 5.0, agp.Unauthorized, r"WRONG_VERSION_NUMBER; we showed .*agent\.pem"),
    ],
)
async def test_a_server_that_does_not_speak_tls(
    tmp_path: Path, serve: Serve, timeout_s: float, error: type[agp.AgpError], text: str
) -> None:
    development(tmp_path, time.time())
    served = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await serve(reader, writer)
            writer.close()
            await writer.wait_closed()
        served.set()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    address = Address("tls", *server.sockets[0].getsockname()[:2])
    files = [tmp_path / name for name in ("agent.pem", "agent.key", "ca.pem")]
    reached = Carrier(address, *files)
    assert reached.describe() == f" (certificate {files[0]}, authorities {files[2]})"
    async with server:
        with pytest.raises(error, match=text):
            await reached.connect(asyncio.Protocol, timeout_s)
        await served.wait()
    await reached.release()


def test_renewed_files_are_not_used_before_the_next_connection(tmp_path: Path) -> None:
    development(tmp_path, time.time())
    files = [tmp_path / name for name in ("agent.pem", "agent.key", "ca.pem")]
    carrier = Carrier(Address("tls", "127.0.0.1", 1), *files)
    context, pem = carrier.context(), carrier.pem()
    assert pem is not None
    assert [pem.certificate, pem.key, pem.ca] == [file.read_bytes() for file in files]
    files[2].write_bytes(pem.ca + b"\n")
    assert carrier.context() is context
    assert carrier.pem() is pem
    carrier.refresh()
    renewed = carrier.pem()
    assert renewed is not None
    assert renewed.ca == pem.ca + b"\n"
    assert carrier.context() is not context


def test_without_tls_there_are_no_files() -> None:
    for kind in ("tcp", "tunnel+tcp"):
        assert Carrier(Address(kind, "127.0.0.1", 1)).pem() is None


def test_what_is_not_in_use_is_not_named() -> None:
    bare = Carrier(Address("tunnel", "gw.example", 1))
    assert bare.describe() == " (certificate none, authorities of the system)"
