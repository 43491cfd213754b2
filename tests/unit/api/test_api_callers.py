"""Who a certificate, a token, or both stand for; and how often they may come."""

import ssl
from typing import Any

import pytest
from scenarios.control_world import ControlWorld

from agpd.api.callers import LOOK_S, Callers
from agpd.control.caller import Role
from agpd.errors import AgpdError, Code
from agpd.gateway.rates import TooMany
from agpd.names import parse
from agpd.transport.pki import Pair

ADDRESS = "192.0.2.1"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())


@pytest.fixture
def callers(world: ControlWorld) -> Callers:
    return Callers(world.control, world.gateway._identify, Clock())


def code(callers: Callers, *shown: Any, address: str = ADDRESS) -> Code:
    with pytest.raises(AgpdError) as caught:
        callers.authenticate(*shown, address)
    return caught.value.code


def test_a_certificate_alone_is_an_agent(world: ControlWorld, callers: Callers) -> None:
    for pattern in ("acme/prod/writer", "acme/*"):
        caller = callers.authenticate(der(world.issue(pattern)), None, ADDRESS).caller
        assert (caller.organization, caller.role, str(caller.pattern)) == ("acme", Role.AGENT, pattern)
        assert caller.label == f"agp://{pattern}"


def test_a_certificate_for_every_name_is_an_operator(world: ControlWorld, callers: Callers) -> None:
    caller = callers.authenticate(der(world.issue("*")), None, ADDRESS).caller
    assert (caller.organization, caller.role) == ("agpd", Role.OPERATOR)


async def test_the_scope_of_a_token_makes_an_administrator(world: ControlWorld, callers: Callers) -> None:
    await world.tenant("agpd")
    shown = await world.client("acme.boss", "acme", "acme/*", admin=True)
    operator = await world.client("agpd.boss", "agpd", "agpd/*", admin=True)
    for tenant, who, scope, role in (
        ("acme", shown, "agp:admin", Role.ADMIN),
        ("acme", shown, "", Role.AGENT),
        ("agpd", operator, "agp:admin", Role.OPERATOR),
        ("agpd", operator, "", Role.AGENT),
    ):
        token = await world.token(tenant, who, scope)
        caller = callers.authenticate(None, f"Bearer {token}", ADDRESS).caller
        assert (caller.organization, caller.role, caller.client) == (tenant, role, who.client_id)


async def test_the_scopes_of_a_token_narrow_what_may_be_registered(
    world: ControlWorld, callers: Callers
) -> None:
    shown = await world.client("acme.bot", "acme", "acme/*")
    token = await world.token("acme", shown, "agp:register:acme/prod/*")
    caller = callers.authenticate(None, f"Bearer {token}", ADDRESS).caller
    assert caller.may_speak_as(parse("acme/prod/writer/1"))
    assert not caller.may_speak_as(parse("acme/test/writer/1"))
    whole = await world.token("acme", shown)
    assert callers.authenticate(None, f"bearer {whole}", ADDRESS).caller.may_speak_as(parse("acme/test/x/1"))


async def test_token_and_certificate_must_be_of_one_organization(
    world: ControlWorld, callers: Callers
) -> None:
    token = await world.token("acme", await world.client("acme.bot", "acme", "acme/*"))
    own, foreign = der(world.issue("acme/prod/*")), der(world.issue("globex/*"))
    assert callers.authenticate(own, f"Bearer {token}", ADDRESS).caller.client == "acme.bot"
    assert callers.authenticate(der(world.issue("*")), f"Bearer {token}", ADDRESS).caller.role is Role.AGENT
    assert code(callers, foreign, f"Bearer {token}") is Code.INVALID_TOKEN


async def test_a_bound_token_needs_its_certificate(world: ControlWorld, callers: Callers) -> None:
    pair = world.issue("acme/*")
    token = await world.bound_token("acme", await world.client("acme.bot", "acme", "acme/*"), pair)
    assert callers.authenticate(der(pair), f"Bearer {token}", ADDRESS).caller.client == "acme.bot"
    assert code(callers, der(world.issue("acme/*")), f"Bearer {token}") is Code.INVALID_TOKEN
    assert code(callers, None, f"Bearer {token}") is Code.INVALID_TOKEN


def test_without_credentials_nobody_is_let_in(world: ControlWorld, callers: Callers) -> None:
    assert code(callers, None, None) is Code.INVALID_TOKEN
    for header in ("", "Bearer", "Bearer ", "Basic YTpi", "Bearer nonsense", "nonsense"):
        assert code(callers, None, header) is Code.INVALID_TOKEN
    assert code(callers, b"no certificate", None) is Code.UNAUTHENTICATED


