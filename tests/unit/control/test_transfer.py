"""What is exported from one database is what another has after the import, or nothing of it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from agpd.config import Control as Settings
from agpd.control.audit import verify
from agpd.control.caller import Caller
from agpd.control.model import revocation
from agpd.control.resources import (
    Agent,
    AgentType,
    Client,
    Grant,
    Issuer,
    Namespace,
    Query,
    Quotas,
    Route,
    Tenant,
)
from agpd.control.sealing import KEY_BYTES
from agpd.control.service import Control
from agpd.errors import Code, Refused

AdminOf = Callable[[str], Caller]
KINDS = ["tenants", "namespaces", "types", "clients", "agents", "grants", "routes", "issuers"]


async def open_control(url: str, state: Path, clock: Any, *, key: bytes = bytes(KEY_BYTES)) -> Control:
    """On a fresh database; two pages of everything."""
    state.mkdir()
    (state / "control.key").write_bytes(key)
    (state / "control.key").chmod(0o600)
    settings = Settings(enabled=True, database=url, state_directory=str(state), page_limit=2)
    return await Control.open(settings, clock)


@pytest.fixture
async def sqlite_control(sqlite_database: str, tmp_path: Path, clock: Any) -> AsyncIterator[Control]:
    control = await open_control(sqlite_database, tmp_path / "sqlite", clock)
    yield control
    await control.close()


@pytest.fixture
async def postgres_control(postgres_database: str, tmp_path: Path, clock: Any) -> AsyncIterator[Control]:
    control = await open_control(postgres_database, tmp_path / "postgres", clock)
    yield control
    await control.close()


@pytest.fixture(params=["sqlite to postgresql", "postgresql to sqlite"])
def controls(
    request: pytest.FixtureRequest, sqlite_control: Control, postgres_control: Control
) -> tuple[Control, Control]:
    """Where the export comes from, and where it goes to."""
    pair = (sqlite_control, postgres_control)
    return pair if request.param == "sqlite to postgresql" else pair[::-1]


async def fill(control: Control, operator: Caller, admin_of: AdminOf) -> None:
    """Two tenants with three of each kind."""
    for tenant in ("acme", "globex"):
        admin = admin_of(tenant)
        await control.tenants.put(operator, Tenant(name=tenant, title="Ä", quotas=Quotas(agents=7)))
        for number in range(3):
            await control.namespaces.put(admin, Namespace(name=f"{tenant}/n{number}", title="N"))
            type_name = f"{tenant}/n0/t{number}"
            await control.types.put(
                admin,
                AgentType(name=type_name, labels={"a": "b"}, capabilities=["c"], callers=[f"{tenant}/*"]),
            )
            await control.registry.register(
                admin,
                Agent(
                    type=type_name, identity="one", description="D", card={"x": [1, None]}, labels={"k": "v"}
                ),
            )
            await control.clients.put(
                admin,
                Client(id=f"{tenant}.c{number}", tenant=tenant, agent=type_name, scopes=["agp:publish:*"]),
            )
            await control.grants.put(
                admin,
                Grant(tenant=tenant, subject="acme/n0/t0", verb="publish", object=f"globex/n0/t{number}"),
            )
            await control.routes.put(
                admin, Route(tenant=tenant, pattern=f"{tenant}/n{number}/*", via=type_name)
            )
        await control.issuers.put(
            admin,
            Issuer(
                tenant=tenant,
                issuer="https://login.example",
                jwks_uri="https://127.0.0.1:1/jwks",
                audience=f"{control.public_url}/t/{tenant}",
                subject=f"{tenant}/n0/{{azp}}",
            ),
        )


def lasting(document: dict[str, Any]) -> dict[str, Any]:
    """Without what is set anew by the import: times; sorted."""

    def without_times(item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        return {name: value for name, value in item.items() if name not in ("created", "updated")}

    return {kind: sorted(map(without_times, items), key=str) for kind, items in document.items()}


def hashed(text: str) -> dict[str, Any]:
    return {"id": "s", "client": "acme.c0", "hash": text, "created": 0, "expires": 0}


async def test_everything_arrives_in_another_database(
    controls: tuple[Control, Control], operator: Caller, admin_of: AdminOf
) -> None:
    source, target = controls
    await fill(source, operator, admin_of)
    document = await source.transfer.export(operator)
    assert list(document) == KINDS
    assert await target.transfer.load(operator, document) == {
        "tenants": 2, "namespaces": 6, "types": 6, "clients": 6, "agents": 6, "grants": 6, "routes": 6, "issuers": 2,
    }  # fmt: skip
    assert lasting(await target.transfer.export(operator)) == lasting(document)
    assert (await verify(target.store)).intact
    found = await target.discovery.find(admin_of("acme"), Query(organization="acme", labels={"a": "b"}))
    assert len(found.items) == 2


async def test_an_import_that_changes_nothing_leaves_no_trace(
    sqlite_control: Control, operator: Caller, admin_of: AdminOf
) -> None:
    await fill(sqlite_control, operator, admin_of)
    before = await verify(sqlite_control.store)
    await sqlite_control.transfer.load(operator, await sqlite_control.transfer.export(operator))
    assert await verify(sqlite_control.store) == before


async def test_of_an_import_that_fails_nothing_is_done(
    controls: tuple[Control, Control], operator: Caller, admin_of: AdminOf
) -> None:
    source, target = controls
    await fill(source, operator, admin_of)
    document = await source.transfer.export(operator)
    document["routes"].append({"tenant": "nobody", "pattern": "nobody/*", "via": "nobody/a/b"})
    with pytest.raises(Refused) as caught:
        await target.transfer.load(operator, document)
    assert caught.value.code is Code.NOT_FOUND
    assert (await target.tenants.list(operator)).items == []
    assert (await verify(target.store)).sequence == 0


async def test_secrets_keys_and_revocations_move_with_the_key(
    controls: tuple[Control, Control], operator: Caller, admin_of: AdminOf
) -> None:
    source, target = controls
    await fill(source, operator, admin_of)
    admin = admin_of("acme")
    made = await source.clients.add_secret(admin, "acme.c0")
    gone = await source.clients.add_secret(admin, "acme.c1")
    await source.clients.revoke_secret(admin, "acme.c1", gone.id)
    await source.keys.rotate(admin, "acme")
    document = await source.transfer.export(operator, secrets=True)
    assert made.secret not in str(document)
    assert [item["id"] for item in document["secrets"]] == [made.id]
    assert document["keys"]
    assert document["revocations"]
    await target.transfer.load(operator, document)
    assert lasting(await target.transfer.export(operator, secrets=True)) == lasting(document)
    (secret,) = (await target.clients.get(admin, "acme.c0")).secrets
    assert (secret.id, secret.secret) == (made.id, "")
    await target.transfer.load(operator, document)  # again: they are there


async def test_an_older_revocation_does_not_weaken_a_newer_one(
    sqlite_control: Control, operator: Caller
) -> None:
    async def load(before: float) -> list[float]:
        one = ["client", "acme.c0", before, 2e9]
        await sqlite_control.transfer.load(operator, {"revocations": [one]})
        read = select(revocation.c.before)
        return list(await sqlite_control.store.read(lambda connection: connection.scalars(read).all()))

    assert [await load(before) for before in (300.0, 200.0, 400.0)] == [[300.0], [300.0], [400.0]]


async def test_keys_that_are_sealed_with_another_key_are_refused(
    sqlite_control: Control, operator: Caller, admin_of: AdminOf, tmp_path: Path, clock: Any
) -> None:
    await fill(sqlite_control, operator, admin_of)
    await sqlite_control.keys.rotate(operator, "acme")
    document = await sqlite_control.transfer.export(operator, secrets=True)
    other = await open_control(
        f"sqlite:///{tmp_path / 'other.db'}", tmp_path / "other", clock, key=b"x" * KEY_BYTES
    )
    with pytest.raises(Refused, match=r"another control\.key"):
        await other.transfer.load(operator, document)
    await other.close()


async def test_without_being_asked_for_no_secret_is_exported(
    sqlite_control: Control, operator: Caller, admin_of: AdminOf
) -> None:
    await fill(sqlite_control, operator, admin_of)
    await sqlite_control.clients.add_secret(operator, "acme.c0")
    await sqlite_control.keys.rotate(operator, "acme")
    shown = str(await sqlite_control.transfer.export(operator))
    assert "argon2" not in shown
    assert "private" not in shown


async def test_administrators_export_and_import_their_own_tenant_alone(
    sqlite_control: Control, operator: Caller, admin_of: AdminOf
) -> None:
    await fill(sqlite_control, operator, admin_of)
    transfer, admin = sqlite_control.transfer, admin_of("acme")
    document = await transfer.export(admin)
    assert [item["name"] for item in document["tenants"]] == ["acme"]
    assert "globex-" not in str(document)
    assert await transfer.load(admin, document)
    for tenant in ("globex", "nobody"):
        with pytest.raises(Refused) as caught:
            await transfer.export(admin, tenant)
        assert caught.value.code is Code.NOT_FOUND
    with pytest.raises(Refused) as caught:
        await transfer.load(admin, await transfer.export(operator, "globex"))
    assert caught.value.code is Code.NOT_FOUND


async def test_secrets_are_for_operators(
    sqlite_control: Control, operator: Caller, admin_of: AdminOf, agent_of: Callable[[str], Caller]
) -> None:
    await fill(sqlite_control, operator, admin_of)
    transfer, admin = sqlite_control.transfer, admin_of("acme")
    secret = {
        "id": "s",
        "client": "acme.c0",
        "hash": "$argon2id$v=19$m=19456,t=2,p=1$aa$bb",
        "created": 0,
        "expires": 0,
    }
    for call in (
        transfer.export(admin, secrets=True),
        transfer.load(admin, {"secrets": [secret]}),
        transfer.export(agent_of("acme/n0/t0")),
    ):
        with pytest.raises(Refused) as caught:
            await call
        assert caught.value.code is Code.NOT_PERMITTED
    assert await transfer.load(operator, {"secrets": [secret]}) == {"secrets": 1}


@pytest.mark.parametrize(
    "document",
    [
        {"tenant": []},
        {"tenants": [{"title": "no name"}]},
        {"agents": {}},
        {
            "secrets": [
                {
                    "id": "s",
                    "client": "c",
                    "hash": "$argon2id$v=19$m=4194304,t=9,p=9$aa$bb",
                    "created": 0,
                    "expires": 0,
                }
            ]
        },
    ],
)
async def test_what_is_no_export_is_refused(
    sqlite_control: Control, operator: Caller, document: dict[str, Any]
) -> None:
    with pytest.raises(Refused) as caught:
        await sqlite_control.transfer.load(operator, document)
    assert caught.value.code is Code.INVALID_REQUEST
