"""Real clients of gRPC on a real socket, and what the parts of a call promise."""

import grpc
import pytest
from unit.transport.grpc_world import place


async def test_calls_are_answered_in_order_and_end_as_they_should() -> None:
    async with place() as it, it.channel() as channel:
        assert await channel.unary_unary("/test.Test/Echo")(b"hello", timeout=10) == b"hello"
        call = channel.stream_stream("/test.Test/Echo")(timeout=20)
        sent = [b"%d" % number * (number + 1) for number in range(300)]
        for message in sent:
            await call.write(message)
        await call.done_writing()
        assert [message async for message in call] == sent
        assert await call.code() is grpc.StatusCode.OK
        for echo in it.echoes:
            await echo.ended.wait()
        assert [echo.ends for echo in it.echoes] == [[""], [""]]


async def test_what_is_not_served_is_unimplemented() -> None:
    async with place() as it, it.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Test/Other")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert caught.value.details() == "/test.Test/Other is not served here"
