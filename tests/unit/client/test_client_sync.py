"""The blocking facade: the same verbs without `await`, from any thread but its own."""

import asyncio
from collections.abc import Iterator

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
        with pytest.raises(agp.Unauthorized, match="credentials"):
            gateway.renew_token()
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


def test_many_messages_are_sent_in_groups_and_none_is_lost_when_the_items_fail() -> None:
    with agp.sync.connect("local://many", agent=ME) as gateway, gateway.create_agent(READER) as reader:

        def numbers(count: int) -> Iterator[int]:
            yield from range(count)
            if count == 3:
                raise LookupError("no more")

        assert gateway.publish_many(READER, numbers(600), headers={"k": "v"}, ttl=60) == 600
        assert gateway.publish_many(reader.name, [600, 601]) == 2
        with pytest.raises(LookupError, match="no more"):
            gateway.publish_many(READER, numbers(3))
        messages = [reader.receive(timeout=1) for _ in range(605)]
        assert [message.data for message in messages] == [*range(602), 0, 1, 2]
        assert messages[0].headers == {"k": "v"}
        with pytest.raises(TypeError, match="publish takes one"):
            gateway.publish_many(READER, "text")
        with pytest.raises(agp.InvalidName):
            gateway.publish_many("nowhere", [])
