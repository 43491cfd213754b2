"""What the control plane keeps, as its callers see it: one struct for each kind of resource.

REST, gRPC, `agpctl` and the files of `agpctl apply` all use these. Times are Unix seconds. Names and patterns are
texts of the grammar in `agpd.names`; services check them.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(max_length=4096)]
ShortText = Annotated[str, Meta(max_length=255)]
Label = Annotated[str, Meta(min_length=1, max_length=63)]
LabelValue = Annotated[str, Meta(max_length=255)]
Labels = Annotated[dict[Label, LabelValue], Meta(max_length=64)]
Capabilities = Annotated[list[Label], Meta(max_length=64)]
Patterns = Annotated[list[ShortText], Meta(max_length=256)]
Amount = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Verb = Literal["publish", "request", "subscribe", "register", "watch", "observe", "route"]
VERBS: tuple[Verb, ...] = ("publish", "request", "subscribe", "register", "watch", "observe", "route")

Item = TypeVar("Item")


class Resource(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """Base of all resources; unknown fields are refused."""


class Quotas(Resource, kw_only=True, forbid_unknown_fields=True):
    """What a tenant may use at once, or in a second. 0 is without limit."""

    agents: Amount = 0
    connections: Amount = 0
    subscriptions: Amount = 0
    messages_per_second: Amount = 0
    bytes_per_second: Amount = 0


class Tenant(Resource, kw_only=True, forbid_unknown_fields=True):
    """An organization. `name` is the first segment of all its names.

    `require_encryption` says that payloads are to be encrypted end to end; nothing checks it in this release.
    """

    name: ShortText
    title: ShortText = ""
    suspended: bool = False
    require_encryption: bool = False
    quotas: Quotas = msgspec.field(default_factory=Quotas)


class Namespace(Resource, kw_only=True, forbid_unknown_fields=True):
    """`name` is `organization/namespace`."""

    name: ShortText
    title: ShortText = ""


class AgentType(Resource, kw_only=True, forbid_unknown_fields=True):
    """`name` is `organization/namespace/type`.

    `callers`: patterns of who may publish to the type, or ask it; empty: whoever the grants allow.
    """

    name: ShortText
    category: ShortText = ""
    description: Text = ""
    labels: Labels = {}
    capabilities: Capabilities = []
    callers: Patterns = []


class Instance(Resource, kw_only=True, forbid_unknown_fields=True):
    """A running instance of a registered agent. It is gone when nobody renews it before `expires`."""

    name: ShortText
    since: float = 0.0
    expires: float = 0.0


class Agent(Resource, kw_only=True, forbid_unknown_fields=True):
    """The registration of a lasting identity under a type.

    `type` is `organization/namespace/type`, `identity` a segment of a name, unique within the type. `card` is whatever
    the agent says of itself, such as an A2A card. `public_keys` maps a use to a key (base64). `created`, `updated` and
    `instances` are set by the registry.
    """

    type: ShortText
    identity: ShortText
    description: Text = ""
    labels: Labels = {}
    capabilities: Capabilities = []
    card: dict[str, Any] | None = None
    public_keys: Annotated[dict[Label, Text], Meta(max_length=16)] = {}
    created: float = 0.0
    updated: float = 0.0
    instances: list[Instance] = []


class Secret(Resource, kw_only=True, forbid_unknown_fields=True):
    """One of at most two live secrets of a client. `secret` is there only in the answer that made it."""

    id: ShortText
    created: float = 0.0
    expires: float = 0.0
    secret: ShortText = ""

    def __repr__(self) -> str:
        return f"Secret(id={self.id!r}, created={self.created!r}, expires={self.expires!r})"


class Client(Resource, kw_only=True, forbid_unknown_fields=True):
    """Credentials for tokens. `id` is `<tenant>.<label>`.

    `agent` is the pattern of names that its tokens may speak as; it lies in the tenant. `admin`: may hold `agp:admin`.
    `scopes` are what it may ask for; empty: all that the grants allow, but not `agp:admin`. It authenticates with a
    secret, with a key in `jwks` (private_key_jwt), or with a certificate of which `certificates` has the thumbprint
    (`x5t#S256`). `may_exchange`: may exchange tokens of others of the tenant for its own (RFC 8693).
    """

    id: ShortText
    tenant: ShortText
    agent: ShortText
    title: ShortText = ""
    admin: bool = False
    disabled: bool = False
    may_exchange: bool = False
    scopes: Patterns = []
    jwks: dict[str, Any] | None = None
    certificates: Patterns = []
    secrets: list[Secret] = []
    created: float = 0.0


class Grant(Resource, kw_only=True, forbid_unknown_fields=True):
    """`subject` may (or may not) do `verb` to `object`, says `tenant`.

    Between organizations both must say so: the one that `subject` belongs to and the one that `object` belongs to.
    Inside one organization everything but `observe` is allowed that no grant denies. `deny` beats `allow`.
    """

    id: ShortText = ""
    tenant: ShortText
    subject: ShortText
    verb: Verb
    object: ShortText
    effect: Literal["allow", "deny"] = "allow"


class Route(Resource, kw_only=True, forbid_unknown_fields=True):
    """What agents of `tenant` send to `pattern` and nobody takes goes to an instance of the type `via`."""

    id: ShortText = ""
    tenant: ShortText
    pattern: ShortText
    via: ShortText


class Issuer(Resource, kw_only=True, forbid_unknown_fields=True):
    """An identity provider outside, whose tokens `tenant` accepts.

    `subject` is a template of the agent's pattern, such as `acme/prod/{azp}`, filled from the token's claims. `scopes`
    is the claim that holds the scopes; empty: the token gets `default_scopes`. `internal`: the keys may be fetched from
    private addresses; only operators may say so. Tokens of other issuers never carry `agp:admin`.
    """

    id: ShortText = ""
    tenant: ShortText
    issuer: ShortText
    jwks_uri: ShortText
    audience: ShortText
    algorithms: Patterns = msgspec.field(default_factory=lambda: ["RS256", "ES256", "Ed25519"])
    subject: ShortText
    scopes: ShortText = ""
    default_scopes: Patterns = []
    internal: bool = False


class SigningKey(Resource, kw_only=True, forbid_unknown_fields=True):
    """A key that a tenant's tokens are signed with. The private part is never shown."""

    id: ShortText
    tenant: ShortText
    algorithm: Literal["Ed25519", "ES256"]
    state: Literal["pending", "active", "retired"]
    created: float
    until: float = 0.0


