"""What shells are told to complete, and that trouble stays silent."""

import pytest
from scenarios.ctl import Ctl

from agpd.cli.contexts import Context


def completed(ctl: Ctl, words: str) -> list[str]:
    """What completes the last word, which may be empty."""
    line = ["agpctl", *words.split(" ")]
    done = ctl.run(_AGPCTL_COMPLETE="bash_complete", COMP_WORDS=" ".join(line), COMP_CWORD=str(len(line) - 1))
    assert done.stderr == ""
    return [each.partition(",")[2] for each in done.stdout.splitlines() if each]


def test_kinds_and_commands(ctl: Ctl) -> None:
    assert completed(ctl, "get cl") == ["clients"]
    assert "namespaces" in completed(ctl, "describe ")
    assert completed(ctl, "comp") == ["completion"]


def test_names_that_are_there(admin: Ctl) -> None:
    assert completed(admin, "get clients acme.a") == ["acme.admin"]
    assert "acme/demo" in completed(admin, "describe namespace acme/d")
    assert completed(admin, "client add-secret acme.ad") == ["acme.admin"]
    assert "agpd" in completed(admin, "get clients --context dev --tenant ag")
    assert completed(admin, "context select a") == ["acme"]
    assert completed(admin, "--context dev whoami --context d") == ["dev"]


def test_trouble_is_silent(ctl: Ctl) -> None:
    assert completed(ctl, "get cats a") == []
    ctl.contexts.save("away", Context(server="http://127.0.0.1:9", tenant="acme"))
    assert completed(ctl, "--context away get clients a") == []
    assert completed(ctl, "--context none get clients a") == []


@pytest.mark.parametrize(("shell", "mark"), [("zsh", "#compdef agpctl"), ("fish", "complete --no-files")])
def test_scripts(ctl: Ctl, shell: str, mark: str) -> None:
    script = ctl("completion", shell)
    assert mark in script
    assert f"_AGPCTL_COMPLETE={shell}_complete" in script
