from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Quotas(_message.Message):
    __slots__ = ("agents", "connections", "subscriptions", "messages_per_second", "bytes_per_second")
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    agents: int
    connections: int
    subscriptions: int
    messages_per_second: int
    bytes_per_second: int
    def __init__(self, agents: _Optional[int] = ..., connections: _Optional[int] = ..., subscriptions: _Optional[int] = ..., messages_per_second: _Optional[int] = ..., bytes_per_second: _Optional[int] = ...) -> None: ...

class Tenant(_message.Message):
    __slots__ = ("name", "title", "suspended", "require_encryption", "quotas")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_ENCRYPTION_FIELD_NUMBER: _ClassVar[int]
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    suspended: bool
    require_encryption: bool
    quotas: Quotas
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., suspended: bool = ..., require_encryption: bool = ..., quotas: _Optional[_Union[Quotas, _Mapping]] = ...) -> None: ...

class Namespace(_message.Message):
    __slots__ = ("name", "title")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ...) -> None: ...

class AgentType(_message.Message):
    __slots__ = ("name", "category", "description", "labels", "capabilities", "callers")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    CALLERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    category: str
    description: str
    labels: _containers.ScalarMap[str, str]
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    callers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., category: _Optional[str] = ..., description: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., capabilities: _Optional[_Iterable[str]] = ..., callers: _Optional[_Iterable[str]] = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("name", "since", "expires")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    name: str
    since: float
    expires: float
    def __init__(self, name: _Optional[str] = ..., since: _Optional[float] = ..., expires: _Optional[float] = ...) -> None: ...

class Agent(_message.Message):
    __slots__ = ("type", "identity", "description", "labels", "capabilities", "card", "public_keys", "created", "updated", "instances")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class PublicKeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEYS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    type: str
    identity: str
    description: str
    labels: _containers.ScalarMap[str, str]
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    card: str
    public_keys: _containers.ScalarMap[str, str]
    created: float
    updated: float
    instances: _containers.RepeatedCompositeFieldContainer[Instance]
    def __init__(self, type: _Optional[str] = ..., identity: _Optional[str] = ..., description: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., capabilities: _Optional[_Iterable[str]] = ..., card: _Optional[str] = ..., public_keys: _Optional[_Mapping[str, str]] = ..., created: _Optional[float] = ..., updated: _Optional[float] = ..., instances: _Optional[_Iterable[_Union[Instance, _Mapping]]] = ...) -> None: ...

class Secret(_message.Message):
    __slots__ = ("id", "created", "expires", "secret")
    ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    id: str
    created: float
    expires: float
    secret: str
    def __init__(self, id: _Optional[str] = ..., created: _Optional[float] = ..., expires: _Optional[float] = ..., secret: _Optional[str] = ...) -> None: ...

