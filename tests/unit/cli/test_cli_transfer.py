"""Export and import of all that a tenant has."""

import json
import stat
from pathlib import Path

from scenarios.ctl import Ctl


def filled(ctl: Ctl, tenant: str) -> None:
    ctl("create", "tenant", tenant)
    ctl("create", "namespace", f"{tenant}/space")
    ctl("create", "type", f"{tenant}/space/bot")
    ctl("create", "client", f"{tenant}.bot", "--agent", f"{tenant}/space/bot", "-t", tenant)


def test_what_is_exported_can_be_imported_and_applied(ctl: Ctl) -> None:
    filled(ctl, "moved")
    text = ctl("export", "-t", "moved")
    assert "agps_" not in text
    assert "argon2" not in text
    assert all(line.endswith("unchanged") for line in ctl("apply", "-f", "-", stdin=text).splitlines())
    for kind, name in (("client", "moved.bot"), ("type", "moved/space/bot"), ("namespace", "moved/space")):
        ctl("delete", kind, name, "-t", "moved")
    assert ctl("import", "-", stdin=text) == "imported 1 tenants, 1 namespaces, 1 types, 1 clients\n"
    assert ctl("export", "-t", "moved", "-o", "json").count("moved/space/bot") == 2


def test_all_tenants_and_secrets_are_for_operators(admin: Ctl) -> None:
    assert [one["name"] for one in admin.json("export")["tenants"]] == ["acme"]
    assert "NOT_PERMITTED" in admin.fails("export", "--secrets")
    everything = admin.json("export", "--all", "--secrets", "--context", "dev")
    assert {"acme", "agpd"} <= {one["name"] for one in everything["tenants"]}
    assert everything["secrets"]


def test_a_file_is_for_its_owner_only(ctl: Ctl, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    assert ctl("export", "--all", "-f", str(path)) == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ctl("import", str(path)).startswith("imported ")
    assert "cannot write" in ctl.fails("export", "-f", str(tmp_path / "no" / "file"))


def test_all_or_nothing(ctl: Ctl) -> None:
    document = {"tenants": [{"name": "half"}], "namespaces": [{"name": "half/a"}, {"name": "absent/b"}]}
    assert "absent" in ctl.fails("import", "-", stdin=json.dumps(document))
    assert "NOT_FOUND" in ctl.fails("get", "tenant", "half")


def test_what_is_no_export(ctl: Ctl) -> None:
    assert "is no export" in ctl.fails(
        "import", "-", stdin="kind: tenant\nname: a\n---\nkind: tenant\nname: b\n"
    )
