"""The kinds of resources that `agpctl get`, `create`, `apply` ... know: one table.

A *key* is the tuple of segments that names a resource: `("acme", "prod")` for the namespace `acme/prod`,
`("acme", "acme.bot")` for the client `acme.bot` of the tenant `acme`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from agpd.cli.lazy import Failure
from agpd.cli.text import printable
from agpd.control import resources

Values = Mapping[str, Any]
Key = tuple[str, ...]


class Column(NamedTuple):
    """A column of a table; `wide`: only of a wide one. `text` gets the resource and the time (Unix seconds)."""

    title: str
    text: Callable[[Values, float], str]
    wide: bool = False


class Kind(NamedTuple):
    """A kind of resource.

    `lists` is the path of a list, `items` that above one item, both with a field for each segment of a key that they
    need. `names` are the fields that make the key; a field with slashes gives several segments. `same` are fields by
    which one without an id is recognised. `given` are fields that the gateway fills in.
    """

    name: str
    plural: str
    aliases: tuple[str, ...]
    resource: type[resources.Resource]
    lists: str
    items: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    same: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    changes: bool = True  # may be created, changed and deleted

    def key(self, values: Values) -> Key:
        """Of a resource; the last segment may be empty."""
        return tuple(segment for name in self.names for segment in str(values[name]).split("/"))

    def title(self, values: Values) -> str:
        """What people call it: the id, or the whole name."""
        key = self.key(values)
        return printable(key[-1] if self.in_tenant else "/".join(key))

    @property
    def in_tenant(self) -> bool:
        """Has it a field `tenant`, and an id of its own?"""
        return self.names[0] == "tenant"

    @property
    def depth(self) -> int:
        """How many segments its key has."""
        return {"tenant": 1, "type": 3, "agent": 4}.get(self.name, 2)

    def list_path(self, key: Key) -> str:
        """Where to list, or to post, what lies beside `key`."""
        return self.lists.format(*map(_quoted, key))

    def item_path(self, key: Key) -> str:
        """Where that one is. Raises `Failure`."""
        if len(key) != self.depth or not all(key):
            raise Failure(f"{'/'.join(key)!r} is no name of {self.article}: write {SHAPES[self.depth]}")
        return f"{self.items.format(*map(_quoted, key))}/{_quoted(key[-1])}"

    @property
    def article(self) -> str:
        """`a client`, `an agent`."""
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"


SHAPES = {1: "org", 2: "org/namespace", 3: "org/namespace/type", 4: "org/namespace/type/identity"}


def find(word: str) -> Kind:
    """The kind with this name, plural or alias. Raises `Failure`."""
    for kind in KINDS:
        if word.lower() in (kind.name, kind.plural, *kind.aliases):
            return kind
    raise Failure(
        f"'{printable(word)}' is no kind of resource; there are {', '.join(k.plural for k in KINDS)}"
    )


def own(kind: Kind, values: Values) -> dict[str, Any]:
    """A resource without what the gateway fills in."""
    return {name: value for name, value in values.items() if name not in kind.given}


def age(at: float, now: float) -> str:
    """How long ago, in one unit; `-` for never."""
    return span(now - at) if at else "-"


def span(seconds: float) -> str:
    """A time in one unit: 5s, 3m, 7h, 12d."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def _field(title: str, name: str, *, wide: bool = False) -> Column:
    return Column(title, lambda values, _: _text(values[name]), wide)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    if isinstance(value, dict):
        return ",".join(f"{key}={inner}" for key, inner in value.items() if inner) or "-"
    return str(value) or "-"


def _ends(values: Values, now: float) -> str:
    return "-" if not values["until"] else f"in {span(values['until'] - now)}"


def _last(values: Values, now: float) -> str:
    return age(max((one["since"] for one in values["instances"]), default=0.0), now)


def _state(values: Values, now: float) -> str:
    return "disabled" if values["disabled"] else "admin" if values["admin"] else "agent"


def _ways(values: Values, now: float) -> str:
    """How a client authenticates."""
    ways = {
        "secret": sum(1 for one in values["secrets"] if not one["expires"] or one["expires"] > now),
        "key": len((values["jwks"] or {}).get("keys", ())),
        "certificate": len(values["certificates"]),
    }
    return ",".join(f"{count} {way}{'s' * (count > 1)}" for way, count in ways.items() if count) or "none"


