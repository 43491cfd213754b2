"""A received message, and the context of a request handler."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agpd.wire.envelope import Envelope
from agpd_client import codec

if TYPE_CHECKING:
    from agpd_client.agent import Agent
    from agpd_client.connection import Connection

Data = TypeVar("Data")
_NOT_YET: Any = object()
_NO_HEADERS: dict[str, str] = {}


class Message(Generic[Data]):
    """What an agent has received.

    `source` and `destination` are names; `destination` is the receiver's own full name, a topic, or for fan-outs
    other than ALL the topic with the receiver's UUID. `size` is that of the frame in bytes. `dropped` says how many
    messages were lost in this queue just before this one.
    """

    __slots__ = (
        "_agent",
        "_connection",
        "_data",
        "_envelope",
        "_source_handle",
        "_type",
        "destination",
        "dropped",
        "fanout",
        "id",
        "is_request",
        "size",
        "source",
    )

    def __init__(
        self,
        envelope: Envelope,
        source: str,
        destination: str,
        fanout: int,
        id: int,  # noqa: A002  (the field's name)
        size: int,
        is_request: bool,
        agent: "Agent",
        connection: "Connection",
        source_handle: int,
        kind: Any,
    ) -> None:
        self._envelope = envelope
        self.source = source
        self.destination = destination
        self.fanout = fanout
        self.id = id
        self.size = size
        self.is_request = is_request
        self.dropped = 0
        self._agent = agent
        self._connection = connection
        self._source_handle = source_handle
        self._type = kind
        self._data = _NOT_YET

    @property
    def data(self) -> Data:
        """The payload as a Python value, decoded once. Raises `DecodeError`, for error replies `RemoteError`."""
        if self._data is _NOT_YET:
            envelope = self._envelope
            self._data = codec.decode(envelope.body, envelope.content_type, self._type)
        return self._data  # type: ignore[no-any-return]

    @property
    def body(self) -> bytes:
        """The payload as it came."""
        return self._envelope.body

    @property
    def content_type(self) -> int | str:
        """A number of `agpd.wire.envelope.ContentType`, or a media type."""
        return self._envelope.content_type

    @property
    def headers(self) -> dict[str, str]:
        """What the sender put beside the payload. Not to be changed."""
        return self._envelope.headers or _NO_HEADERS

    @property
    def correlation(self) -> int:
        """The id of the request that this reply answers; 0 if it is none."""
        return self._envelope.correlation

    @property
    def expires_ms(self) -> int:
        """Unix time in ms after which nobody needs it; 0 for never."""
        return self._envelope.expires_ms

    def decode(self, type: Any) -> Any:  # noqa: A002  (the word of the API)
        """The payload as this type. Raises `DecodeError`."""
        return codec.decode(self._envelope.body, self._envelope.content_type, type)

    def expect(self, kind: Any) -> None:
        """Let `data` be decoded as `kind`."""
        self._type, self._data = kind, _NOT_YET

    async def reply(self, data: Any, *, headers: dict[str, str] | None = None) -> None:
        """Answer the request. Raises `TypeError` if this message is none."""
        if not self.is_request:
            raise TypeError(f"the message from {self.source} is not a request; publish to it instead")
        body, content_type = codec.encode(data)
        await self._answer(body, content_type, headers)

    async def reply_failure(self, error: BaseException) -> None:
        """Answer the request with `RemoteError(type of error, its text)`."""
        await self._answer(*codec.encode_failure(error), None)

    async def _answer(self, body: bytes, content_type: int, headers: dict[str, str] | None) -> None:
        handle = (self._connection, self._source_handle)
        await self._agent.answer(self.source, handle, self.id, body, content_type, headers)

    def __repr__(self) -> str:
        verb = "request" if self.is_request else "message"
        return f"<{verb} from {self.source} to {self.destination}, {len(self.body)} bytes>"


class Context:
    """What a request handler may want to know beside the payload: its optional second parameter."""

    __slots__ = ("agent", "message")

    def __init__(self, agent: "Agent", message: Message[Any]) -> None:
        self.agent = agent
        self.message = message

    @property
    def source(self) -> str:
        """Full name of the requesting agent."""
        return self.message.source

    @property
    def destination(self) -> str:
        """The name as which this agent was asked."""
        return self.message.destination

    @property
    def headers(self) -> dict[str, str]:
        """What the requester put beside the payload."""
        return self.message.headers

    @property
    def expires_ms(self) -> int:
        """Unix time in ms when the requester stops waiting; 0 for never."""
        return self.message.expires_ms
