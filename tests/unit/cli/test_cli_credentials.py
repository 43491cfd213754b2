"""Secrets of clients and signing keys of tenants."""

from scenarios.ctl import Ctl


def test_secrets_are_added_and_revoked(admin: Ctl) -> None:
    admin("create", "client", "acme.cred-bot", "--agent", "acme/demo/bot")
    added = admin.run("client", "add-secret", "acme.cred-bot", "--life", "30d")
    assert added.stdout.startswith("agps_")
    assert len(added.stdout.splitlines()) == 1
    id_ = added.stderr.split()[1]
    secrets = admin.json("get", "client", "acme.cred-bot")["secrets"]
    ends = {one["id"]: one["expires"] - one["created"] for one in secrets}
    assert round(ends.pop(id_)) == 30 * 86_400
    assert [each < 0 for each in ends.values()] == [True]  # the other one never expires
    assert "CONFLICT" in admin.fails("client", "add-secret", "acme.cred-bot")
    assert (
        admin("client", "revoke-secret", "acme.cred-bot", id_) == f"secret {id_} of acme.cred-bot revoked\n"
    )
    assert "NOT_FOUND" in admin.fails("client", "revoke-secret", "acme.cred-bot", id_)
    login = [
        "login",
        "--context",
        "cred",
        "--server",
        admin.server,
        "--tenant",
        "acme",
        "--client",
        "acme.cred-bot",
    ]
    login += ["--ca", str(admin.state / "ca.pem"), "--secret-file", "-"]
    assert "does not accept the client" in admin.fails(*login, stdin=added.stdout)


def test_a_life_that_is_none(admin: Ctl) -> None:
    assert "is not a time such as" in admin.fails("client", "add-secret", "x", "--life", "soon")


def test_keys_rotate(ctl: Ctl) -> None:
    ctl("create", "tenant", "rotating")
    first = ctl("key", "rotate", "-t", "rotating").split()[1]
    second = ctl("key", "rotate", "-t", "rotating").split()[1]
    states = {key["id"]: key["state"] for key in ctl.json("get", "keys", "-t", "rotating")}
    assert (states[second], states[first]) == ("active", "retired")
    assert ctl.json("get", "key", second, "-t", "rotating")["state"] == "active"
    assert "NOT_FOUND" in ctl.fails("get", "key", "none", "-t", "rotating")
