"""A client of AGP made of bytes: grpcio carries them, the messages are built from `proto/agp.proto` here."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio

from agpd._proto import agp_pb2 as pb
from agpd.app import Gateway
from agpd.config import Config, Limits, Listen
from agpd.names import parse
from agpd.transport.agp import AgpSession
from agpd.transport.dialects import Dialects
from agpd.transport.pki import Pair
from agpd.wire import hashes
from agpd.wire.hashes import Family

PATH = "/pubsub.proto.v1.PubSubService/OpenChannel"
OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.max_send_message_length", 8 * 1024 * 1024),
]
PATIENCE_S = 10.0


@asynccontextmanager
async def gateway(limits: Limits | None = None, **sections: Any) -> AsyncIterator[Gateway]:
    """In plaintext on free ports of loopback."""
    listen = Listen(native="127.0.0.1:0", grpc="127.0.0.1:0", http="", plaintext=True)
    made = Gateway(Config(listen=listen, limits=limits or Limits(), **sections))
    await made.open()
    made.start()
    try:
        yield made
    finally:
        await made.stop(drain_s=0)


def name(text: str, id_: int | None = None, family: Family = Family.SIPHASH) -> pb.Name:
    """`org/ns/type` as hashes."""
    organization, namespace, kind = hashes.triple(family, tuple(text.split("/")))  # type: ignore[arg-type]
    return pb.Name(organization=organization, namespace=namespace, agent_type=kind, agent_id=id_)


class AgpPeer:
    """One stream."""

    def __init__(self, channel: grpc.aio.Channel, own: str, id_: int, metadata: Any = ()) -> None:
        self.own, self.id, self.family = own, id_, Family.SIPHASH
        self.channel = channel
        self.call = self.channel.stream_stream(PATH)(metadata=metadata)
        self._numbers = iter(range(1, 1 << 30))

    async def open(self, *, subscribe: bool = True, strings: bool = True) -> "AgpPeer":
        """Headers come at once, before anything is said; then the Subscribe to its own name."""
        await asyncio.wait_for(self.call.initial_metadata(), PATIENCE_S)
        if subscribe:
            await self.subscribe(self.own, self.id, strings=strings)
        return self

    def header(self, to: str, id_: int | None, fanout: int = 1, **more: Any) -> pb.Header:
        """`family`: of the destination, if it is another than its own."""
        source = name(self.own, self.id, self.family)
        destination = name(to, id_, more.pop("family", self.family))
        return pb.Header(source=source, destination=destination, fanout=fanout, **more)

    async def send(self, message: "pb.Message | bytes") -> None:
        await self.call.write(message if isinstance(message, bytes) else message.SerializeToString())

    async def subscribe(self, to: str, id_: int | None = None, *, strings: bool = True) -> None:
        texts = dict(zip(("organization", "namespace", "agent_type"), to.split("/"), strict=True))
        await self.send(
            pb.Message(subscribe=pb.Subscribe(header=self.header(to, id_), **(texts if strings else {})))
        )

    async def unsubscribe(self, to: str, id_: int | None = None) -> None:
        await self.send(pb.Message(unsubscribe=pb.Unsubscribe(header=self.header(to, id_))))

    def publication(self, to: str, id_: int | None = None, body: bytes = b"", **more: Any) -> pb.Message:
        session = more.pop("session_id", 7)
        metadata = more.pop("metadata", None)
        return pb.Message(
            publish=pb.Publish(
                header=self.header(to, id_, more.pop("fanout", 1), **more),
                session=pb.Session(header_type=1, session_id=session, message_id=next(self._numbers)),
                msg=pb.Content(content_type="msg", blob=body),
            ),
            metadata=metadata,
        )

    async def publish(self, to: str, id_: int | None = None, body: bytes = b"", **more: Any) -> None:
        await self.send(self.publication(to, id_, body, **more))

    async def read(self) -> pb.Publish:
        """The next message."""
        data = await asyncio.wait_for(self.call.read(), PATIENCE_S)
        assert isinstance(data, bytes), f"the stream has ended: {await self.call.code()}"
        return pb.Message.FromString(data).publish

    async def body(self) -> bytes:
        return (await self.read()).msg.blob

    async def ended(self) -> grpc.StatusCode:
        """How the gateway has ended the stream."""
        return await asyncio.wait_for(self.call.code(), PATIENCE_S)

    async def close(self) -> None:
        self.call.cancel()
        await self.channel.close()


class Office:
    """Clients of one gateway."""

    def __init__(self, gateway: Gateway, ca: bytes = b"") -> None:
        self.gateway, self.ca = gateway, ca
        assert gateway.grpc is not None
        assert gateway.grpc.address is not None
        self.port = gateway.grpc.address[1]
        self.peers: list[AgpPeer] = []

    @property
    def dialects(self) -> Dialects:
        assert self.gateway.grpc is not None
        assert self.gateway.grpc.dialects is not None
        return self.gateway.grpc.dialects

    @property
    def counts(self) -> dict[str, int]:
        return self.dialects.counts

    @property
    def sessions(self) -> list[AgpSession]:
        """Those that stand, in the order in which they came."""
        return [link.carrier for link in self.gateway.hub.links if isinstance(link.carrier, AgpSession)]

    def channel(self, pair: Pair | None = None) -> grpc.aio.Channel:
        """A connection of its own, with this certificate or without one."""
        address = f"127.0.0.1:{self.port}"
        if not self.ca:
            return grpc.aio.insecure_channel(address, options=OPTIONS)
        own = () if pair is None else (pair.key.read_bytes(), pair.certificate.read_bytes())
        return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(self.ca, *own), OPTIONS)

    def dial(
        self, own: str, id_: int, *, pair: Pair | None = None, channel: Any = None, metadata: Any = ()
    ) -> AgpPeer:
        """A stream of which nothing is known yet."""
        self.peers.append(AgpPeer(channel or self.channel(pair), own, id_, metadata))
        return self.peers[-1]

    async def peer(
        self, own: str, id_: int, *, subscribe: bool = True, strings: bool = True, **how: Any
    ) -> AgpPeer:
        return await self.dial(own, id_, **how).open(subscribe=subscribe, strings=strings)

    async def until(self, done: Any) -> None:
        """Wait for what nothing announces."""
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                await asyncio.sleep(0.01)

    async def members(self, of: str, count: int) -> None:
        """Wait until so many take part in a type."""

        def there() -> bool:
            entry = self.gateway.hub.router._subscriptions.find_type(parse(of))
            return entry is not None and len(entry.members) == count

        await self.until(there)

    async def close(self) -> None:
        for peer in self.peers:
            await peer.close()
