"""Gateway URLs."""

import pytest

from agpd_client.transports.address import Address, parse_url


@pytest.mark.parametrize(
    ("url", "address", "loopback"),
    [
        ("agp://127.0.0.1:7", ("tls", "127.0.0.1", 7), True),
        ("agp://gw.example", ("tls", "gw.example", 7420), False),
        ("agp+tcp://[::1]:9", ("tcp", "::1", 9), True),
        ("agp+tcp://localhost", ("tcp", "localhost", 7420), True),
        ("agp+grpc://gw.example", ("tunnel", "gw.example", 46357), False),
        ("agp+grpc://127.0.0.1:7", ("tunnel", "127.0.0.1", 7), True),
        ("agp+grpc+tcp://[::1]", ("tunnel+tcp", "::1", 46357), True),
        ("local://", ("local", "", 0), True),
        ("local://x", ("local", "x", 0), True),
    ],
)
def test_good(url: str, address: tuple[str, str, int], loopback: bool) -> None:
    parsed = parse_url(url)
    assert parsed == address
    assert parsed.is_loopback is loopback
    assert str(Address("tls", "::1", 1)) == "[::1]:1"


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:7420", "http://x", "agp://", "agp://x:99999", "agp://x/path", "agp://u@x", "agp://x?q"],
)
def test_bad(url: str) -> None:
    with pytest.raises(ValueError, match="gateway URL"):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "has_tls", "is_tunnel"),
    [
        ("agp://gw.example:1", True, False),
        ("agp+tcp://gw.example:1", False, False),
        ("agp+grpc://gw.example:1", True, True),
        ("agp+grpc+tcp://[::1]:1", False, True),
        ("local://x", False, False),
    ],
)
def test_what_carries_it(url: str, has_tls: bool, is_tunnel: bool) -> None:
    parsed = parse_url(url)
    assert (parsed.has_tls, parsed.is_tunnel, parsed.url) == (has_tls, is_tunnel, url)
