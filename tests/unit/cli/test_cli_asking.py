"""Options of commands that ask the control plane: which context, which tenant."""

from scenarios.ctl import Ctl


def test_the_nearest_context_counts(admin: Ctl) -> None:
    assert admin.json("whoami")["context"] == "acme"  # selected
    assert admin.json("whoami", AGP_CONTEXT="dev")["context"] == "dev"
    assert admin.json("--context", "dev", "whoami")["context"] == "dev"
    assert (
        admin.json("--context", "none", "whoami", "--context", "dev", AGP_CONTEXT="none")["context"] == "dev"
    )
    assert "no context 'none'" in admin.fails("--context", "none", "whoami", AGP_CONTEXT="dev")


def test_another_tenant(ctl: Ctl) -> None:
    assert "client/acme.admin" in ctl("get", "clients", "-o", "name").splitlines()
    assert ctl("get", "clients", "-o", "name", "--tenant", "agpd") == "client/agpd.dev\n"
    assert ctl.run("get", "clients", "-t", "absent").stderr == "no clients\n"
