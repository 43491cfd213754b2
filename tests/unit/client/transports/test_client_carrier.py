"""Connecting to an address: what is warned of, and what is said when nobody is there."""

import warnings

import pytest

import agpd_client as agp
from agpd_client.gateway import assemble
from agpd_client.transports import carrier
from agpd_client.transports.address import Address
from agpd_client.transports.carrier import Carrier


async def test_plaintext_to_elsewhere_warns_once() -> None:
    carrier._warned.clear()
    with pytest.warns(UserWarning, match="everyone on the way"):
        carrier._warn(Address("tcp", "gw.example", 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        carrier._warn(Address("tcp", "gw.example", 1))
        carrier._warn(Address("tcp", "127.0.0.1", 1))


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
