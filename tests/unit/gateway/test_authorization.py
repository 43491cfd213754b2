"""What a header `authorization` shows."""

import base64

import pytest

from agpd.gateway.authorization import Basic, Bearer, parse


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("Bearer abc.def", Bearer("abc.def")),
        ("bEARER  abc ", Bearer("abc")),
        (basic("acme.bot:secret"), Basic("acme.bot", "secret")),
        (basic("acme.bot:a:b"), Basic("acme.bot", "a:b")),
        (basic("a%3Ab:c%2Bd+e"), Basic("a:b", "c+d e")),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Digest abc", None),
        ("Basic abc", None),
        (basic("no colon"), None),
        (basic(":secret"), None),
        (basic("client:"), None),
        (basic("clïent:secret"), None),
        (basic("client:%ff"), None),
    ],
)
def test_headers(header: str, shown: Bearer | Basic | None) -> None:
    assert parse(header) == shown


def test_secrets_do_not_print() -> None:
    assert "secret" not in repr(Basic("acme.bot", "secret"))
    assert "abc" not in repr(Bearer("abc"))
