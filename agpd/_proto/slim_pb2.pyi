from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

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
    __slots__ = ("discovery_request", "discovery_reply", "join_request", "join_reply", "leave_request", "leave_reply", "group_update", "group_welcome", "group_close", "group_proposal", "group_ack", "group_nack", "heartbeat", "participant_state", "rejoin_request", "rejoin_reply")
    DISCOVERY_REQUEST_FIELD_NUMBER: _ClassVar[int]
    DISCOVERY_REPLY_FIELD_NUMBER: _ClassVar[int]
    JOIN_REQUEST_FIELD_NUMBER: _ClassVar[int]
    JOIN_REPLY_FIELD_NUMBER: _ClassVar[int]
    LEAVE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    LEAVE_REPLY_FIELD_NUMBER: _ClassVar[int]
    GROUP_UPDATE_FIELD_NUMBER: _ClassVar[int]
    GROUP_WELCOME_FIELD_NUMBER: _ClassVar[int]
    GROUP_CLOSE_FIELD_NUMBER: _ClassVar[int]
    GROUP_PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    GROUP_ACK_FIELD_NUMBER: _ClassVar[int]
    GROUP_NACK_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_STATE_FIELD_NUMBER: _ClassVar[int]
    REJOIN_REQUEST_FIELD_NUMBER: _ClassVar[int]
    REJOIN_REPLY_FIELD_NUMBER: _ClassVar[int]
    discovery_request: Nothing
    discovery_reply: Nothing
    join_request: JoinRequest
    join_reply: JoinReply
    leave_request: Nothing
    leave_reply: Nothing
    group_update: GroupUpdate
    group_welcome: GroupWelcome
    group_close: GroupClose
    group_proposal: GroupProposal
    group_ack: Nothing
    group_nack: Nothing
    heartbeat: Heartbeat
    participant_state: ParticipantState
    rejoin_request: RejoinRequest
    rejoin_reply: RejoinReply
    def __init__(self, discovery_request: _Optional[_Union[Nothing, _Mapping]] = ..., discovery_reply: _Optional[_Union[Nothing, _Mapping]] = ..., join_request: _Optional[_Union[JoinRequest, _Mapping]] = ..., join_reply: _Optional[_Union[JoinReply, _Mapping]] = ..., leave_request: _Optional[_Union[Nothing, _Mapping]] = ..., leave_reply: _Optional[_Union[Nothing, _Mapping]] = ..., group_update: _Optional[_Union[GroupUpdate, _Mapping]] = ..., group_welcome: _Optional[_Union[GroupWelcome, _Mapping]] = ..., group_close: _Optional[_Union[GroupClose, _Mapping]] = ..., group_proposal: _Optional[_Union[GroupProposal, _Mapping]] = ..., group_ack: _Optional[_Union[Nothing, _Mapping]] = ..., group_nack: _Optional[_Union[Nothing, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., participant_state: _Optional[_Union[ParticipantState, _Mapping]] = ..., rejoin_request: _Optional[_Union[RejoinRequest, _Mapping]] = ..., rejoin_reply: _Optional[_Union[RejoinReply, _Mapping]] = ...) -> None: ...

class Nothing(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Participant(_message.Message):
    __slots__ = ("name", "settings", "status")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    name: Name
    settings: ParticipantSettings
    status: int
    def __init__(self, name: _Optional[_Union[Name, _Mapping]] = ..., settings: _Optional[_Union[ParticipantSettings, _Mapping]] = ..., status: _Optional[int] = ...) -> None: ...

class ParticipantSettings(_message.Message):
    __slots__ = ("sends_data", "receives_data")
    SENDS_DATA_FIELD_NUMBER: _ClassVar[int]
    RECEIVES_DATA_FIELD_NUMBER: _ClassVar[int]
    sends_data: bool
    receives_data: bool
    def __init__(self, sends_data: bool = ..., receives_data: bool = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("timer_settings", "channel", "control", "mls_settings")
    TIMER_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    MLS_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    timer_settings: TimerSettings
    channel: Name
    control: Name
    mls_settings: MlsSettings
    def __init__(self, timer_settings: _Optional[_Union[TimerSettings, _Mapping]] = ..., channel: _Optional[_Union[Name, _Mapping]] = ..., control: _Optional[_Union[Name, _Mapping]] = ..., mls_settings: _Optional[_Union[MlsSettings, _Mapping]] = ...) -> None: ...

class TimerSettings(_message.Message):
    __slots__ = ("timeout", "max_retries")
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    timeout: int
    max_retries: int
    def __init__(self, timeout: _Optional[int] = ..., max_retries: _Optional[int] = ...) -> None: ...

class MlsSettings(_message.Message):
    __slots__ = ("header_integrity_validation_percent",)
    HEADER_INTEGRITY_VALIDATION_PERCENT_FIELD_NUMBER: _ClassVar[int]
    header_integrity_validation_percent: int
    def __init__(self, header_integrity_validation_percent: _Optional[int] = ...) -> None: ...

class JoinReply(_message.Message):
    __slots__ = ("key_package", "participant")
    KEY_PACKAGE_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    key_package: bytes
    participant: Participant
    def __init__(self, key_package: _Optional[bytes] = ..., participant: _Optional[_Union[Participant, _Mapping]] = ...) -> None: ...

class Mls(_message.Message):
    __slots__ = ("commit_id", "mls_content")
    COMMIT_ID_FIELD_NUMBER: _ClassVar[int]
    MLS_CONTENT_FIELD_NUMBER: _ClassVar[int]
    commit_id: int
    mls_content: bytes
    def __init__(self, commit_id: _Optional[int] = ..., mls_content: _Optional[bytes] = ...) -> None: ...

class GroupUpdate(_message.Message):
    __slots__ = ("op", "participant", "participants", "mls")
    OP_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    MLS_FIELD_NUMBER: _ClassVar[int]
    op: int
    participant: Participant
    participants: _containers.RepeatedCompositeFieldContainer[Participant]
    mls: Mls
    def __init__(self, op: _Optional[int] = ..., participant: _Optional[_Union[Participant, _Mapping]] = ..., participants: _Optional[_Iterable[_Union[Participant, _Mapping]]] = ..., mls: _Optional[_Union[Mls, _Mapping]] = ...) -> None: ...

class GroupWelcome(_message.Message):
    __slots__ = ("participants", "mls")
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    MLS_FIELD_NUMBER: _ClassVar[int]
    participants: _containers.RepeatedCompositeFieldContainer[Participant]
    mls: Mls
    def __init__(self, participants: _Optional[_Iterable[_Union[Participant, _Mapping]]] = ..., mls: _Optional[_Union[Mls, _Mapping]] = ...) -> None: ...

class GroupClose(_message.Message):
    __slots__ = ("participants",)
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    participants: _containers.RepeatedCompositeFieldContainer[Name]
    def __init__(self, participants: _Optional[_Iterable[_Union[Name, _Mapping]]] = ...) -> None: ...

class GroupProposal(_message.Message):
    __slots__ = ("source", "mls_proposal")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MLS_PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    source: Name
    mls_proposal: bytes
    def __init__(self, source: _Optional[_Union[Name, _Mapping]] = ..., mls_proposal: _Optional[bytes] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

class ParticipantState(_message.Message):
    __slots__ = ("participant", "new_state", "epoch")
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    NEW_STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    participant: Name
    new_state: int
    epoch: int
    def __init__(self, participant: _Optional[_Union[Name, _Mapping]] = ..., new_state: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class RejoinRequest(_message.Message):
    __slots__ = ("participant", "key_package")
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    KEY_PACKAGE_FIELD_NUMBER: _ClassVar[int]
    participant: Name
    key_package: bytes
    def __init__(self, participant: _Optional[_Union[Name, _Mapping]] = ..., key_package: _Optional[bytes] = ...) -> None: ...

class RejoinReply(_message.Message):
    __slots__ = ("commit_id", "mls_content")
    COMMIT_ID_FIELD_NUMBER: _ClassVar[int]
    MLS_CONTENT_FIELD_NUMBER: _ClassVar[int]
    commit_id: int
    mls_content: bytes
    def __init__(self, commit_id: _Optional[int] = ..., mls_content: _Optional[bytes] = ...) -> None: ...

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
