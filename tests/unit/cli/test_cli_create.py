"""create: an option for every field, and the secret that is shown once."""

import json
import time
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from scenarios.ctl import Ctl

from agpd.cli.create import SAYS, create, thumbprint
from agpd.cli.kinds import KINDS


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.changes], ids=lambda kind: kind.name)
def test_every_field_has_an_option_with_help(kind: object) -> None:
    params = {param.name: param for param in create.commands[kind.name].params}  # type: ignore[attr-defined]
    for field in msgspec.structs.fields(kind.resource):  # type: ignore[attr-defined]
        if field.name not in (*kind.names, *kind.given):  # type: ignore[attr-defined]
            assert field.name in SAYS
            assert params[field.name].help  # type: ignore[attr-defined]


def test_each_kind(ctl: Ctl) -> None:
    ctl("create", "tenant", "made", "--title", "Made", "--quota", "agents=5", "--quota", "connections=2")
    assert ctl.json("get", "tenant", "made")["quotas"]["agents"] == 5
    own = ["-t", "made"]
    assert ctl("create", "namespace", "space", *own) == "namespace made/space created\n"
    ctl("create", "type", "made/space/bot", "--capability", "a", "--capability", "b", "--label", "x=y=z")
    assert ctl.json("get", "type", "made/space/bot")["labels"] == {"x": "y=z"}
    ctl("create", "agent", "made/space/bot/one", "--description", "d", "--public-key", "sign=QUJD")
    ctl(
        "create",
        "grant",
        "--subject",
        "made/*",
        "--verb",
        "publish",
        "--object",
        "acme/*",
        "--effect",
        "deny",
        *own,
    )
    ctl("create", "route", "made.r1", "--pattern", "made/space/x", "--via", "made/space/bot", *own)
    ctl(
        *(
            "create",
            "issuer",
            "made.kc",
            "--issuer",
            "https://kc.example/r",
            "--jwks-uri",
            "https://kc.example/k",
        ),
        *("--audience", "agpd", "--subject", "made/space/{azp}", "--scopes-claim", "scope", *own),
    )
    made = {kind: ctl("get", kind, "-o", "name", *own) for kind in ("agents", "grants", "routes", "issuers")}
    assert "agent/made/space/bot/one" in made["agents"].splitlines()
    assert made["grants"].startswith("grant/g-")
    assert made["routes"] == "route/made.r1\n"
    assert ctl.json("get", "issuer", "made.kc", *own)["scopes"] == "scope"


def test_the_tenant_follows_from_an_id(ctl: Ctl) -> None:
    ctl("create", "tenant", "follows")
    ctl("create", "client", "follows.bot", "--agent", "follows/*")
    assert ctl.json("get", "client", "follows.bot")["tenant"] == "follows"
    said = ctl.fails("create", "client", "follows.other", "--agent", "acme/*", "--tenant", "acme")
    assert "write acme.<label>" in said
    ctl("delete", "client", "follows.bot")


def test_the_secret_is_printed_once_and_alone(ctl: Ctl) -> None:
    made = ctl.run("create", "client", "acme.create-bot", "--agent", "acme/demo/bot")
    assert made.stdout.startswith("agps_")
    assert len(made.stdout.splitlines()) == 1
    assert made.stderr == "client acme.create-bot created; its secret, which is shown only now:\n"
    assert made.stdout.strip() not in ctl("get", "client", "acme.create-bot", "-o", "json")
    assert "ALREADY_EXISTS" in ctl.fails("create", "client", "acme.create-bot", "--agent", "acme/demo/bot")


def test_no_secret_where_none_is_needed(ctl: Ctl) -> None:
    said = ctl("create", "client", "acme.create-no", "--agent", "acme/demo/bot", "--no-secret")
    assert said == "client acme.create-no created\n"
    assert ctl.json("get", "client", "acme.create-no")["secrets"] == []
    shown = ctl.json("create", "client", "acme.create-json", "--agent", "acme/demo/bot")
    assert shown["secrets"][0]["secret"].startswith("agps_")


def test_a_dry_run_makes_nothing(ctl: Ctl) -> None:
    said = ctl("create", "client", "acme.create-dry", "--agent", "acme/demo/bot", "--dry-run")
    assert said == "client acme.create-dry created (dry run)\n"
    assert "NOT_FOUND" in ctl.fails("get", "client", "acme.create-dry")


def test_what_files_hold(ctl: Ctl, tmp_path: Path) -> None:
    key = tmp_path / "rsa.key"
    made = rsa.generate_private_key(65537, 2048)
    key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    start = ["create", "client", "acme.create-file", "--agent", "acme/demo/bot"]
    assert "it holds no Ed25519 or P-256 key" in ctl.fails(*start, "--jwks", str(key))
    (tmp_path / "card").write_text("{")
    assert "cannot be used for --card" in ctl.fails(
        "create", "agent", "acme/demo/b/c", "--card", str(tmp_path / "card")
    )
    (tmp_path / "card").write_text(json.dumps({"name": "Bob"}))
    ctl("create", "type", "acme/demo/carded")
    ctl("create", "agent", "acme/demo/carded/c", "--card", str(tmp_path / "card"))
    assert ctl.json("get", "agent", "acme/demo/carded/c")["card"] == {"name": "Bob"}


def test_thumbprints(running: Ctl, tmp_path: Path) -> None:
    from agpd.transport.identity import Profile, principal_of
    from agpd.transport.pem import load_certificate

    certificate = running.state / "agent.pem"
    der = load_certificate(certificate).public_bytes(Encoding.DER)
    principal = principal_of(
        der,
        Profile(time.time, accept_any_name=True),
    )
    assert thumbprint(str(certificate)) == principal.thumbprint
    assert thumbprint("x" * 43) == "x" * 43


def test_errors(ctl: Ctl) -> None:
    assert "--quota: invalid literal" in ctl.fails("create", "tenant", "x", "--quota", "agents=many")
    assert "Object contains unknown field `cats`" in ctl.fails("create", "tenant", "x", "--quota", "cats=1")
    assert "write org/namespace/type" in ctl.fails("create", "type", "acme/x")
    assert "Missing option '--agent'" in ctl.fails("create", "client", "x")
