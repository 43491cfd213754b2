"""A received message, and the context of a request handler."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from agpd_client import codec

if TYPE_CHECKING:
    from agpd_client.agent import Agent
    from agpd_client.flows import Flow, Origin

Data = TypeVar("Data")
# In place of the decoded data, and of a type that was asked for: one object, also after a copy or a pickle.
_NONE_YET: Any = msgspec.UNSET
_NO_HEADERS: dict[str, str] = {}


class Message(msgspec.Struct, Generic[Data], eq=False):
    """What an agent has received.

    `source` and `destination` are names; `destination` is the receiver's own full name, a topic, or for fan-outs
    other than ALL the topic with the receiver's UUID. `body` is the payload as it came, `content_type` a number of
    `agpd.wire.envelope.ContentType` or a media type, `size` the bytes of both. `correlation` is the id of the request
    that a reply answers, else 0; `expires_ms` is Unix time, 0 for never. `dropped` says how many messages were lost in
    this queue just before this one.
    """

    # A struct: making one takes 90 ns, making an instance of a class with as many attributes 600.
    _origin: "Origin"
    id: int
    size: int
    body: bytes
    content_type: int | str
    correlation: int = 0
    expires_ms: int = 0
    _headers: dict[str, str] | None = None
    dropped: int = 0
    _type: Any = _NONE_YET
    _data: Any = _NONE_YET
    _flow: "Flow | None" = None  # of a request: who answers it, and how

    @property
    def source(self) -> str:
        """Full name of the sender."""
        return self._origin.source

    @property
    def destination(self) -> str:
        """The name that it was sent to."""
        return self._origin.destination

    @property
    def fanout(self) -> int:
        """To how many it was sent: ALL, ANY or a number."""
        return self._origin.fanout

    @property
    def is_request(self) -> bool:
        """Does somebody wait for a reply?"""
        return self._origin.is_request

    @property
    def data(self) -> Data:
        """The payload as a Python value, decoded once. Raises `DecodeError`, for error replies `RemoteError`."""
        if self._data is _NONE_YET:
            kind = self._origin.type if self._type is _NONE_YET else self._type
            self._data = codec.decode(self.body, self.content_type, kind)
        return self._data  # type: ignore[no-any-return]

    @property
    def headers(self) -> dict[str, str]:
        """What the sender put beside the payload. Not to be changed."""
        return self._headers or _NO_HEADERS

    def decode(self, type: Any) -> Any:  # noqa: A002  (the word of the API)
        """The payload as this type. Raises `DecodeError`."""
        return codec.decode(self.body, self.content_type, type)

    def expect(self, kind: Any) -> None:
        """Let `data` be decoded as `kind`."""
        self._type, self._data = kind, _NONE_YET

    async def reply(self, data: Any, *, headers: dict[str, str] | None = None) -> None:
        """Answer the request. Raises `TypeError` if this message is none."""
        if not self.is_request:
            raise TypeError(f"the message from {self.source} is not a request; publish to it instead")
        body, content_type = codec.encode(data)
        await self._answer(body, content_type, headers)

    async def reply_failure(self, error: BaseException) -> None:
        """Answer the request with `RemoteError(type of error, its text)`."""
        await self._answer(*codec.encode_failure(error), None)

    def answered_by(self, flow: "Flow") -> None:
        """It is a request to the agent of this flow."""
        self._flow = flow

    def copy_for(self, origin: "Origin") -> "Message[Any]":
        """The same for another receiver."""
        return Message(
            origin,
            self.id,
            self.size,
            self.body,
            self.content_type,
            self.correlation,
            self.expires_ms,
            self._headers,
        )

    async def _answer(self, body: bytes, content_type: int, headers: dict[str, str] | None) -> None:
        flow, origin = self._flow, self._origin
        if flow is not None and flow.agent is not None:  # a request has a receiver
            known = (flow.connection, origin.source_handle)
            await flow.agent.answer(origin.source, known, self.id, body, content_type, headers)

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
