"""client/agpd_client/credentials.py: what may be given, what comes of it, and that no secret prints."""

import pytest

import agpd_client as agp
from agpd_client.credentials import Asked, ClientCredentials, Fixed, Issued, chosen

ISSUER = "https://gateway.example:7421/t/acme"


@pytest.mark.parametrize(
    "issuer", [ISSUER, "http://127.0.0.1:7421/t/acme", "http://localhost/t/acme", "http://[::1]:1/t/a"]
)
def test_issuers(issuer: str) -> None:
    assert ClientCredentials(issuer, "a", "s").issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "http://gateway.example:7421/t/acme",  # a secret in plaintext
        "gateway.example:7421",
        "ftp://127.0.0.1/t/acme",
        "https://",
        f"{ISSUER}?a=b",
        f"{ISSUER}#a",
        "https://user@gateway.example/t/acme",
    ],
)
def test_what_is_no_issuer(issuer: str) -> None:
    with pytest.raises(ValueError, match="https://host:port/t/organization"):
        ClientCredentials(issuer, "a", "s")


def test_what_does_not_fit_together() -> None:
    with pytest.raises(ValueError, match="client_id"):
        ClientCredentials(ISSUER, "")
    with pytest.raises(ValueError, match="not both"):
        ClientCredentials(ISSUER, "a", "s", "key.pem")
    with pytest.raises(ValueError, match="not both"):
        agp.connect(credentials=ClientCredentials(ISSUER, "a"), token="t")


def test_the_environment() -> None:
    whole = {"AGP_ISSUER": ISSUER, "AGP_CLIENT_ID": "a", "AGP_CLIENT_SECRET": "s"}
    assert chosen(None, None, whole) == ClientCredentials(ISSUER, "a", "s")
    assert chosen(None, None, whole | {"AGP_CLIENT_SECRET": ""}) == ClientCredentials(ISSUER, "a")
    assert chosen(None, None, whole | {"AGP_TOKEN": "t"}) == "t"
    assert chosen(None, "given", whole | {"AGP_TOKEN": "t"}) == "given"
    given = ClientCredentials(ISSUER, "b")
    assert chosen(given, None, whole) is given
    assert chosen(None, None, {"AGP_ISSUER": ISSUER}) is None
    assert chosen(None, None, {}) is None


async def test_a_token_and_functions() -> None:
    async def later() -> str:
        return "b"

    assert await Fixed("a").fetch() == Issued("a", None)
    assert await Asked(lambda: "a").fetch() == Issued("a", None)
    assert await Asked(later).fetch() == Issued("b", None)
    assert (Fixed("a").renews, Asked(later).renews) == (False, True)


async def test_a_function_that_fails_may_succeed_later() -> None:
    def fail() -> str:
        raise KeyError("s3cret")

    def refuse() -> str:
        raise agp.Unauthorized("no")

    with pytest.raises(agp.ConnectError, match="KeyError") as caught:
        await Asked(fail).fetch()
    assert "s3cret" not in str(caught.value)
    with pytest.raises(agp.Unauthorized):
        await Asked(refuse).fetch()


@pytest.mark.parametrize("text", ["", "x" * 3073, "é", None, b"x"])
async def test_what_is_no_token(text: object) -> None:
    with pytest.raises(agp.Unauthorized) as caught:
        await Asked(lambda: text).fetch()  # type: ignore[arg-type, return-value]
    assert "xxx" not in str(caught.value)


def test_secrets_do_not_print() -> None:
    things = [ClientCredentials(ISSUER, "a", "s3cret"), Fixed("s3cret"), Issued("s3cret", 1.0)]
    gateway = agp.connect("agp://127.0.0.1:1", token="s3cret")
    options = gateway._uplink.options
    for thing in (*things, gateway, options, options.source):
        assert "s3cret" not in f"{thing!r} {thing}"
