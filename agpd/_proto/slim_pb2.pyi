from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Message(_message.Message):
    __slots__ = ("subscribe", "unsubscribe", "publish", "link", "subscription_ack", "metadata")
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
    LINK_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ACK_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    subscribe: Subscribe
    unsubscribe: Unsubscribe
    publish: Publish
    link: Link
    subscription_ack: SubscriptionAck
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, subscribe: _Optional[_Union[Subscribe, _Mapping]] = ..., unsubscribe: _Optional[_Union[Unsubscribe, _Mapping]] = ..., publish: _Optional[_Union[Publish, _Mapping]] = ..., link: _Optional[_Union[Link, _Mapping]] = ..., subscription_ack: _Optional[_Union[SubscriptionAck, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ("header", "subscription_id")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    header: Header
    subscription_id: int
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., subscription_id: _Optional[int] = ...) -> None: ...

class Unsubscribe(_message.Message):
    __slots__ = ("header", "subscription_id")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    header: Header
    subscription_id: int
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., subscription_id: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("source", "destination", "identity", "fanout", "version", "ttl", "recv_from", "forward_to", "incoming_conn", "error", "header_mac", "e2e_header_sig")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    FANOUT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    RECV_FROM_FIELD_NUMBER: _ClassVar[int]
    FORWARD_TO_FIELD_NUMBER: _ClassVar[int]
    INCOMING_CONN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HEADER_MAC_FIELD_NUMBER: _ClassVar[int]
    E2E_HEADER_SIG_FIELD_NUMBER: _ClassVar[int]
    source: Name
    destination: Name
    identity: str
    fanout: int
    version: str
    ttl: int
    recv_from: int
    forward_to: int
    incoming_conn: int
    error: bool
    header_mac: bytes
    e2e_header_sig: bytes
    def __init__(self, source: _Optional[_Union[Name, _Mapping]] = ..., destination: _Optional[_Union[Name, _Mapping]] = ..., identity: _Optional[str] = ..., fanout: _Optional[int] = ..., version: _Optional[str] = ..., ttl: _Optional[int] = ..., recv_from: _Optional[int] = ..., forward_to: _Optional[int] = ..., incoming_conn: _Optional[int] = ..., error: bool = ..., header_mac: _Optional[bytes] = ..., e2e_header_sig: _Optional[bytes] = ...) -> None: ...

class Name(_message.Message):
    __slots__ = ("encoded", "strings")
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    STRINGS_FIELD_NUMBER: _ClassVar[int]
    encoded: Encoded
    strings: Strings
    def __init__(self, encoded: _Optional[_Union[Encoded, _Mapping]] = ..., strings: _Optional[_Union[Strings, _Mapping]] = ...) -> None: ...

class Encoded(_message.Message):
    __slots__ = ("component_0", "component_1", "component_2", "id")
    COMPONENT_0_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_1_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_2_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    component_0: int
    component_1: int
    component_2: int
    id: Id
    def __init__(self, component_0: _Optional[int] = ..., component_1: _Optional[int] = ..., component_2: _Optional[int] = ..., id: _Optional[_Union[Id, _Mapping]] = ...) -> None: ...

class Id(_message.Message):
    __slots__ = ("high", "low")
    HIGH_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    high: int
    low: int
    def __init__(self, high: _Optional[int] = ..., low: _Optional[int] = ...) -> None: ...

class Strings(_message.Message):
    __slots__ = ("component_0", "component_1", "component_2")
    COMPONENT_0_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_1_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_2_FIELD_NUMBER: _ClassVar[int]
    component_0: str
    component_1: str
    component_2: str
    def __init__(self, component_0: _Optional[str] = ..., component_1: _Optional[str] = ..., component_2: _Optional[str] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("session_type", "message_type", "session_id", "message_id")
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    session_type: int
    message_type: int
    session_id: int
    message_id: int
    def __init__(self, session_type: _Optional[int] = ..., message_type: _Optional[int] = ..., session_id: _Optional[int] = ..., message_id: _Optional[int] = ...) -> None: ...

class Content(_message.Message):
    __slots__ = ("app_payload", "command_payload")
    APP_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    COMMAND_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    app_payload: ApplicationPayload
    command_payload: CommandPayload
    def __init__(self, app_payload: _Optional[_Union[ApplicationPayload, _Mapping]] = ..., command_payload: _Optional[_Union[CommandPayload, _Mapping]] = ...) -> None: ...

class ApplicationPayload(_message.Message):
    __slots__ = ("payload_type", "blob")
    PAYLOAD_TYPE_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    payload_type: str
    blob: bytes
    def __init__(self, payload_type: _Optional[str] = ..., blob: _Optional[bytes] = ...) -> None: ...

class CommandPayload(_message.Message):
    __slots__ = ("payload_1", "payload_2", "payload_3", "payload_4", "payload_5", "payload_6", "payload_7", "payload_8", "payload_9", "payload_10", "payload_11", "payload_12", "payload_13", "payload_14", "payload_15", "payload_16")
    PAYLOAD_1_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_2_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_3_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_4_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_5_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_6_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_7_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_8_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_9_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_10_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_11_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_12_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_13_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_14_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_15_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_16_FIELD_NUMBER: _ClassVar[int]
    payload_1: bytes
    payload_2: bytes
    payload_3: bytes
    payload_4: bytes
    payload_5: bytes
    payload_6: bytes
    payload_7: bytes
    payload_8: bytes
    payload_9: bytes
    payload_10: bytes
    payload_11: bytes
    payload_12: bytes
    payload_13: bytes
    payload_14: bytes
    payload_15: bytes
    payload_16: bytes
    def __init__(self, payload_1: _Optional[bytes] = ..., payload_2: _Optional[bytes] = ..., payload_3: _Optional[bytes] = ..., payload_4: _Optional[bytes] = ..., payload_5: _Optional[bytes] = ..., payload_6: _Optional[bytes] = ..., payload_7: _Optional[bytes] = ..., payload_8: _Optional[bytes] = ..., payload_9: _Optional[bytes] = ..., payload_10: _Optional[bytes] = ..., payload_11: _Optional[bytes] = ..., payload_12: _Optional[bytes] = ..., payload_13: _Optional[bytes] = ..., payload_14: _Optional[bytes] = ..., payload_15: _Optional[bytes] = ..., payload_16: _Optional[bytes] = ...) -> None: ...

class Link(_message.Message):
    __slots__ = ("link_negotiation",)
    LINK_NEGOTIATION_FIELD_NUMBER: _ClassVar[int]
    link_negotiation: Negotiation
    def __init__(self, link_negotiation: _Optional[_Union[Negotiation, _Mapping]] = ...) -> None: ...

class Negotiation(_message.Message):
    __slots__ = ("link_id", "version", "is_reply", "public_key", "connection_type", "node_id", "deployment_name", "kem_payload")
    LINK_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IS_REPLY_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_TYPE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    KEM_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    link_id: str
    version: str
    is_reply: bool
    public_key: bytes
    connection_type: int
    node_id: str
    deployment_name: str
    kem_payload: bytes
    def __init__(self, link_id: _Optional[str] = ..., version: _Optional[str] = ..., is_reply: bool = ..., public_key: _Optional[bytes] = ..., connection_type: _Optional[int] = ..., node_id: _Optional[str] = ..., deployment_name: _Optional[str] = ..., kem_payload: _Optional[bytes] = ...) -> None: ...

class SubscriptionAck(_message.Message):
    __slots__ = ("subscription_id", "success", "error")
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    subscription_id: int
    success: bool
    error: str
    def __init__(self, subscription_id: _Optional[int] = ..., success: bool = ..., error: _Optional[str] = ...) -> None: ...
