"""agpctl context: added, changed, selected, shown, removed."""

from pathlib import Path

import pytest
from scenarios.ctl import Ctl

from agpd.cli.contexts import Context


@pytest.fixture
def bare(tmp_path: Path) -> Ctl:
    """Without any context, and no gateway."""
    return Ctl({"XDG_CONFIG_HOME": str(tmp_path)}, tmp_path, "")


def test_the_first_one_is_selected(bare: Ctl) -> None:
    assert "no context is selected: `agpctl login" in bare.run("context", "ls").stderr
    add = ["context", "add", "one", "--server", "https://host:7421/", "--tenant", "acme"]
    assert bare(*add) == "context one added and selected\n"
    assert bare.contexts.load("one") == Context(
        server="https://host:7421", gateway="agp://host:7420", tenant="acme"
    )
    said = bare("context", "add", "two", "--server", "https://[::1]:7421", "--gateway", "agp://x:1")
    assert said == "context two added; select it with: agpctl context select two\n"
    assert bare("context", "ls").splitlines() == [
        "   NAME  TENANT  AS      SERVER",
        "*  one   acme    nobody  https://host:7421",
        "   two   -       nobody  https://[::1]:7421",
    ]
    bare("context", "select", "two")
    assert [one["selected"] for one in bare.json("context", "ls")] == [False, True]
    assert bare("context", "show").splitlines()[0] == "name:     two"
    assert bare("--context", "one", "context", "show").splitlines()[0] == "name:     one"
    assert bare("context", "show", AGP_CONTEXT="one").splitlines()[0] == "name:     one"
    assert bare("context", "rm", "two") == "context two removed; none is selected now\n"
    assert bare("context", "ls", "-o", "name") == "one\n"


def test_changes_keep_the_rest_and_what_is_anothers_goes(bare: Ctl) -> None:
    before = Context(server="https://h:1", gateway="agp://h:2", tenant="acme", client="c", refresh_token="r")
    bare.contexts.save("one", before)
    bare("context", "add", "one", "--gateway", "agp://g:1")
    assert bare.contexts.load("one").refresh_token == "r"
    bare("context", "add", "one", "--tenant", "globex")
    after = bare.contexts.load("one")
    assert (after.tenant, after.gateway, after.refresh_token) == ("globex", "agp://g:1", "")


def test_files_are_found_from_other_directories(
    bare: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bare("context", "add", "one", "--server", "http://127.0.0.1:1", "--secret-file", "secret")
    assert bare.contexts.load("one").secret_file == str(tmp_path / "secret")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--server", "host:7421"], "is no address of a server: write https://HOST:7421"),
        (["--server", "http://203.0.113.1:1"], "would show tokens to everybody on the way: use https://"),
        (["--server", "https://h:1", "--issuer", "http://203.0.113.1/t/a"], "would show tokens to everybody"),
        (["--server", "https://h:1", "--ca", "/no.pem"], "cannot use /no.pem: No such file"),
        (["--server", "https://h:1", "--certificate", "/x"], "give both --certificate and --key"),
    ],
)
def test_what_cannot_work_is_said(bare: Ctl, options: list[str], problem: str) -> None:
    assert problem in bare.fails("context", "add", "one", *options)
    assert bare.contexts.names() == []
