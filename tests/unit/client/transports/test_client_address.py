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
