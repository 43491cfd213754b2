"""Tokens for programs: printed, narrowed, looked into, revoked."""

from pathlib import Path

import httpx2
import pytest
from scenarios.ctl import Ctl

from agpd.cli.lazy import Failure
from agpd.cli.rest import trust
from agpd.cli.tokens import claims


def whoami(ctl: Ctl, token: str) -> int:
    """What the gateway answers to whoever shows this token."""
    tls = trust(ctl.contexts.load("acme"))
    return httpx2.get(
        f"{ctl.server}/v1/whoami", headers={"Authorization": f"Bearer {token}"}, verify=tls
    ).status_code


def test_one_that_works_is_printed(admin: Ctl) -> None:
    token = admin("token").strip()
    assert whoami(admin, token) == 200
    assert whoami(admin, token[:-2]) == 401
    assert admin("token").strip() == token  # it is kept


def test_a_narrow_one_is_not_kept(admin: Ctl) -> None:
    whole = admin("token")
    narrow = admin("token", "--scope", "agp:publish:acme/demo/*")
    assert claims(narrow)["scope"] == "agp:publish:acme/demo/*"
    assert admin("token") == whole
    assert "invalid_scope" in admin.fails("token", "--scope", "agp:publish:acme/demo/* what")


def test_what_is_in_it(admin: Ctl) -> None:
    shown = admin("token", "--inspect")
    assert "client_id:  acme.admin" in shown.splitlines()
    assert "eyJ" not in shown
    with pytest.raises(Failure, match="this is no JWT"):
        claims("abc")


def test_revoked_tokens_are_forgotten_and_worth_nothing(admin: Ctl) -> None:
    token, refresh = admin("token").strip(), admin.contexts.load("acme").refresh_token
    assert "are revoked and forgotten" in admin("token", "revoke")
    assert whoami(admin, token) == 401
    assert admin.contexts.load("acme").refresh_token == ""
    assert not admin.contexts.cache("acme").exists()
    assert "not logged in: agpctl login" in admin.fails("whoami")
    tls = trust(admin.contexts.load("acme"))
    form = {"grant_type": "refresh_token", "client_id": "acme.admin", "refresh_token": refresh}
    answer = httpx2.post(f"{admin.server}/t/acme/oauth2/token", data=form, verify=tls)
    assert answer.json()["error"] == "invalid_grant"


def test_a_token_of_standard_input_is_revoked(admin: Ctl) -> None:
    narrow = admin("token", "--scope", "agp:publish:acme/demo/*").strip()
    assert whoami(admin, narrow) == 200
    assert admin("token", "revoke", "--stdin", stdin=narrow) == "revoked\n"
    assert whoami(admin, narrow) == 401
    assert whoami(admin, admin("token").strip()) == 200


def test_a_context_without_a_client_has_none(ctl: Ctl, tmp_path: Path) -> None:
    assert "has no client: agpctl login" in ctl.fails("token")
