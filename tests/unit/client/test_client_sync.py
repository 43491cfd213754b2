"""The blocking facade: the same verbs without `await`, from any thread but its own."""

import asyncio

import pytest

import agpd_client as agp

ME, READER, CHAT = "acme/prod/me", "acme/prod/reader", "acme/prod/chat"


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
