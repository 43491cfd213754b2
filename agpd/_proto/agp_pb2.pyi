from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Message(_message.Message):
    __slots__ = ("subscribe", "unsubscribe", "publish", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    subscribe: Subscribe
    unsubscribe: Unsubscribe
    publish: Publish
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, subscribe: _Optional[_Union[Subscribe, _Mapping]] = ..., unsubscribe: _Optional[_Union[Unsubscribe, _Mapping]] = ..., publish: _Optional[_Union[Publish, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ("header", "organization", "namespace", "agent_type")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    header: Header
    organization: str
    namespace: str
    agent_type: str
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., organization: _Optional[str] = ..., namespace: _Optional[str] = ..., agent_type: _Optional[str] = ...) -> None: ...

class Unsubscribe(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: Header
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ...) -> None: ...

class Publish(_message.Message):
    __slots__ = ("header", "session", "msg")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MSG_FIELD_NUMBER: _ClassVar[int]
    header: Header
    session: Session
    msg: Content
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., session: _Optional[_Union[Session, _Mapping]] = ..., msg: _Optional[_Union[Content, _Mapping]] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("source", "destination", "fanout", "recv_from", "forward_to", "incoming_conn", "error")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    FANOUT_FIELD_NUMBER: _ClassVar[int]
    RECV_FROM_FIELD_NUMBER: _ClassVar[int]
    FORWARD_TO_FIELD_NUMBER: _ClassVar[int]
    INCOMING_CONN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    source: Name
    destination: Name
    fanout: int
    recv_from: int
    forward_to: int
    incoming_conn: int
    error: bool
    def __init__(self, source: _Optional[_Union[Name, _Mapping]] = ..., destination: _Optional[_Union[Name, _Mapping]] = ..., fanout: _Optional[int] = ..., recv_from: _Optional[int] = ..., forward_to: _Optional[int] = ..., incoming_conn: _Optional[int] = ..., error: bool = ...) -> None: ...

class Name(_message.Message):
    __slots__ = ("organization", "namespace", "agent_type", "agent_id")
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    organization: int
    namespace: int
    agent_type: int
    agent_id: int
    def __init__(self, organization: _Optional[int] = ..., namespace: _Optional[int] = ..., agent_type: _Optional[int] = ..., agent_id: _Optional[int] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("header_type", "session_id", "message_id", "fourth")
    HEADER_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    FOURTH_FIELD_NUMBER: _ClassVar[int]
    header_type: int
    session_id: int
    message_id: int
    fourth: int
    def __init__(self, header_type: _Optional[int] = ..., session_id: _Optional[int] = ..., message_id: _Optional[int] = ..., fourth: _Optional[int] = ...) -> None: ...

class Content(_message.Message):
    __slots__ = ("content_type", "blob")
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    content_type: str
    blob: bytes
    def __init__(self, content_type: _Optional[str] = ..., blob: _Optional[bytes] = ...) -> None: ...
