import pytest
from identity_provider import provider

from agpd.control import fetching
from agpd.control.fetching import FetchFailed, check_uri, fetch_keys
from agpd.errors import Code, Refused


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
        "::ffff:127.0.0.1", "2002:7f00:1::", "2002:a00:1::",
        "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1", "::7f00:1", "fec0::1",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not fetching._is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_addresses_outside_are_public(address: str) -> None:
    assert fetching._is_public(address)


@pytest.mark.parametrize(
    ("uri", "internal"),
    [
        ("https://sso.example/certs", False),
        ("https://sso.example:8443/a?b=c", False),
        ("http://127.0.0.1:1/x", True),
    ],
)
def test_uris_over_https_are_good(uri: str, internal: bool) -> None:
    assert check_uri(uri, internal).geturl() == uri


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1/x", "ftp://a/x", "//a/x", "https:///x", "https://a@b/x", "x"]
)
def test_others_are_not(uri: str) -> None:
    with pytest.raises(Refused) as caught:
        check_uri(uri, False)
    assert caught.value.code is Code.INVALID_REQUEST


async def test_keys_for_signatures_are_fetched_and_others_left_out() -> None:
    async with provider() as idp:
        keys = await fetch_keys(idp.uri, True, idp.context)
    assert {kid: algorithm for kid, (algorithm, _) in keys.items()} == {
        "kid-RS256": "RS256",
        "kid-ES256": "ES256",
        "kid-Ed25519": "Ed25519",
    }
    assert not any(key.is_private for _, key in keys.values())


async def test_a_private_address_is_not_even_connected_to() -> None:
    async with provider() as idp:
        with pytest.raises(FetchFailed, match="not public"):
            await fetch_keys(idp.uri, False, idp.context)
        assert idp.requests == []


async def test_a_name_without_address_is_a_failure() -> None:
    with pytest.raises(FetchFailed):
        await fetch_keys("https://no-such-host.invalid/x", False)
