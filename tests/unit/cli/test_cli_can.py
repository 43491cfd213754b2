"""Verdicts and their reasons, with an exit code for scripts."""

import json

from scenarios.ctl import Ctl


def test_inside_an_organization(admin: Ctl) -> None:
    said = admin.run("can", "acme/demo/a", "publish", "acme/demo/b")
    assert said.exit_code == 0
    assert said.stdout.startswith("yes: acme/demo/a may publish acme/demo/b\n")


def test_what_is_missing_is_said(admin: Ctl) -> None:
    admin(
        "create", "grant", "acme.can", "--subject", "acme/can/*", "--verb", "publish", "--object", "canada/*"
    )
    said = admin.run("can", "acme/can/a", "publish", "canada/x/y")
    assert said.exit_code == 1
    assert said.stdout.startswith("no: acme/can/a may not publish canada/x/y\n")
    assert "acme.can" in said.stdout
    assert "missing  canada" in said.stdout


def test_for_programs(admin: Ctl) -> None:
    said = admin.run("can", "acme/demo/a", "publish", "nowhere/x/y", "-o", "json")
    assert said.exit_code == 1
    assert json.loads(said.stdout)["allowed"] is False


def test_errors_are_no_verdict(admin: Ctl) -> None:
    assert "is not one of 'publish'" in admin.fails("can", "acme/a/b", "fly", "acme/a/c")
    assert "INVALID" in admin.fails("can", "acme", "publish", "acme/a/c")
