"""The audit log: listed, and checked over the API and without a gateway."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from scenarios.ctl import Ctl


def test_the_newest_are_listed(admin: Ctl) -> None:
    for number in range(3):
        admin("create", "namespace", f"audit{number}")
    *_, event = admin.json("audit", "list", "--limit", "1")
    assert (event["action"], event["object"]) == ("namespace.create", "acme/audit2")
    rows = admin("audit", "list", "--limit", "2").splitlines()
    assert rows[0].split() == ["N", "TIME", "ACTOR", "ACTION", "OBJECT"]
    assert [row.split()[-1] for row in rows[1:]] == ["acme/audit1", "acme/audit2"]
    after = str(event["sequence"] - 1)
    assert [one["sequence"] for one in admin.json("audit", "list", "--after", after)] == [event["sequence"]]
    assert "DETAIL" in admin("audit", "list", "-o", "wide").splitlines()[0]


def test_other_tenants_events_are_for_operators(admin: Ctl) -> None:
    assert {event["tenant"] for event in admin.json("audit", "list")} == {"acme"}
    assert {event["tenant"] for event in admin.json("audit", "list", "--all")} == {"acme"}
    assert "NOT_FOUND" in admin.fails("audit", "list", "-t", "agpd")
    assert "agpd" in {event["tenant"] for event in admin.json("audit", "list", "--all", "--context", "dev")}


def test_it_is_checked_over_the_api(admin: Ctl) -> None:
    assert "NOT_PERMITTED" in admin.fails("audit", "verify")
    assert admin("audit", "verify", "--context", "dev").startswith("the audit log is whole: ")


@pytest.fixture
def copied(ctl: Ctl, tmp_path: Path) -> Path:
    """Database and key of the running gateway, as they are now."""
    with (
        sqlite3.connect(ctl.state / "control.db") as source,
        sqlite3.connect(tmp_path / "control.db") as copy,
    ):
        source.backup(copy)
    source.close()
    copy.close()
    shutil.copy2(ctl.state / "control.key", tmp_path)
    return tmp_path


def offline(ctl: Ctl, directory: Path) -> tuple[int, dict[str, object]]:
    where = ["--database", f"sqlite:///{directory / 'control.db'}", "--key", str(directory / "control.key")]
    said = ctl.run("audit", "verify", *where, "-o", "json")
    return said.exit_code, json.loads(said.stdout)


def test_it_is_checked_without_a_gateway(ctl: Ctl, copied: Path) -> None:
    code, found = offline(ctl, copied)
    assert (code, found["intact"]) == (0, True)


def test_a_forged_event_is_found(ctl: Ctl, copied: Path) -> None:
    database = sqlite3.connect(copied / "control.db")
    triggers = database.execute(
        "select name from sqlite_master where type = 'trigger' and tbl_name = 'audit'"
    )
    for (name,) in triggers.fetchall():
        database.execute(f"drop trigger {name}")
    database.execute("update audit set actor = 'nobody' where sequence = 2")
    database.commit()
    database.close()
    code, found = offline(ctl, copied)
    assert (code, found["intact"], found["broken"]) == (1, False, 2)
    where = ["--database", f"sqlite:///{copied / 'control.db'}", "--key", str(copied / "control.key")]
    assert ctl.run("audit", "verify", *where).stdout.startswith("the audit log is NOT whole at event 2: ")


def test_what_is_not_there_is_not_made(ctl: Ctl, tmp_path: Path) -> None:
    missing, key = tmp_path / "no.db", tmp_path / "no.key"
    where = ["--database", f"sqlite:///{missing}", "--key", str(key)]
    assert "there is no key" in ctl.fails("audit", "verify", *where)
    key.write_bytes(bytes(32))
    assert "there is no database" in ctl.fails("audit", "verify", *where)
    assert not missing.exists()
    assert "go together" in ctl.fails("audit", "verify", "--key", str(key))
