"""The control plane opens, listens, says where, and closes; what is missing is said."""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from scenarios.control_world import control_world

import agpd_client
from agpd import plane
from agpd.app import Gateway
from agpd.config import Config, ConfigError, Control, Listen
from agpd.errors import Code, Refused
from agpd.plane import url_of


def config(directory: Path, **listen: str) -> Config:
    addresses = {"native": "127.0.0.1:0", "http": "127.0.0.1:0", "grpc": "127.0.0.1:0"} | listen
    return Config(
        listen=Listen(plaintext=True, **addresses),
        control=Control(enabled=True, state_directory=str(directory)),
    )


async def test_it_listens_where_it_is_told_and_nowhere_after_the_end(tmp_path: Path) -> None:
    async with control_world(tmp_path, plaintext=True) as world:
        async with world.http() as client:
            assert (await client.get("/livez")).status_code == 200
        url = world.url
    async with httpx2.AsyncClient() as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"{url}/livez")


async def test_it_says_that_it_ends_while_connections_still_leave(tmp_path: Path) -> None:
    async with control_world(tmp_path, plaintext=True) as world, world.http() as client:
        assert (await client.get("/readyz")).status_code == 200
        async with agpd_client.connect(f"agp+tcp://127.0.0.1:{world.gateway.address[1]}") as peer:
            agent = await peer.create_agent("acme/dev/worker")
            async with agent:
                stopping = asyncio.create_task(world.gateway.stop(drain_s=10))
                await asyncio.sleep(0)
                assert (await client.get("/readyz")).json() == {"status": "draining"}
                assert (await client.get("/livez")).status_code == 200
        await asyncio.wait_for(stopping, 20)
        assert world.gateway.plane is None


async def test_either_listener_may_be_left_out(tmp_path: Path) -> None:
    for place, (listen, there, gone) in enumerate(
        (({"http": ""}, "grpc", "http"), ({"grpc": ""}, "http", "grpc"))
    ):
        async with Gateway(config(tmp_path / str(place), **listen)) as gateway:
            await gateway.open()
            gateway.start()
            where = {"http": gateway.plane.http, "grpc": gateway.grpc and gateway.grpc.address}
            assert where[there] is not None
            assert where[gone] is None


@pytest.mark.parametrize("name", ["http", "grpc"])
async def test_an_address_in_use_is_named_and_nothing_stays_open(tmp_path: Path, name: str) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with Gateway(config(tmp_path, **{name: f"127.0.0.1:{port}"})) as gateway:
            with pytest.raises(ConfigError, match=str(port)):
                await begin(gateway)
        assert gateway.plane is None
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def begin(gateway: Gateway) -> None:
    await gateway.open()
    gateway.start()


async def test_tokens_name_the_address_that_it_listens_at_unless_told_otherwise(tmp_path: Path) -> None:
    async with control_world(tmp_path / "a") as world:
        assert world.control.public_url == world.url
    async with control_world(tmp_path / "b", public_url="https://gateway.example") as world:
        assert world.control.public_url == "https://gateway.example"
        async with world.http() as client:
            said = (await client.get("/t/acme/.well-known/oauth-authorization-server")).json()
        assert said["issuer"] == "https://gateway.example/t/acme"


async def test_rounds_go_on_after_a_fault_and_while_the_database_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(plane, "TICK_S", 0.01)
    errors: list[Exception] = [Refused(Code.UNAVAILABLE, "away"), ZeroDivisionError("fault")]
    again = asyncio.Event()

    class Service:
        async def tick(self, now: float) -> None:
            if errors:
                raise errors.pop(0)
            again.set()

    async with control_world(tmp_path, plaintext=True) as world:
        world.control.timed.insert(0, Service())
        await asyncio.wait_for(again.wait(), 10)
    assert "could not do its rounds" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("host", "tls", "url"),
    [
        ("127.0.0.1", True, "https://127.0.0.1:7"),
        ("::1", False, "http://[::1]:7"),
    ],
)
def test_urls(host: str, tls: bool, url: str) -> None:
    assert url_of(host, 7, tls=tls) == url
    assert "0.0.0.0" not in url_of("0.0.0.0", 7, tls=tls)


@pytest.mark.parametrize("missing", ["sqlalchemy", "starlette", "h2", "uvicorn"])
def test_a_missing_package_is_named_with_the_way_out(tmp_path: Path, missing: str) -> None:
    program = f"""
import asyncio, sys
sys.modules[{missing!r}] = None
from agpd.app import Gateway
from agpd.config import Config, Control, Listen
async def main():
    listen = Listen(native="127.0.0.1:0", plaintext=True)
    async with Gateway(Config(listen=listen, control=Control(enabled=True, state_directory={str(tmp_path)!r}))) as it:
        await it.open()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"ConfigError: control.enabled needs the package {missing}" in done.stderr
    assert "pip install 'agpd[server]'" in done.stderr


def test_a_gateway_without_control_plane_imports_nothing_of_it() -> None:
    program = """
import sys
import agpd.app
heavy = {"sqlalchemy", "starlette", "uvicorn", "h2", "grpc", "joserfc", "argon2", "httpx2", "google.protobuf"}
print(sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
