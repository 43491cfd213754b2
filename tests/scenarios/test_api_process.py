"""The control plane of `agpd serve`: where it listens, and how it ends."""

import signal
import ssl
from pathlib import Path

import httpx2
import pytest
from process import World, gateway

LISTEN = {"http": "127.0.0.1:0", "grpc": "127.0.0.1:0"}


def control(directory: Path) -> dict[str, object]:
    return {"enabled": True, "state_directory": str(directory / "state")}


@pytest.mark.parametrize("workers", [1, 2])
def test_it_says_where_it_listens_serves_and_ends_in_order(tmp_path: Path, workers: int) -> None:
    world = World(tmp_path / "pki")
    tls = {"accept_any_name": True}
    listen = LISTEN | {"workers": workers}
    with gateway(tmp_path, world, listen=listen, tls=tls, control=control(tmp_path)) as running:
        said = running.log.wait("listening")
        assert said["grpc"].startswith("127.0.0.1:")
        url = f"https://{said['http']}"
        with httpx2.Client(base_url=url, verify=world.context(world.issue("*", "operator"))) as client:
            assert client.get("/readyz").json() == {"status": "ok"}
            assert client.post("/v1/tenants", json={"name": "acme"}).status_code == 201
        running.stop()
    # What was acknowledged is there after a restart.
    with gateway(tmp_path, world, listen=listen, tls=tls, control=control(tmp_path)) as running:
        url = f"https://{running.log.wait('listening')['http']}"
        with httpx2.Client(base_url=url, verify=world.context(world.issue("*", "again"))) as client:
            assert [one["name"] for one in client.get("/v1/tenants").json()["items"]] == ["acme"]
        running.stop()


def test_a_revoked_certificate_is_refused_after_a_reload(tmp_path: Path) -> None:
    world = World(tmp_path / "pki")
    pair = world.issue("acme/prod/*", "victim")
    with gateway(tmp_path, world, listen=LISTEN, control=control(tmp_path)) as running:
        url = f"https://{running.log.wait('listening')['http']}"
        with httpx2.Client(base_url=url, verify=world.context(pair)) as client:
            assert client.get("/v1/whoami").json()["organization"] == "acme"
            world.authority.revoke(pair.serial, 1.0)
            running.signal(signal.SIGHUP)
            running.log.wait("certificates reloaded")
            assert client.get("/v1/whoami").status_code == 401  # on the connection that stands
        with (
            pytest.raises((httpx2.TransportError, ssl.SSLError)),
            httpx2.Client(base_url=url, verify=world.context(pair)) as client,
        ):
            client.get("/v1/whoami")
        running.stop()
