"""get, describe, apply and delete against a real control plane."""

import json
from pathlib import Path

import yaml
from scenarios.ctl import Ctl

FILE = """
kind: grant
subject: acme/{space}/*
verb: publish
object: globex/*
---
kind: namespace
name: acme/{space}
title: One
---
kind: type
name: acme/{space}/alice
capabilities: [translate]
labels: {{team: x}}
---
kind: agent
type: acme/{space}/alice
identity: eu-1
labels: {{region: eu}}
description: speaks \x41rabic
"""


def write(directory: Path, space: str) -> str:
    path = directory / "all.yaml"
    path.write_text(FILE.format(space=space))
    return str(path)


def lines(text: str) -> list[str]:
    return text.splitlines()


def test_apply_is_idempotent(admin: Ctl, tmp_path: Path) -> None:
    file = write(tmp_path, "apply")
    names = [
        "namespace acme/apply",
        "type acme/apply/alice",
        "agent acme/apply/alice/eu-1",
        "grant acme/apply/* publish globex/*",
    ]
    assert lines(admin("apply", "-f", file, "--dry-run")) == [f"{name} created (dry run)" for name in names]
    assert "acme/apply" not in admin("get", "namespaces", "-o", "name")
    assert lines(admin("apply", "-f", file)) == [f"{name} created" for name in names]
    assert lines(admin("apply", "-f", file)) == [f"{name} unchanged" for name in names]
    Path(file).write_text(Path(file).read_text().replace("title: One", "title: Two"))
    assert lines(admin("apply", "-f", file, "--dry-run"))[0] == "namespace acme/apply configured (dry run)"
    assert lines(admin("apply", "-f", file))[0] == "namespace acme/apply configured"
    assert lines(admin("apply", "-f", file)) == [f"{name} unchanged" for name in names]
    assert admin.json("get", "namespace", "apply")["title"] == "Two"


def test_what_get_prints_can_be_applied(admin: Ctl, tmp_path: Path) -> None:
    admin("apply", "-f", write(tmp_path, "print"))
    for form in ("yaml", "json"):
        text = admin("get", "agents", "acme/print", "-o", form)
        assert admin("apply", "-f", "-", stdin=text) == "agent acme/print/alice/eu-1 unchanged\n"
    found = list(yaml.safe_load_all(admin("get", "clients", "-o", "yaml")))
    assert "acme.admin" in [one["id"] for one in found]


def test_agents_are_found_by_what_they_are(admin: Ctl, tmp_path: Path) -> None:
    admin("apply", "-f", write(tmp_path, "find"))
    name = "agent/acme/find/alice/eu-1\n"
    for options in (
        ["acme/find"],
        ["acme/find/alice"],
        ["acme/find/alice/eu-1"],
        ["acme/find", "-l", "region=eu"],
        ["acme/find", "-l", "team=x", "-l", "region=eu"],
        ["acme/find", "--capability", "translate"],
        ["acme/find", "--text", "Arabic"],
    ):
        assert admin("get", "agents", *options, "-o", "name") == name
    for options in (["-l", "region=us"], ["--capability", "x"], ["--text", "Greek"], ["--live"]):
        assert admin("get", "agents", "acme/find", *options, "-o", "name") == "\n"
    assert admin("get", "types", "acme/find", "-l", "team=x", "-o", "name") == "type/acme/find/alice\n"
    assert admin("get", "types", "acme/find", "-l", "team=y", "-o", "name") == "\n"
    assert "type/acme/find/alice" in lines(admin("get", "types", "-o", "name"))


def test_a_list_of_several_pages(ctl: Ctl) -> None:
    document = [{"kind": "namespace", "name": f"pages/n{number:03}"} for number in range(501)]
    ctl("create", "tenant", "pages")
    ctl("import", "-", stdin=json.dumps({"namespaces": [{"name": one["name"]} for one in document]}))
    assert len(lines(ctl("get", "namespaces", "-t", "pages", "-o", "name"))) == 501


def test_tables_for_people(admin: Ctl, tmp_path: Path) -> None:
    admin("apply", "-f", write(tmp_path, "table"))
    head, row = lines(admin("get", "agents", "acme/table"))
    assert head.split() == ["NAME", "LIVE", "CAPABILITIES", "AGE"]
    assert row.split()[:3] == ["acme/table/alice/eu-1", "0", "-"]
    assert "DESCRIPTION" in admin("get", "agents", "acme/table", "-o", "wide")
    nothing = admin.run("get", "routes")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "no routes\n")


def test_describe(admin: Ctl) -> None:
    text = admin("describe", "client", "acme.admin")
    assert "admin:         yes" in lines(text)
    assert "agps_" not in text
    assert len(admin("describe", "namespaces", "demo", "acme/demo").split("\n\n")) == 2


def test_delete(admin: Ctl, tmp_path: Path) -> None:
    file = write(tmp_path, "gone")
    admin("apply", "-f", file)
    assert "CONFLICT" in admin.fails("delete", "namespace", "gone")
    assert admin("delete", "agent", "acme/gone/alice/eu-1", "--dry-run").endswith("deleted (dry run)\n")
    assert [line.split()[0] for line in lines(admin("delete", "-f", file))] == [
        "grant",
        "agent",
        "type",
        "namespace",
    ]
    assert "NOT_FOUND" in admin.fails("delete", "namespace", "gone")
    ignored = admin("delete", "namespace", "gone", "--ignore-not-found")
    assert ignored == "namespace acme/gone not found\n"


def test_errors_are_one_line_with_the_way_out(admin: Ctl) -> None:
    assert "'cats' is no kind of resource; there are tenants" in admin.fails("get", "cats")
    assert "write org/namespace/type/identity" in admin.fails("describe", "agent", "acme/demo")
    assert "are for agents" in admin.fails("get", "clients", "--live")
    assert "write KEY=VALUE" in admin.fails("get", "agents", "-l", "x")
    assert "agpctl key rotate" in admin.fails("delete", "key", "x")
    assert "name a file with -f" in admin.fails("apply")
    assert "write KIND and NAME" in admin.fails("delete", "client")
    foreign, absent = (
        admin.fails("get", "clients", "-t", "agpd"),
        admin.fails("get", "clients", "-t", "absent"),
    )
    assert foreign.replace("agpd", "absent") == absent
