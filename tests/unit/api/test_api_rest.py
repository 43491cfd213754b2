"""Requests as they are understood and refused, over HTTPS; and events as they are sent."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from scenarios.control_world import OPERATOR, ControlWorld
from starlette.requests import ClientDisconnect

from agpd.api import rest
from agpd.api.streams import Stream
from agpd.control.resources import Agent, AgentType, Namespace, Query, Tenant

NAUGHTY = (
    "", " ", "null", "NULL", "undefined", "true", "0", "-1", "1/0", "0x0", "NaN", "Infinity", "1e400",
    "' OR 1=1 --", "'; DROP TABLE tenant; --", "\" OR \"\"=\"", "%27", "$(id)", "`id`", "../../etc/passwd",
    "%00", "\u0000", "\r\nset-cookie: a=b", "\x1b[31m", "\u2028", "\u202etest", "\ufeff", "🏳️‍🌈", "Ω≈ç√", "田中さん",
    "ﷺ", "<script>alert(1)</script>", "{{7*7}}", "${jndi:ldap://x}", "a" * 300, "ß", "\t", "%s%n",
)  # fmt: skip


@pytest.fixture
async def operator(world: ControlWorld) -> AsyncIterator[httpx2.AsyncClient]:
    await world.control.namespaces.put(OPERATOR, Namespace(name="acme/prod"))
    await world.control.types.put(OPERATOR, AgentType(name="acme/prod/writer"))
    async with world.http(world.issue("*")) as client:
        yield client


def refusal(response: httpx2.Response, status: int, name: str, words: str = "") -> None:
    assert response.status_code == status, response.text
    said = response.json()
    assert said.keys() == {"code", "name", "message", "remedy"}
    assert said["name"] == name
    assert words in said["message"]


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[]", "Expected `object`"),
        (b'{"name": "initech", "nmae": 1}', "unknown field `nmae`"),
        (b'{"name": "initech", "name": "acme"}', "twice"),
        (b'{"name": 7}', "$.name"),
        (b'{"name": "initech", "quotas": {"agents": -1}}', "$.quotas.agents"),
        (b'{"name": "initech", "title": "a\\u0000b"}', "NUL"),
        (b'{"name": "initech", "title": "\\ud800"}', "surrogate"),
        (b"[" * 5000, "nested"),
        (b'{"name": NaN}', "NaN"),
        (b"\xff", "UTF-8"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_with_the_place(
    operator: httpx2.AsyncClient, body: bytes, words: str
) -> None:
    refusal(await operator.post("/v1/tenants", content=body, headers=JSON), 400, "INVALID_REQUEST", words)
    good = await operator.post("/v1/tenants", content=b'{"name": "initech"}', headers=JSON)
    assert good.status_code == 201


async def test_only_json_is_taken(operator: httpx2.AsyncClient) -> None:
    body = b'{"name": "initech"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = await operator.post("/v1/tenants", content=body, headers={"content-type": kind})
        refusal(answer, 400, "INVALID_REQUEST", "application/json")
    charset = {"content-type": "application/json; charset=utf-8"}
    assert (await operator.post("/v1/tenants", content=body, headers=charset)).status_code == 201


async def test_a_body_that_is_too_long_is_refused(operator: httpx2.AsyncClient) -> None:
    body = json.dumps({"name": "initech", "title": "a" * 2**20})
    answer = await operator.post("/v1/tenants", content=body, headers=JSON)
    refusal(answer, 400, "INVALID_REQUEST", "longer than 1048576 bytes")


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        (
            "PUT",
            "/v1/tenants/acme",
            {"name": "globex"},
            "name is 'globex' in the body and 'acme' in the path",
        ),
        ("POST", "/v1/tenants/acme/namespaces", {"name": "globex/prod"}, "directly below acme"),
        ("POST", "/v1/tenants/acme/namespaces", {"name": "acme"}, "directly below acme"),
        ("PUT", "/v1/tenants/acme/namespaces/prod", {"name": "acme/test"}, "'acme/prod' in the path"),
        (
            "POST",
            "/v1/tenants/acme/clients",
            {"id": "x", "tenant": "globex", "agent": "globex/*"},
            "'acme' in the path",
        ),
        (
            "PUT",
            "/v1/agents/acme/prod/writer/a",
            {"type": "acme/prod/writer", "identity": "b"},
            "'a' in the path",
        ),
    ],
)
async def test_path_and_body_must_agree(
    operator: httpx2.AsyncClient, method: str, path: str, body: Any, words: str
) -> None:
    refusal(await operator.request(method, path, json=body), 400, "INVALID_REQUEST", words)


async def test_an_id_in_the_path_need_not_be_in_the_body(operator: httpx2.AsyncClient) -> None:
    route = {"tenant": "acme", "pattern": "acme/prod/*", "via": "acme/prod/writer"}
    answer = await operator.put("/v1/tenants/acme/routes/acme.r", json=route)
    assert answer.json()["id"] == "acme.r"


async def test_what_another_tenant_has_is_not_below_this_one(
    world: ControlWorld, operator: httpx2.AsyncClient
) -> None:
    await world.client("globex.bot", "globex", "globex/*")
    assert (await operator.get("/v1/tenants/globex/clients/globex.bot")).status_code == 200
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/secrets"), ("POST", "/secrets")):
        answer = await operator.request(method, f"/v1/tenants/acme/clients/globex.bot{path}")
        refusal(answer, 404, "NOT_FOUND")
    assert (await operator.get("/v1/tenants/globex/clients/globex.bot")).status_code == 200


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("lmit=1", "unknown parameter 'lmit'"),
        ("limit=1&limit=2", "more than once"),
        ("limit=-1", "limit"),
        ("limit=1e3", "limit"),
        ("limit=٣", "limit"),
        ("live=yes", "live"),
        ("label=region", "key=value"),
        ("label=a=1&label=a=2", "each key once"),
        ("text=%00", "NUL"),
        ("after=%ff%fe", ""),
    ],
)
async def test_a_query_that_does_not_fit_is_refused(
    operator: httpx2.AsyncClient, query: str, words: str
) -> None:
    refusal(await operator.get(f"/v1/agents?{query}"), 400, "INVALID_REQUEST", words)


async def test_agents_are_found_by_all_that_is_given(
    world: ControlWorld, operator: httpx2.AsyncClient
) -> None:
    for identity, region in (("one", "eu"), ("two", "us")):
        agent = {"type": "acme/prod/writer", "identity": identity, "labels": {"region": region, "x": "1"}}
        assert (await operator.post("/v1/agents", json=agent)).status_code == 201
    assert (await operator.put("/v1/agents/acme/prod/writer/one/instances/i1")).status_code == 200

    async def found(query: str) -> list[str]:
        return [item["identity"] for item in (await operator.get(f"/v1/agents?{query}")).json()["items"]]

    assert sorted(await found("organization=acme")) == ["one", "two"]
    assert await found("label=region=eu&label=x=1") == ["one"]
    assert await found("live=true") == ["one"]
    assert await found("organization=globex") == []
    page = (await operator.get("/v1/agents?limit=1")).json()
    rest_ = (await operator.get("/v1/agents", params={"limit": 1, "after": page["next"]})).json()
    assert {page["items"][0]["identity"], rest_["items"][0]["identity"]} == {"one", "two"}


async def test_naughty_strings_are_stored_as_they_are_or_refused(operator: httpx2.AsyncClient) -> None:
    for number, text in enumerate(NAUGHTY):
        agent = {"type": "acme/prod/writer", "identity": f"n{number}", "description": text}
        answer = await operator.post("/v1/agents", json=agent)
        assert answer.status_code == (400 if "\0" in text else 201), (text, answer.text)
        if answer.status_code == 201:
            read = await operator.get(f"/v1/agents/acme/prod/writer/n{number}")
            assert read.json()["description"] == text
        for path in (
            "/v1/tenants/{}",
            "/v1/agents?text={}",
            "/v1/tenants/acme/clients/{}",
            "/t/{}/oauth2/token",
        ):
            url = path.format("".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass")))
            answer = await operator.get(url)
            assert answer.status_code in (200, 400, 404, 405), (url, answer.text)


async def test_a_token_is_shown_once(world: ControlWorld, operator: httpx2.AsyncClient) -> None:
    twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")]
    refusal(await operator.get("/v1/whoami", headers=twice), 401, "INVALID_TOKEN", "more than one")


async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def test_changes_are_sent_as_events(world: ControlWorld, operator: httpx2.AsyncClient) -> None:
    async with operator.stream("GET", "/v1/agents/watch?organization=acme") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        assert await anext(lines) == ": watching"
        agent = Agent(type="acme/prod/writer", identity="eu-1")
        await world.control.registry.register(OPERATOR, agent)
        name, said = await anext(events(lines))
    assert (name, said["kind"], said["agent"]["identity"]) == ("registered", "registered", "eu-1")


async def test_a_watch_ends_with_its_token(
    world: ControlWorld, operator: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = await world.client("acme.bot", "acme", "acme/*")
    token = await world.token("acme", shown)
    async with world.http(token=token) as client, client.stream("GET", "/v1/agents/watch") as response:
        lines = response.aiter_lines()
        assert await anext(lines) == ": watching"
        (secret,) = (await world.control.clients.get(OPERATOR, "acme.bot")).secrets
        await world.control.clients.revoke_secret(OPERATOR, "acme.bot", secret.id)
        assert [line async for line in lines] == [""]


async def test_a_watch_ends_when_its_tenant_is_suspended(
    world: ControlWorld, operator: httpx2.AsyncClient
) -> None:
    async with (
        world.http(world.issue("acme/*")) as client,
        client.stream("GET", "/v1/agents/watch") as response,
    ):
        lines = response.aiter_lines()
        assert await anext(lines) == ": watching"
        await world.tenant("acme", suspended=True)
        assert [line async for line in lines] == [""]


async def test_who_asks_for_what_it_may_not_is_logged(
    world: ControlWorld, operator: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "agpd.api")
    async with world.http(world.issue("acme/*")) as client:
        refusal(await client.get("/v1/tenants/globex"), 404, "NOT_FOUND")
        refusal(await client.get("/v1/audit"), 403, "NOT_PERMITTED")
    (record,) = (one for one in caplog.records if one.name == "agpd.api.callers")
    said = record.fields  # type: ignore[attr-defined]
    assert (record.getMessage(), said["caller"]) == ("not permitted", "agp://acme/*")
    assert (said["organization"], said["operation"]) == ("acme", "listAudit")


async def test_a_watch_ends_when_the_gateway_does(world: ControlWorld, operator: httpx2.AsyncClient) -> None:
    async with operator.stream("GET", "/v1/agents/watch") as response:
        lines = response.aiter_lines()
        assert await anext(lines) == ": watching"
        assert world.gateway.plane is not None
        world.gateway.plane.drain()
        assert [line async for line in lines] == [""]


async def test_a_quiet_watch_is_kept_alive(
    operator: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "KEEP_ALIVE_S", 0.5)
    async with operator.stream("GET", "/v1/agents/watch") as response:
        lines = response.aiter_lines()
        assert [await anext(lines), await anext(lines), await anext(lines)] == [
            ": watching",
            "",
            ": still here",
        ]


async def test_who_leaves_a_watch_is_not_watched_for(
    world: ControlWorld, operator: httpx2.AsyncClient
) -> None:
    async with world.http(world.issue("*")) as client, client.stream("GET", "/v1/agents/watch") as response:
        await anext(response.aiter_lines())
        assert len(world.control._feed._watches) == 1
    async with asyncio.timeout(10):
        while world.control._feed._watches:
            await asyncio.sleep(0.01)


async def test_a_watch_that_nobody_reads_any_more_before_it_began_is_left(
    world: ControlWorld, operator: httpx2.AsyncClient
) -> None:
    source = world.control.discovery.watch(OPERATOR, Query())
    stream = await Stream(source, lambda: True).__aenter__()
    del source

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def refuse(message: object) -> None:
        raise ConnectionResetError

    scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
    with pytest.raises((ConnectionResetError, ClientDisconnect)):
        await rest.EventsResponse(stream)(scope, gone, refuse)
    assert stream._next is not None
    assert stream._next.cancelled()


async def test_tenants_come_in_pages(world: ControlWorld, operator: httpx2.AsyncClient) -> None:
    for number in range(5):
        await world.control.tenants.put(OPERATOR, Tenant(name=f"t{number}"))
    found, after = [], ""
    while True:
        page = (await operator.get("/v1/tenants", params={"limit": 2, "after": after})).json()
        found += [item["name"] for item in page["items"]]
        if not (after := page["next"]):
            break
        assert len(page["items"]) == 2
    assert found == sorted({"acme", "globex", *(f"t{number}" for number in range(5))})