class AuditEvent(Resource, kw_only=True, forbid_unknown_fields=True):
    """One act of the control plane. `digest` covers the event and the digest before it."""

    sequence: int
    at: float
    actor: str
    tenant: str
    action: str
    object: str
    detail: dict[str, Any] = {}
    digest: str = ""


class AuditCheck(Resource, kw_only=True, forbid_unknown_fields=True):
    """Is the audit log what was written? `sequence` and `digest` are those of its last event.

    Otherwise `broken` is the first sequence that is not, and `reason` says how.
    """

    intact: bool
    sequence: int
    digest: str
    broken: int = 0
    reason: str = ""


class Query(Resource, kw_only=True, forbid_unknown_fields=True):
    """What to find. All that is given must hold; `labels` each; `text` is searched for in words."""

    organization: ShortText = ""
    namespace: ShortText = ""
    type: ShortText = ""
    labels: Labels = {}
    capabilities: Capabilities = []
    live: bool = False
    text: ShortText = ""


class AgentEvent(Resource, kw_only=True, forbid_unknown_fields=True):
    """A change that a watcher of the registry is told."""

    kind: Literal["registered", "changed", "deregistered", "started", "stopped"]
    agent: Agent


class Page(msgspec.Struct, Generic[Item], kw_only=True):
    """A part of a list. `next` asks for the part behind it; empty: there is none."""

    items: list[Item]
    next: str = ""


class Rule(Resource, kw_only=True, forbid_unknown_fields=True):
    """A reason for a verdict: whose rule, and what it says."""

    source: str
    effect: Literal["allow", "deny", "missing"]
    text: str


class Verdict(Resource, kw_only=True, forbid_unknown_fields=True):
    """May `subject` do `verb` to `object`, and which rules decide?"""

    allowed: bool
    subject: str
    verb: Verb
    object: str
    rules: list[Rule]
