"""Where the control plane is looked for."""

import pytest

from agpd_client.transports.address import Address, parse_url
from agpd_client.transports.control import control_address

GATEWAY = parse_url("agp://gw.example:9999")


@pytest.mark.parametrize(
    ("given", "environ", "host", "port"),
    [
        (None, {}, "gw.example", 46357),
        (None, {"AGP_CONTROL": "other:1"}, "other", 1),
        ("mine:2", {"AGP_CONTROL": "other:1"}, "mine", 2),
        ("mine", {}, "mine", 46357),
        ("[::1]:3", {}, "::1", 3),
        ("[::1]", {}, "::1", 46357),
    ],
)
def test_argument_then_environment_then_the_gateways_host(
    given: str | None, environ: dict[str, str], host: str, port: int
) -> None:
    assert control_address(GATEWAY, given, environ) == Address("tls", host, port)


def test_it_has_tls_where_the_gateway_has() -> None:
    assert control_address(parse_url("agp+tcp://gw.example"), None, {}).carrier == "tcp"


def test_it_is_where_the_tunnel_is() -> None:
    assert control_address(parse_url("agp+grpc://gw.example:99"), None, {}) == Address(
        "tls", "gw.example", 99
    )
    assert control_address(parse_url("agp+grpc+tcp://gw.example"), None, {}).port == 46357
    assert control_address(parse_url("agp+grpc://gw.example:99"), "mine:2", {}).host == "mine"


@pytest.mark.parametrize("wrong", ["https://mine:2", "mine:x", "mine:2/x", ":", "a b:1:2"])
def test_a_wrong_address_says_how_to_write_it(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"write host:port, such as 127\.0\.0\.1:46357"):
        control_address(GATEWAY, wrong, {})


def test_a_gateway_in_this_process_has_none() -> None:
    with pytest.raises(ValueError, match="connect to one with agp://host:port"):
        control_address(parse_url("local://mine"), None, {})
