"""Tables, documents and descriptions; what a terminal gets and what a pipe."""

import json
import os
import pty
import subprocess
import sys

import pytest
import yaml

from agpd.cli import output
from agpd.cli.kinds import find

TENANTS = [
    {
        "name": "acme",
        "title": "A\x1bB",
        "suspended": False,
        "require_encryption": True,
        "quotas": {"agents": 5},
    },
    {
        "name": "globex-international",
        "title": "",
        "suspended": True,
        "require_encryption": False,
        "quotas": {},
    },
]


def shown(form: str, *, one: bool = False) -> str:
    return output.resources(find("tenant"), TENANTS, form, 0.0, one=one)


def test_a_table_is_aligned_and_harmless() -> None:
    assert shown("table").splitlines() == [
        "NAME                  TITLE   STATE",
        "acme                  A\\x1bB  active",
        "globex-international  -       suspended",
    ]
    assert "ENCRYPTION REQUIRED" not in shown("table")
    assert shown("wide").splitlines()[1].endswith("yes                  agents=5")
    assert output.resources(find("tenant"), [], "table", 0.0) == "no tenants"


def test_documents_can_be_read_back() -> None:
    kinds = [{"kind": "tenant", **tenant} for tenant in TENANTS]
    assert json.loads(shown("json")) == kinds
    assert json.loads(shown("json", one=True)) == kinds[0]
    assert list(yaml.safe_load_all(shown("yaml"))) == kinds
    assert shown("yaml").isascii()
    assert shown("name") == "tenant/acme\ntenant/globex-international"
    assert json.loads(output.resources(find("tenant"), [], "json", 0.0)) == []


def test_a_description_has_every_field() -> None:
    text = output.description(
        {
            "id": "bot",
            "admin": True,
            "created": 0.0,
            "jwks": None,
            "scopes": ["a", "b\n"],
            "labels": {"region": "eu"},
            "secrets": [{"id": "s1", "expires": 0.0, "secret": ""}, {"id": "s2", "expires": 86400.0}],
        }
    )
    assert text.splitlines() == [
        "id:       bot",
        "admin:    yes",
        "created:  -",
        "jwks:     -",
        "scopes:   a, b\\n",
        "labels:",
        "  region:  eu",
        "secrets:",
        "  - id:       s1",
        "    expires:  never",
        "  - id:       s2",
        "    expires:  1970-01-02 00:00:00 UTC",
    ]


TABLE = "from agpd.cli import output; print(output.table(['NAME', 'TEXT'], [['a', 'b' * 100]]))"


def in_a_terminal(columns: int, **environ: str) -> list[str]:
    """What the program prints on a terminal of this width."""
    primary, secondary = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, "-c", TABLE],
        stdin=subprocess.DEVNULL,
        stdout=secondary,
        env=env | {"COLUMNS": str(columns), "TERM": "xterm"} | environ,
        timeout=30,
    )
    os.close(secondary)
    text = os.read(primary, 10_000).decode()
    os.close(primary)
    assert done.returncode == 0
    return text.splitlines()


def test_on_a_terminal_lines_end_at_its_edge() -> None:
    head, line = in_a_terminal(80)
    assert head == "\x1b[1mNAME  TEXT\x1b[0m"
    assert line == f"a     {'b' * 73}…"
    assert in_a_terminal(120)[1] == f"a     {'b' * 100}"


def test_no_color_is_obeyed() -> None:
    assert in_a_terminal(80, NO_COLOR="1")[0] == "NAME  TEXT"


def test_a_pipe_gets_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.table(["NAME", "TEXT"], [["a", "b" * 500]]).splitlines() == [
        "NAME  TEXT",
        f"a     {'b' * 500}",
    ]
