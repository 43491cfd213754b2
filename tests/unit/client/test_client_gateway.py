"""`connect` and its options, and the opening of a gateway object."""

import asyncio

import pytest
from scripted_peer import peers, standing

import agpd_client as agp
from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.frames import Kind, Refusal, encode

ME, READER, CHAT = "acme/prod/me", "acme/prod/reader", "acme/prod/chat"


def test_the_url_comes_from_the_environment_if_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGP_URL", "agp://gw.example:9")
    assert agp.connect()._uplink.dialer.carrier.address == ("tls", "gw.example", 9)
    assert agp.connect("local://x")._uplink.dialer.carrier.address.host == "x"
    monkeypatch.delenv("AGP_URL")
    assert agp.connect()._uplink.dialer.carrier.address == ("tls", "127.0.0.1", 7420)
    with pytest.raises(ValueError, match="gateway URL"):
        agp.connect("gw.example:9")
    with pytest.raises(agp.InvalidName):
        agp.connect(agent="me")


async def test_the_name_is_told_to_the_gateway() -> None:
    async with peers() as all_:
        gateway = all_.connect(name="editor" * 100)
        opening = asyncio.create_task(gateway.open())
        peer = await all_.accept()
        hello = await peer.welcome()
        assert hello.client.startswith("agpd-python/")
        assert "editor" in hello.client
        assert len(hello.client) == 255
        await opening
        peer.writer.close()
        await gateway.close()


async def test_a_default_agent_that_is_refused_ends_the_opening() -> None:
    async with peers() as all_:
        gateway = all_.connect(agent="globex/prod/me")
        opening = asyncio.create_task(gateway.open())
        peer = await all_.accept()
        await peer.welcome()
        frame = await peer.read(Kind.REGISTER)
        peer.write(encode(Kind.REFUSED, Refusal(int(Code.NOT_PERMITTED)), id=frame.id))
        assert frames.decode((await peer.read(Kind.CLOSE)).body, Refusal).code == Code.GOODBYE
        peer.writer.close()
        with pytest.raises(agp.NotPermitted):
            await opening
        assert gateway.state is agp.State.CLOSED


async def test_a_certificate_for_one_type_names_the_default_agent() -> None:
    async with standing() as (gateway, _, peer, _):
        gateway._uplink.may_speak_as = "acme/prod/editor"
        making = asyncio.create_task(gateway.default_agent())
        name = await peer.register(12)
        assert name.startswith("acme/prod/editor/")
        assert (await making).name == name
        assert gateway.error is None


def test_run_uses_uvloop() -> None:
    async def which() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert agp.run(which()).startswith("uvloop")