def _quoted(segment: str) -> str:
    return quote(segment, safe="")


_LABELS = _field("LABELS", "labels", wide=True)
_CREATED = Column("AGE", lambda values, now: age(values["created"], now))


def _in_tenant(name: str) -> tuple[str, str]:
    return (f"/v1/tenants/{{0}}/{name}",) * 2


KINDS = (
    Kind(
        "tenant", "tenants", ("org", "organization"), resources.Tenant,
        "/v1/tenants", "/v1/tenants", ("name",),
        (
            _field("NAME", "name"),
            _field("TITLE", "title"),
            Column("STATE", lambda values, _: "suspended" if values["suspended"] else "active"),
            _field("ENCRYPTION REQUIRED", "require_encryption", wide=True),
            _field("QUOTAS", "quotas", wide=True),
        ),
    ),
    Kind(
        "namespace", "namespaces", ("ns",), resources.Namespace, *_in_tenant("namespaces"), ("name",),
        (_field("NAME", "name"), _field("TITLE", "title")),
    ),
    Kind(
        "type", "types", ("agenttype", "agenttypes"), resources.AgentType,
        *("/v1/tenants/{0}/namespaces/{1}/types",) * 2, ("name",),
        (
            _field("NAME", "name"),
            _field("CATEGORY", "category"),
            _field("CAPABILITIES", "capabilities"),
            _LABELS,
            _field("CALLERS", "callers", wide=True),
            _field("DESCRIPTION", "description", wide=True),
        ),
    ),
    Kind(
        "agent", "agents", (), resources.Agent, "/v1/agents", "/v1/agents/{0}/{1}/{2}", ("type", "identity"),
        (
            Column("NAME", lambda values, _: f"{values['type']}/{values['identity']}"),
            Column("LIVE", lambda values, _: str(len(values["instances"]))),
            _field("CAPABILITIES", "capabilities"),
            Column("AGE", lambda values, now: age(values["created"], now)),
            Column("LAST START", _last, wide=True),
            _LABELS,
            _field("DESCRIPTION", "description", wide=True),
        ),
        given=("created", "updated", "instances"),
    ),
    Kind(
        "client", "clients", (), resources.Client, *_in_tenant("clients"), ("tenant", "id"),
        (
            _field("ID", "id"),
            _field("AGENT", "agent"),
            Column("ROLE", _state),
            Column("AUTHENTICATES BY", _ways),
            _CREATED,
            _field("SCOPES", "scopes", wide=True),
            _field("TITLE", "title", wide=True),
        ),
        given=("created", "secrets"),
    ),
    Kind(
        "grant", "grants", (), resources.Grant, *_in_tenant("grants"), ("tenant", "id"),
        (
            _field("ID", "id"),
            _field("EFFECT", "effect"),
            _field("SUBJECT", "subject"),
            _field("VERB", "verb"),
            _field("OBJECT", "object"),
        ),
        same=("subject", "verb", "object"),
    ),
    Kind(
        "route", "routes", (), resources.Route, *_in_tenant("routes"), ("tenant", "id"),
        (_field("ID", "id"), _field("PATTERN", "pattern"), _field("VIA", "via")),
        same=("pattern",),
    ),
    Kind(
        "issuer", "issuers", ("idp",), resources.Issuer, *_in_tenant("issuers"), ("tenant", "id"),
        (
            _field("ID", "id"),
            _field("ISSUER", "issuer"),
            _field("AUDIENCE", "audience"),
            _field("SUBJECT", "subject"),
            _field("JWKS", "jwks_uri", wide=True),
            _field("ALGORITHMS", "algorithms", wide=True),
        ),
        same=("issuer",),
    ),
    Kind(
        "key", "keys", ("signingkey", "signingkeys"), resources.SigningKey, *_in_tenant("keys"), ("tenant", "id"),
        (
            _field("ID", "id"),
            _field("ALGORITHM", "algorithm"),
            _field("STATE", "state"),
            _CREATED,
            Column("ENDS", _ends),
        ),
        changes=False,
    ),
)  # fmt: skip