async def test_a_suspended_tenant_is_refused(world: ControlWorld, callers: Callers) -> None:
    pair = der(world.issue("acme/*"))
    callers.authenticate(pair, None, ADDRESS)
    await world.tenant("acme", suspended=True)
    await world.control.policies.settled()
    assert code(callers, pair, None) is Code.TENANT_SUSPENDED
    callers.authenticate(der(world.issue("globex/*")), None, ADDRESS)


def test_too_many_failures_of_an_address_end_its_attempts_and_only_its(
    world: ControlWorld, callers: Callers
) -> None:
    good = der(world.issue("acme/*"))
    codes = [code(callers, None, "Bearer x") for _ in range(50)]
    assert codes == [Code.INVALID_TOKEN] * 40 + [Code.TOO_MANY_REQUESTS] * 10
    assert code(callers, good, None) is Code.TOO_MANY_REQUESTS
    callers.authenticate(good, None, "192.0.2.2")


def test_a_caller_that_asks_too_often_has_to_wait(world: ControlWorld) -> None:
    clock = Clock()
    callers = Callers(world.control, world.gateway._identify, clock)
    one, other = der(world.issue("acme/a/*")), der(world.issue("acme/b/*"))
    for _ in range(4000):
        callers.authenticate(one, None, ADDRESS)
    with pytest.raises(TooMany) as caught:
        callers.authenticate(one, None, ADDRESS)
    callers.authenticate(other, None, ADDRESS)
    clock.now += caught.value.wait_s
    callers.authenticate(one, None, ADDRESS)


async def test_a_session_is_good_until_its_token_ends_or_is_revoked(
    world: ControlWorld, callers: Callers
) -> None:
    shown = await world.client("acme.bot", "acme", "acme/*")
    session = callers.authenticate(None, f"Bearer {await world.token('acme', shown)}", ADDRESS)
    assert session.token is not None
    assert callers.still_good(session, session.token.expires - 1)
    assert not callers.still_good(session, session.token.expires)
    await world.control.tokens.revoke("acme", await world.token("acme", shown), shown)
    assert callers.still_good(session, 0)  # control: that was another token
    by_certificate = callers.authenticate(der(world.issue("acme/*")), None, ADDRESS)
    assert callers.still_good(by_certificate, float("inf"))


async def test_a_session_ends_when_its_tenant_is_suspended(world: ControlWorld, callers: Callers) -> None:
    token = await world.token("acme", await world.client("acme.bot", "acme", "acme/*"))
    sessions = [
        callers.authenticate(None, f"Bearer {token}", ADDRESS),
        callers.authenticate(der(world.issue("acme/*")), None, ADDRESS),
    ]
    operator = callers.authenticate(der(world.issue("*")), None, ADDRESS)
    assert all(callers.still_good(session, 0) for session in sessions)  # control
    await world.tenant("acme", suspended=True)
    await world.control.policies.settled()
    assert not any(callers.still_good(session, 0) for session in sessions)
    assert callers.still_good(operator, 0)


async def test_a_session_ends_soon_after_its_certificate_is_revoked(world: ControlWorld) -> None:
    clock = Clock()
    callers = Callers(world.control, world.gateway._identify, clock)
    pair, other = world.issue("acme/*"), world.issue("acme/*")
    token = f"Bearer {await world.token('acme', await world.client('acme.bot', 'acme', 'acme/*'))}"
    ended = [callers.authenticate(der(pair), shown, ADDRESS) for shown in (None, token)]
    stays = callers.authenticate(der(other), None, ADDRESS)
    assert world.authority is not None
    world.authority.revoke(pair.serial, world.gateway._wall_clock())
    world.gateway.reload()
    clock.now += LOOK_S
    assert not any(callers.still_good(session, 0) for session in ended)
    assert callers.still_good(stays, 0)


def test_failed_authentications_are_logged_without_what_was_shown(
    callers: Callers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "agpd.api")
    code(callers, None, "Bearer very.secret.token")
    (record,) = (one for one in caplog.records if one.name == "agpd.api.callers")
    assert record.getMessage() == "authentication failed"
    assert record.fields["address"] == ADDRESS  # type: ignore[attr-defined]
    assert record.fields["code"] is Code.INVALID_TOKEN  # type: ignore[attr-defined]
    assert "secret" not in repr(vars(record))
