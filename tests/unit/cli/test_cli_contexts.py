"""Contexts on the disk: what is kept, who may read it, and which one is in force."""

import os
import stat
from pathlib import Path

import msgspec
import pytest

from agpd.cli.contexts import Context, Contexts, current
from agpd.errors import ConfigError

FULL = Context(
    server="https://host:7421",
    gateway="agp://host:7420",
    ca="/a b/ca.pem",
    certificate='/"quoted"/c.pem',
    key="/ü/c.key",
    tenant="acme",
    client="bot",
    refresh_token="agpr_secret",
)


@pytest.fixture
def contexts(tmp_path: Path) -> Contexts:
    return Contexts(tmp_path / "agp")


def test_what_is_saved_is_loaded(contexts: Contexts) -> None:
    contexts.save("prod", FULL)
    assert contexts.load("prod") == FULL
    contexts.save("prod", Context(tenant="globex"))
    assert contexts.load("prod") == Context(tenant="globex")
    assert contexts.names() == ["prod"]


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_only_the_owner_can_read_them(contexts: Contexts, mask: int) -> None:
    before = os.umask(mask)
    try:
        contexts.save("prod", FULL)
        contexts.select("prod")
    finally:
        os.umask(before)
    path = contexts.path("prod")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_token_is_never_printed() -> None:
    assert "agpr_secret" not in repr(FULL)
    assert "agpr_secret" not in str(FULL.shown())
    assert FULL.shown()["refresh_token"] == "(kept secret)"
    assert "refresh_token" not in Context(tenant="a").shown()


def test_where_tokens_come_from() -> None:
    assert FULL.token_issuer == "https://host:7421/t/acme"
    assert msgspec.structs.replace(FULL, issuer="https://i/x").token_issuer == "https://i/x"


def test_selecting_and_removing(contexts: Contexts) -> None:
    assert contexts.selected() == ""
    contexts.save("one", FULL)
    contexts.save("two", FULL)
    contexts.select("one")
    assert contexts.selected() == "one"
    with pytest.raises(ConfigError, match=r"there is no context 'three'; there are: one, two"):
        contexts.select("three")
    contexts.cache("one").write_text("{}")
    contexts.remove("one")
    assert (contexts.selected(), contexts.names()) == ("", ["two"])
    assert not contexts.cache("one").exists()
    with pytest.raises(ConfigError, match="there is no context 'one'"):
        contexts.remove("one")


def test_removing_another_one_keeps_the_selection(contexts: Contexts) -> None:
    contexts.save("one", FULL)
    contexts.save("two", FULL)
    contexts.select("one")
    contexts.remove("two")
    assert contexts.selected() == "one"


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", "a\n", "-x", "x" * 64])
def test_names_that_could_leave_the_directory_are_refused(contexts: Contexts, name: str) -> None:
    with pytest.raises(ConfigError, match="is no name of a context"):
        contexts.save(name, FULL)


@pytest.mark.parametrize("text", ["server = 1", "servr = 'x'", "server", "\udcff"])
def test_a_damaged_file_says_what_to_do(contexts: Contexts, text: str) -> None:
    contexts.save("bad", FULL)
    contexts.path("bad").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=r"bad\.toml is no context: .*agpctl context add"):
        contexts.load("bad")


def test_which_one_is_in_force(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert current(environ) is None
    contexts = Contexts.of(environ)
    for name in ("one", "two", "three"):
        contexts.save(name, Context(tenant=name))
    contexts.select("one")
    assert current(environ) == ("one", Context(tenant="one"))
    environ["AGP_CONTEXT"] = "two"
    assert current(environ) == ("two", Context(tenant="two"))
    assert current(environ, "three") == ("three", Context(tenant="three"))
    with pytest.raises(ConfigError, match="no context 'four'"):
        current(environ, "four")


def test_without_a_directory_of_its_own_they_are_in_the_home_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert Contexts.of({}).directory == Path("/home/someone/.config/agp")
