"""Files of resources: their forms, their order, and what is wrong with them."""

import io
import json
from pathlib import Path

import pytest

from agpd.cli.documents import read_all
from agpd.cli.lazy import Failure

YAML = """
kind: grant
subject: acme/*
verb: publish
object: globex/*
---
- kind: namespace
  name: acme/demo
- {kind: tenant, name: acme, title: "no"}
---
"""
TOML = """
[[clients]]
id = "bot"
tenant = "globex"
agent = "globex/a/b"
[[tenants]]
name = "globex"
"""


def write(directory: Path, name: str, text: str) -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


def test_all_forms_come_in_the_order_of_what_depends_on_what(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "a.yaml", YAML),
        write(tmp_path, "b.toml", TOML),
        write(tmp_path, "c.json", json.dumps({"kind": "type", "name": "acme/demo/bot"})),
    ]
    found = [
        (document.kind.name, document.kind.title(document.values)) for document in read_all(files, "acme")
    ]
    assert found == [
        ("tenant", "acme"),
        ("tenant", "globex"),
        ("namespace", "acme/demo"),
        ("type", "acme/demo/bot"),
        ("client", "bot"),
        ("grant", ""),
    ]


def test_values_are_complete_and_the_tenant_is_filled_in(tmp_path: Path) -> None:
    (grant,) = read_all([write(tmp_path, "g", YAML.partition("---")[0])], "acme")
    assert grant.values == {
        "id": "",
        "tenant": "acme",
        "subject": "acme/*",
        "verb": "publish",
        "object": "globex/*",
        "effect": "allow",
    }


def test_an_export_is_read(tmp_path: Path) -> None:
    export = {"tenants": [{"name": "acme"}], "grants": [], "secrets": []}
    assert [one.kind.name for one in read_all([write(tmp_path, "e.json", json.dumps(export))], "")] == [
        "tenant"
    ]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"kind: tenant\nname: acme\n")))
    assert [one.values["name"] for one in read_all(["-"], "")] == ["acme"]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.yaml", "kind: tenant\nname: a\nname: b\n", r"a key is there twice among kind, name"),
        ("a.yaml", "kind: tenant\nname: [\n", r"a\.yaml: is no YAML"),
        (
            "a.yaml",
            "!!python/object/apply:os.system ['true']",
            r"is no YAML: could not determine a constructor",
        ),
        ("a.json", '{"kind": "tenant", "kind": "client"}', r"a key is there twice"),
        ("a.json", "{", r"a\.json: Expecting property name"),
        ("a.toml", "x", r"a\.toml: "),
        ("a.yaml", "kind: tenant\nname: acme\ntitel: x\n", r"a\.yaml, tenant 1: .*unknown field `titel`"),
        ("a.yaml", "kind: tenant\nname: 5\n", r"tenant 1: Expected `str`, got `int` - at `\$\.name`"),
        ("a.yaml", "kind: tenant\n", r"tenant 1: Object missing required field `name`"),
        ("a.yaml", "kind: tenan\nname: a\n", r"'tenan' is no kind of resource"),
        ("a.yaml", "name: acme\n", r"a resource has no `kind`, and 'name' is no plural of one"),
        ("a.yaml", "tenants: acme\n", r"tenants must be a list of resources"),
        ("a.yaml", "just text\n", r"'just text' is no resource: write `kind: client`"),
        ("a.yaml", "\udcff", r"is not UTF-8 text"),
        ("a.json", "[" * 100_000, r"a\.json: "),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str, problem: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Failure, match=problem):
        read_all([str(path)], "acme")


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(Failure, match=r"cannot read /nowhere\.yaml: No such file"):
        read_all(["/nowhere.yaml"], "acme")