class Client(_message.Message):
    __slots__ = ("id", "tenant", "agent", "title", "admin", "disabled", "may_exchange", "scopes", "jwks", "certificates", "secrets", "created")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    ADMIN_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    MAY_EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    JWKS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATES_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant: str
    agent: str
    title: str
    admin: bool
    disabled: bool
    may_exchange: bool
    scopes: _containers.RepeatedScalarFieldContainer[str]
    jwks: str
    certificates: _containers.RepeatedScalarFieldContainer[str]
    secrets: _containers.RepeatedCompositeFieldContainer[Secret]
    created: float
    def __init__(self, id: _Optional[str] = ..., tenant: _Optional[str] = ..., agent: _Optional[str] = ..., title: _Optional[str] = ..., admin: bool = ..., disabled: bool = ..., may_exchange: bool = ..., scopes: _Optional[_Iterable[str]] = ..., jwks: _Optional[str] = ..., certificates: _Optional[_Iterable[str]] = ..., secrets: _Optional[_Iterable[_Union[Secret, _Mapping]]] = ..., created: _Optional[float] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("id", "tenant", "subject", "verb", "object", "effect")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    VERB_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant: str
    subject: str
    verb: str
    object: str
    effect: str
    def __init__(self, id: _Optional[str] = ..., tenant: _Optional[str] = ..., subject: _Optional[str] = ..., verb: _Optional[str] = ..., object: _Optional[str] = ..., effect: _Optional[str] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("id", "tenant", "pattern", "via")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant: str
    pattern: str
    via: str
    def __init__(self, id: _Optional[str] = ..., tenant: _Optional[str] = ..., pattern: _Optional[str] = ..., via: _Optional[str] = ...) -> None: ...

class Issuer(_message.Message):
    __slots__ = ("id", "tenant", "issuer", "jwks_uri", "audience", "algorithms", "subject", "scopes", "default_scopes", "internal")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    JWKS_URI_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    ALGORITHMS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_SCOPES_FIELD_NUMBER: _ClassVar[int]
    INTERNAL_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant: str
    issuer: str
    jwks_uri: str
    audience: str
    algorithms: _containers.RepeatedScalarFieldContainer[str]
    subject: str
    scopes: str
    default_scopes: _containers.RepeatedScalarFieldContainer[str]
    internal: bool
    def __init__(self, id: _Optional[str] = ..., tenant: _Optional[str] = ..., issuer: _Optional[str] = ..., jwks_uri: _Optional[str] = ..., audience: _Optional[str] = ..., algorithms: _Optional[_Iterable[str]] = ..., subject: _Optional[str] = ..., scopes: _Optional[str] = ..., default_scopes: _Optional[_Iterable[str]] = ..., internal: bool = ...) -> None: ...

class SigningKey(_message.Message):
    __slots__ = ("id", "tenant", "algorithm", "state", "created", "until")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant: str
    algorithm: str
    state: str
    created: float
    until: float
    def __init__(self, id: _Optional[str] = ..., tenant: _Optional[str] = ..., algorithm: _Optional[str] = ..., state: _Optional[str] = ..., created: _Optional[float] = ..., until: _Optional[float] = ...) -> None: ...

class AuditEvent(_message.Message):
    __slots__ = ("sequence", "at", "actor", "tenant", "action", "object", "detail", "digest")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    at: float
    actor: str
    tenant: str
    action: str
    object: str
    detail: str
    digest: str
    def __init__(self, sequence: _Optional[int] = ..., at: _Optional[float] = ..., actor: _Optional[str] = ..., tenant: _Optional[str] = ..., action: _Optional[str] = ..., object: _Optional[str] = ..., detail: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("organization", "namespace", "type", "labels", "capabilities", "live", "text")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    organization: str
    namespace: str
    type: str
    labels: _containers.ScalarMap[str, str]
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    live: bool
    text: str
    def __init__(self, organization: _Optional[str] = ..., namespace: _Optional[str] = ..., type: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., capabilities: _Optional[_Iterable[str]] = ..., live: bool = ..., text: _Optional[str] = ...) -> None: ...

class AgentEvent(_message.Message):
    __slots__ = ("kind", "agent")
    KIND_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    agent: Agent
    def __init__(self, kind: _Optional[str] = ..., agent: _Optional[_Union[Agent, _Mapping]] = ...) -> None: ...

class Rule(_message.Message):
    __slots__ = ("source", "effect", "text")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    source: str
    effect: str
    text: str
    def __init__(self, source: _Optional[str] = ..., effect: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("allowed", "subject", "verb", "object", "rules")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    VERB_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    subject: str
    verb: str
    object: str
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    def __init__(self, allowed: bool = ..., subject: _Optional[str] = ..., verb: _Optional[str] = ..., object: _Optional[str] = ..., rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ...) -> None: ...

class Empty(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Key(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("scope", "after", "limit")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    scope: str
    after: str
    limit: int
    def __init__(self, scope: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class RegisterRequest(_message.Message):
    __slots__ = ("agent", "create")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    agent: Agent
    create: bool
    def __init__(self, agent: _Optional[_Union[Agent, _Mapping]] = ..., create: bool = ...) -> None: ...

class AgentKey(_message.Message):
    __slots__ = ("type", "identity")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    type: str
    identity: str
    def __init__(self, type: _Optional[str] = ..., identity: _Optional[str] = ...) -> None: ...

class StartRequest(_message.Message):
    __slots__ = ("type", "identity", "instance")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    type: str
    identity: str
    instance: str
    def __init__(self, type: _Optional[str] = ..., identity: _Optional[str] = ..., instance: _Optional[str] = ...) -> None: ...

class InstanceKey(_message.Message):
    __slots__ = ("instance",)
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    def __init__(self, instance: _Optional[str] = ...) -> None: ...

class FindRequest(_message.Message):
    __slots__ = ("query", "after", "limit")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    query: Query
    after: str
    limit: int
    def __init__(self, query: _Optional[_Union[Query, _Mapping]] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class AgentPage(_message.Message):
    __slots__ = ("items", "next")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Agent]
    next: str
    def __init__(self, items: _Optional[_Iterable[_Union[Agent, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class IssueRequest(_message.Message):
    __slots__ = ("tenant", "client_id", "client_secret", "scope")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_SECRET_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    client_id: str
    client_secret: str
    scope: str
    def __init__(self, tenant: _Optional[str] = ..., client_id: _Optional[str] = ..., client_secret: _Optional[str] = ..., scope: _Optional[str] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("access_token", "token_type", "expires_in", "scope", "refresh_token")
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_TYPE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    access_token: str
    token_type: str
    expires_in: int
    scope: str
    refresh_token: str
    def __init__(self, access_token: _Optional[str] = ..., token_type: _Optional[str] = ..., expires_in: _Optional[int] = ..., scope: _Optional[str] = ..., refresh_token: _Optional[str] = ...) -> None: ...

class TokenRequest(_message.Message):
    __slots__ = ("tenant", "client_id", "client_secret", "token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_SECRET_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    client_id: str
    client_secret: str
    token: str
    def __init__(self, tenant: _Optional[str] = ..., client_id: _Optional[str] = ..., client_secret: _Optional[str] = ..., token: _Optional[str] = ...) -> None: ...

class Introspection(_message.Message):
    __slots__ = ("active", "claims")
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    active: bool
    claims: str
    def __init__(self, active: bool = ..., claims: _Optional[str] = ...) -> None: ...

class PutTenantRequest(_message.Message):
    __slots__ = ("resource", "create")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    resource: Tenant
    create: bool
    def __init__(self, resource: _Optional[_Union[Tenant, _Mapping]] = ..., create: bool = ...) -> None: ...

class TenantPage(_message.Message):
    __slots__ = ("items", "next")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Tenant]
    next: str
    def __init__(self, items: _Optional[_Iterable[_Union[Tenant, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class PutNamespaceRequest(_message.Message):
    __slots__ = ("resource", "create")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    resource: Namespace
    create: bool
    def __init__(self, resource: _Optional[_Union[Namespace, _Mapping]] = ..., create: bool = ...) -> None: ...

class NamespacePage(_message.Message):
    __slots__ = ("items", "next")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Namespace]
    next: str
    def __init__(self, items: _Optional[_Iterable[_Union[Namespace, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class PutAgentTypeRequest(_message.Message):
    __slots__ = ("resource", "create")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    resource: AgentType
    create: bool
    def __init__(self, resource: _Optional[_Union[AgentType, _Mapping]] = ..., create: bool = ...) -> None: ...

class AgentTypePage(_message.Message):
    __slots__ = ("items", "next")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[AgentType]
    next: str
    def __init__(self, items: _Optional[_Iterable[_Union[AgentType, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class PutClientRequest(_message.Message):
    __slots__ = ("resource", "create")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    resource: Client
    create: bool
    def __init__(self, resource: _Optional[_Union[Client, _Mapping]] = ..., create: bool = ...) -> None: ...

class ClientPage(_message.Message):
    __slots__ = ("items", "next")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Client]
    next: str
    def __init__(self, items: _Optional[_Iterable[_Union[Client, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class AddSecretRequest(_message.Message):
    __slots__ = ("client", "expires")
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    client: str
    expires: float
    def __init__(self, client: _Optional[str] = ..., expires: _Optional[float] = ...) -> None: ...

class RevokeSecretRequest(_message.Message):
    __slots__ = ("client", "secret")
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    client: str
    secret: str
    def __init__(self, client: _Optional[str] = ..., secret: _Optional[str] = ...) -> None: ...

class PutGrantRequest(_message.Message):
    __slots__ = ("resource", "create")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    resource: Grant
    create: bool
    def __init__(self, resource: _Optional[_Union[Grant, _Mapping]] = ..., create: bool = ...) -> None: ...

class GrantPage(_message.Message):
    __slots__ = ("items", "next")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Grant]
    next: str
    def __init__(self, items: _Optional[_Iterable[_Union[Grant, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class CanRequest(_message.Message):
    __slots__ = ("subject", "verb", "object")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    VERB_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    verb: str
    object: str
    def __init__(self, subject: _Optional[str] = ..., verb: _Optional[str] = ..., object: _Optional[str] = ...) -> None: ...

class PutRouteRequest(_message.Message):
    __slots__ = ("resource", "create")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    resource: Route
    create: bool
    def __init__(self, resource: _Optional[_Union[Route, _Mapping]] = ..., create: bool = ...) -> None: ...

class RoutePage(_message.Message):
    __slots__ = ("items", "next")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Route]
    next: str
    def __init__(self, items: _Optional[_Iterable[_Union[Route, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class PutIssuerRequest(_message.Message):
    __slots__ = ("resource", "create")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    resource: Issuer
    create: bool
    def __init__(self, resource: _Optional[_Union[Issuer, _Mapping]] = ..., create: bool = ...) -> None: ...

class IssuerPage(_message.Message):
    __slots__ = ("items", "next")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Issuer]
    next: str
    def __init__(self, items: _Optional[_Iterable[_Union[Issuer, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class SigningKeyPage(_message.Message):
    __slots__ = ("items", "next")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SigningKey]
    next: str
    def __init__(self, items: _Optional[_Iterable[_Union[SigningKey, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class RotateRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class EventsRequest(_message.Message):
    __slots__ = ("tenant", "after")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    after: str
    def __init__(self, tenant: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class AuditReport(_message.Message):
    __slots__ = ("intact", "sequence", "digest", "broken", "reason")
    INTACT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    intact: bool
    sequence: int
    digest: str
    broken: int
    reason: str
    def __init__(self, intact: bool = ..., sequence: _Optional[int] = ..., digest: _Optional[str] = ..., broken: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...
