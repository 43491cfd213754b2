"""How every answer looks, and health."""

import logging
from collections.abc import AsyncIterator

import httpx2
import pytest
from scenarios.control_world import ControlWorld

from agpd.api.http import HEADERS


@pytest.fixture
async def client(world: ControlWorld) -> AsyncIterator[httpx2.AsyncClient]:
    async with world.http(world.issue("*")) as client:
        yield client


async def test_every_answer_has_the_headers_errors_too(client: httpx2.AsyncClient) -> None:
    for path in ("/livez", "/v1/tenants", "/nowhere", "/v1/tenants/nobody"):
        headers = (await client.get(path)).headers
        assert HEADERS.items() <= dict(headers).items()
        assert headers["date"].endswith("GMT")
        assert "server" not in headers
        assert not [name for name in headers if name.startswith("access-control") or name == "set-cookie"]


async def test_what_may_be_kept_says_so_itself(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/t/acme/.well-known/jwks.json")
    assert answer.headers["cache-control"].startswith("public, max-age=")


async def test_an_unknown_path_and_an_unknown_method_have_the_common_form(client: httpx2.AsyncClient) -> None:
    for path in ("/", "/v1", "/v1/tenants/", "/v1/../v1/x", "/v1/tenants/a/b"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["name"]) == (404, "NOT_FOUND")
    answer = await client.patch("/v1/tenants/acme")
    assert (answer.status_code, answer.json()["name"]) == (405, "INVALID_REQUEST")
    assert {"GET", "PUT", "DELETE"} <= set(answer.headers["allow"].split(", "))


async def test_head_is_get_without_a_body(client: httpx2.AsyncClient) -> None:
    answer = await client.head("/v1/tenants/acme")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_refusal_says_what_the_status_demands(world: ControlWorld) -> None:
    async with world.http() as nobody:
        answer = await nobody.get("/v1/whoami")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="agpd"')
        for _ in range(50):
            answer = await nobody.get("/v1/whoami")
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1


async def test_it_is_ready_until_it_drains_and_alive_for_longer(
    world: ControlWorld, client: httpx2.AsyncClient
) -> None:
    assert (await client.get("/readyz")).status_code == 200
    assert world.gateway.plane is not None
    world.gateway.plane.drain()
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
    assert (await client.get("/livez")).status_code == 200


async def test_a_fault_of_ours_is_told_in_the_common_form_and_logged(
    world: ControlWorld,
    client: httpx2.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(world.control.tenants, "get", broken)
    with caplog.at_level(logging.ERROR):
        answer = await client.get("/v1/tenants/acme")
    assert (answer.status_code, answer.json()["name"]) == (500, "INTERNAL")
    assert "secret detail" not in answer.text
    assert "ZeroDivisionError" in caplog.text
