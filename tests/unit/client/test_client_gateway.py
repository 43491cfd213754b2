"""`connect` and its options, gateways in memory, carriers, the blocking facade."""

import asyncio
import warnings

import pytest
from scripted_peer import peers, standing

import agpd_client as agp
from agpd.errors import Code
from agpd.wire import frames
from agpd.wire.frames import Kind, Refusal, encode
from agpd_client.gateway import assemble
from agpd_client.testing import MemoryGateway, agp_gateway
from agpd_client.transports import carrier, local
from agpd_client.transports.address import Address
from agpd_client.transports.carrier import Carrier

__all__ = ["agp_gateway"]  # the plugin's fixture
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


# In memory


async def test_a_gateway_in_memory_ends_with_its_last_connection() -> None:
    server = MemoryGateway()
    one, two = server.connect(agent=ME), server.connect()
    await one.open()
    await two.open()
    running = server.server
    await one.close()
    assert server.server is running
    await two.close()
    assert server._server is None
    await server.close()


async def test_the_fixture_of_the_plugin(agp_gateway: MemoryGateway) -> None:
    async with agp_gateway.connect(agent=ME) as gateway:
        assert await gateway.publish((await gateway.create_agent(READER)).name, 1, confirm=True) == 1


async def test_local_urls_share_by_name() -> None:
    async with (
        agp.connect("local://a") as one,
        agp.connect("local://a") as two,
        agp.connect("local://b") as far,
    ):
        reader = await one.create_agent(READER)
        assert await (await two.create_agent(ME)).publish(reader.name, 1, confirm=True) == 1
        with pytest.raises(agp.NoRoute):
            await (await far.create_agent(ME)).publish(reader.name, 1, confirm=True)
    assert not local._shared


def test_a_loop_that_left_its_gateway_behind_does_not_give_it_to_the_next() -> None:
    async def left() -> local.Lease:
        return local.lease("left")

    async def found() -> local.Lease:
        key = local._Key(id(asyncio.get_running_loop()), "left")
        local._shared[key] = old
        lease = local.lease("left")
        await lease.release()
        return lease

    old = asyncio.run(left())
    local._shared.clear()
    assert asyncio.run(found()) is not old
    local._shared.clear()


# Carriers


async def test_plaintext_to_elsewhere_warns_once() -> None:
    carrier._warned.clear()
    with pytest.warns(UserWarning, match="everyone on the way"):
        carrier._warn(Address("tcp", "gw.example", 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        carrier._warn(Address("tcp", "gw.example", 1))
        carrier._warn(Address("tcp", "127.0.0.1", 1))


@pytest.mark.parametrize(
    ("host", "text"), [("127.0.0.1", "agpd dev"), ("agpd.invalid", "no connection to agpd.invalid:9")]
)
async def test_nobody_there(host: str, text: str) -> None:
    address = Address("tcp", host, 9)
    carrier._warned.add(address)
    with pytest.raises(agp.ConnectError, match=text):
        await assemble(Carrier(address)).open()


def test_elsewhere_agpd_dev_is_not_the_advice() -> None:
    error = carrier._unreachable(Address("tcp", "gw.example", 9), ConnectionRefusedError())
    assert str(error) == "no gateway at gw.example:9: is it running, and is the port right?"


# The blocking facade


def test_the_blocking_facade() -> None:
    with agp.sync.connect("local://facade", agent=ME) as gateway, gateway.create_agent(READER) as reader:
        events = gateway.events()
        assert reader.type_name == READER
        reader.on_request(concurrency=2)(lambda number: number + 1)
        assert gateway.request(READER, 1, type=int) == 2
        with reader.subscribe(CHAT) as chat:
            gateway.publish(CHAT, "hello")
            message = chat.receive(timeout=1)
            assert (message.data, message.destination.startswith(CHAT), chat.dropped) == ("hello", True, 0)
        assert list(chat) == []
        with gateway.watch(READER) as watch:
            assert watch.present == {reader.name}
            other = gateway.create_agent(READER)
            assert watch.receive(timeout=1) == (other.name, True)
        other.set_route("globex/*", via=reader)
        assert gateway.publish("globex/x/y", 1, confirm=True) == 1
        assert reader.receive(timeout=1, type=int).data == 1
        other.remove_route("globex/*")
        other.close()
        assert gateway.statistics.received > 0
        gateway.drain()
        assert gateway.state is agp.State.DRAINING
    assert [type(event) for event in events] == [agp.Disconnected]


async def test_the_blocking_facade_answers_from_the_inbox_within_a_running_loop() -> None:
    with agp.sync.connect("local://inbox", agent=ME) as gateway, gateway.create_agent(READER) as reader:
        asked = asyncio.create_task(asyncio.to_thread(gateway.request, READER, "q"))
        request = await asyncio.to_thread(reader.receive, timeout=1)
        assert request.is_request
        request.reply("a", headers={"k": "v"})
        assert await asked == "a"
        reader.unsubscribe(CHAT)
        with pytest.raises(agp.NotPermitted):
            reader.observe("globex/prod/*")


def test_a_blocking_call_in_the_sdks_own_loop_is_refused_not_hung() -> None:
    with agp.sync.connect("local://own", agent=ME) as gateway:
        reader = gateway.create_agent(READER)

        @reader.on_request
        async def wrong(_: int) -> None:
            gateway.publish(CHAT, 1)

        with pytest.raises(agp.RemoteError, match="use the asynchronous API in async handlers"):
            gateway.request(READER, 1)
