"""The one in-memory message: what the prefix says, and the bytes nobody here opens."""


class Message:
    """A data frame, or a run of consecutive frames that share kind, flags, fan-out and both handles.

    `frames` are the bytes as they came, `count` how many frames lie in them, `id` that of the first one.
    """

    __slots__ = ("count", "destination", "fanout", "flags", "frames", "id", "kind", "source")

    def __init__(
        self,
        kind: int,
        flags: int,
        fanout: int,
        destination: int,
        source: int,
        id: int,  # noqa: A002  (the field's name)
        frames: bytes,
        count: int,
    ) -> None:
        self.kind = kind
        self.flags = flags
        self.fanout = fanout
        self.destination = destination
        self.source = source
        self.id = id
        self.frames = frames
        self.count = count
