"""gRPC to one control plane: a channel, its certificates, the token, and errors as the SDK raises them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Generic, TypeVar

from agpd.errors import Code, code_of
from agpd_client.errors import (
    AgpError,
    Closed,
    ConnectError,
    MessageTooLarge,
    Timeout,
    Unauthorized,
    told,
)
from agpd_client.transports.address import Address
from agpd_client.transports.carrier import warn_of_plaintext
from agpd_client.transports.channel import grpc, open_channel
from agpd_client.transports.tls import Pem

Stubs = TypeVar("Stubs")


class _Line(Generic[Stubs]):
    """A channel, and how many calls are on it. It is closed once it is `retired` and none is left."""

    def __init__(self, channel: Any, stubs: Stubs) -> None:
        self.channel = channel
        self.stubs = stubs
        self.calls = 0
        self.retired = False
        self.closing: asyncio.Task[None] | None = None

    def __enter__(self) -> "_Line[Stubs]":
        self.calls += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.calls -= 1
        if self.retired and not self.calls:
            self.close()

    def retire(self) -> None:
        """No new calls: there is a newer one."""
        self.retired = True
        if not self.calls:
            self.close()

    def close(self) -> None:
        """End, with what is under way."""
        if self.closing is None:
            self.closing = asyncio.ensure_future(self.channel.close())


class Rpc(Generic[Stubs]):
    """Calls to one control plane. The channel is made at the first call, on the loop of that call.

    `pem()` are the certificate, key and authorities to use, or None for plaintext: when they are others than before,
    the next call has a new channel. `token()` is the access token to show, or empty. `make_stubs(channel)`.
    """

    def __init__(
        self,
        address: Address,
        pem: Callable[[], Pem | None],
        token: Callable[[], str],
        make_stubs: Callable[[Any], Stubs],
    ) -> None:
        self.address = address
        self._pem = pem
        self._token = token
        self._make_stubs = make_stubs
        self._lines: list[_Line[Stubs]] = []  # the last is the present one
        self._shown: Pem | None = None  # what that was made of
        self._closed = False

    async def call(self, pick: Callable[[Stubs], Any], request: Any, timeout: float) -> Any:
        """The answer to one request, within `timeout` seconds. Raises what the control plane refuses with."""
        with self._line() as line:
            try:
                return await pick(line.stubs)(request, timeout=timeout, metadata=self._metadata())
            except grpc.aio.AioRpcError as error:
                raise self._explain(
                    error.code(), error.details(), error.trailing_metadata(), timeout
                ) from None
            except asyncio.CancelledError:
                raise self._cut() from None

    async def stream(
        self, pick: Callable[[Stubs], Any], request: Any, timeout: float, accepted: Callable[[], None]
    ) -> AsyncGenerator[Any, None]:
        """What a stream brings, until it ends; `accepted()` is called once the control plane has, within `timeout`.

        The task that iterates may be cancelled: the call ends with it.
        """
        with self._line() as line:
            call = pick(line.stubs)(request, metadata=self._metadata())
            try:
                await self._begin(call, timeout)
                accepted()
                async for answer in call:
                    yield answer
            except grpc.aio.AioRpcError as error:
                raise self._explain(
                    error.code(), error.details(), error.trailing_metadata(), timeout
                ) from None
            except asyncio.CancelledError:
                raise self._cut() from None
            finally:
                call.cancel()

    async def close(self) -> None:
        """End all calls. May be called again."""
        self._closed = True
        for line in self._lines:
            line.close()
        await asyncio.gather(*(line.closing for line in self._lines if line.closing is not None))

    def _line(self) -> _Line[Stubs]:
        if self._closed:
            raise Closed("the gateway object was closed")
        pem = self._pem()
        if not self._lines or pem != self._shown:
            channel = _open(self.address, pem)
            for line in self._lines:
                line.retire()
            self._lines = [line for line in self._lines if line.closing is None or not line.closing.done()]
            self._lines.append(_Line(channel, self._make_stubs(channel)))
            self._shown = pem
        return self._lines[-1]

    def _metadata(self) -> list[tuple[str, str]]:
        token = self._token()
        return [("authorization", f"Bearer {token}")] if token else []

    async def _begin(self, call: Any, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await call.initial_metadata()
        except TimeoutError:
            raise Timeout(f"no answer from the control plane at {self.address} within {timeout} s") from None
        # A refusal brings metadata all the same.
        if call.done() and await call.code() is not grpc.StatusCode.OK:
            raise self._explain(
                await call.code(), await call.details(), await call.trailing_metadata(), timeout
            )

    def _explain(self, status: Any, text: str | None, trailing: Any, timeout: float) -> AgpError:
        number = str(dict(iter(trailing or ())).get("agpd-code", ""))  # `keys` of older grpcio are pairs
        if number.isdecimal():
            return told(code_of(int(number)), text or "")
        return self._without_code(status, text or "", timeout)

    def _without_code(self, status: Any, text: str, timeout: float) -> AgpError:
        where = f"the control plane at {self.address}"
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return Unauthorized(f"the certificate of {where} is not accepted; pass ca= with its authority")
        if status is grpc.StatusCode.UNAVAILABLE:
            return ConnectError(
                f"no connection to {where}: {text}; is `control.enabled` set on the gateway, and the address right? "
                "Pass control='host:port' or set AGP_CONTROL"
            )
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Timeout(f"no answer from {where} within {timeout} s")
        if status is grpc.StatusCode.UNAUTHENTICATED:
            return Unauthorized(f"{where} does not know us: {text}")
        if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return MessageTooLarge(f"{where} refused the message: {text}")
        if status is grpc.StatusCode.CANCELLED:
            return Closed(f"{where} ended the call: {text}", code=Code.CONNECTION_LOST)
        return AgpError(f"{where} failed: {status.name}: {text}")

    def _cut(self) -> BaseException:
        """`close` cancels what is under way in gRPC's way, which is not that somebody cancelled this task."""
        task = asyncio.current_task()
        if self._closed and (task is None or not task.cancelling()):
            return Closed("the gateway object was closed")
        return asyncio.CancelledError()


def _open(address: Address, pem: Pem | None) -> Any:
    if pem is None:
        warn_of_plaintext(address)
    return open_channel(address, pem)
