"""A gateway whose carriers only swallow bytes: the loop and the hub without sockets and without another process."""

from agpd.app import Gateway
from agpd.gateway.link import Link
from agpd.gateway.principal import PLAINTEXT
from agpd.hotpath import forward
from agpd.wire import envelope, frames
from agpd.wire.frames import Kind

BODY = envelope.pack(envelope.Envelope(b"x" * 256))
FRAME = frames.encode_data(Kind.PUBLISH, BODY, destination=1, source=2, id=3)
FRAMES = 256 * 1024 // len(FRAME)  # in one large read


class Swallow:
    """A carrier that takes everything."""

    def __init__(self) -> None:
        self.taken = 0

    def write(self, data: bytes) -> None:
        self.taken += len(data)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Bench:
    """A gateway with one sender and some receivers, `acme/bench/sink/0` and so on."""

    def __init__(self, gateway: Gateway, receivers: int) -> None:
        self.hub = gateway.hub
        self.sender = self.link()
        self.source = self.register(self.sender, "acme/bench/sender/0")
        self.receivers = [self.link() for _ in range(receivers)]
        for number, link in enumerate(self.receivers):
            self.register(link, f"acme/bench/sink/{number}")

    def link(self) -> Link:
        """A connection that has been welcomed."""
        hub = self.hub
        link = Link(
            Swallow(),
            "bench",
            PLAINTEXT,
            turn=hub.turn,
            limits=hub.outbox_limits,
            clock=hub.clock,
            hello_limit_bytes=4096,
            frame_limit_bytes=1024 * 1024,
        )
        hub.attach(link)
        forward(frames.encode(Kind.HELLO, frames.Hello([1], "bench", 1)), link, hub)
        return link

    def register(self, link: Link, name: str) -> int:
        """The handle of a new agent."""
        return self.answer(link, Kind.REGISTER, name, 0)

    def open(self, name: str) -> int:
        """The handle by which the sender sends to a name."""
        return self.answer(self.sender, Kind.OPEN, name, self.source)

    def answer(self, link: Link, kind: Kind, name: str, source: int) -> int:
        """Of a control request: the handle in it."""
        self.hub.turn.end()
        forward(frames.encode(kind, frames.Named(name), source=source, id=9), link, self.hub)
        sent = [frames.parse(frame) for frame in link.queue]
        return next(frame.destination for frame in sent if frame.id == 9)

    def read(self, destinations: list[int], fanout: int) -> bytes:
        """The bytes of one message to each of them."""
        return b"".join(
            frames.encode_data(
                Kind.PUBLISH, BODY, destination=number, source=self.source, id=id_, fanout=fanout
            )
            for id_, number in enumerate(destinations)
        )

    def turn(self, data: bytes) -> None:
        """One read, what it leaves for later turns, and the flush at the end of each."""
        hub, sender = self.hub, self.sender
        tired = forward(data, sender, hub)
        hub.turn.end()
        while tired:
            tired = forward(b"", sender, hub)
            hub.turn.end()
