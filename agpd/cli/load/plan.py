"""What a sender sends: patterns, and buffers of frames that are made before the clock starts."""

import enum
import random
from collections.abc import Iterator, Sequence

from agpd.wire import envelope, frames
from agpd.wire.frames import FANOUT_ALL, FANOUT_ANY, Kind

BLOB_BYTES = 256 * 1024
FRAMES_MINIMUM = 1024  # made in advance, so that a choice at random has room
POOL_LIMIT_BYTES = 8 * 1024 * 1024


class Pattern(enum.Enum):
    """Whom a message is for."""

    UNICAST = "unicast"  # one of the instances, chosen by the sender, another one for each message
    ANYCAST = "anycast"  # one of the instances, chosen by the gateway
    BROADCAST = "broadcast"  # all instances

    @property
    def fanout(self) -> int:
        """The fan-out field."""
        return FANOUT_ALL if self is Pattern.BROADCAST else FANOUT_ANY

    def destinations(self, name: str, receivers: int) -> list[str]:
        """The names that a sender opens, to reach receivers made by `instances`."""
        return instances(name, receivers) if self is Pattern.UNICAST else [name]

    def deliveries(self, messages: int, receivers: int) -> int:
        """How many deliveries this many messages become."""
        return messages * receivers if self is Pattern.BROADCAST else messages


def instances(name: str, count: int) -> list[str]:
    """The full names of `count` receivers of a type."""
    return [f"{name}/{number}" for number in range(count)]


def parts(count: int, connections: int) -> list[int]:
    """`count` split over the connections as evenly as it goes."""
    return [count // connections + (number < count % connections) for number in range(connections)]


class Blobs:
    """Buffers of about `BLOB_BYTES`, each of whole frames of one length, sent again and again.

    `per_blob` frames in each. Their message ids repeat: the gateway does not look at them.
    """

    def __init__(
        self, size: int, source: int, destinations: Sequence[int], fanout: int, choice: random.Random
    ) -> None:
        body = envelope.pack(envelope.Envelope(b"x" * size))
        self.frame_bytes = frames.PREFIX_SIZE + len(body)
        per_blob = max(1, BLOB_BYTES // self.frame_bytes)
        wanted = max(1, min(FRAMES_MINIMUM, POOL_LIMIT_BYTES // self.frame_bytes) // per_blob)
        self.buffers = [
            b"".join(
                frames.encode_data(
                    Kind.PUBLISH,
                    body,
                    destination=choice.choice(destinations),
                    source=source,
                    id=number,
                    fanout=fanout,
                )
                for number in range(per_blob)
            )
            for _ in range(wanted)
        ]
        self.per_blob = per_blob

    def take(self, count: int) -> Iterator[bytes]:
        """Buffers that hold `count` frames together."""
        number = 0
        while count > 0:
            buffer = self.buffers[number % len(self.buffers)]
            if count < self.per_blob:
                buffer = buffer[: count * self.frame_bytes]
            yield buffer
            count -= self.per_blob
            number += 1
