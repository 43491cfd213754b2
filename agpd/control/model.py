"""The tables of the control plane, SQLite and PostgreSQL alike.

Databases get them from `migrations/`: after a change here run `scripts/migration.py`.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import Integer

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts up by itself only in a column of exactly this type.
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _bytewise(length: int) -> String:
    """Texts that are ordered by their bytes on every database, whatever its locale, as Python orders ASCII."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


SEGMENT = _bytewise(63)
NAME = _bytewise(255)

tenant = Table(
    "tenant",
    metadata,
    Column("name", SEGMENT, primary_key=True),
    Column("title", String(255), nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("require_encryption", Boolean, nullable=False),
    Column("quotas", JSON, nullable=False),
)

namespace = Table(
    "namespace",
    metadata,
    Column("organization", SEGMENT, primary_key=True),
    Column("name", SEGMENT, primary_key=True),
    Column("title", String(255), nullable=False),
    ForeignKeyConstraint(["organization"], ["tenant.name"]),
)

agent_type = Table(
    "agent_type",
    metadata,
    Column("organization", SEGMENT, primary_key=True),
    Column("namespace", SEGMENT, primary_key=True),
    Column("name", SEGMENT, primary_key=True),
    Column("category", String(255), nullable=False),
    Column("description", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("capabilities", JSON, nullable=False),
    Column("callers", JSON, nullable=False),
    ForeignKeyConstraint(["organization", "namespace"], ["namespace.organization", "namespace.name"]),
)

agent = Table(
    "agent",
    metadata,
    Column(
        "id", _Serial, primary_key=True, autoincrement=False
    ),  # of time and chance: counts nobody's agents
    Column("organization", SEGMENT, nullable=False),
    Column("namespace", SEGMENT, nullable=False),
    Column("type", SEGMENT, nullable=False),
    Column("identity", SEGMENT, nullable=False),
    Column("description", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("capabilities", JSON, nullable=False),
    Column("card", JSON),
    Column("public_keys", JSON, nullable=False),
    Column("words", Text, nullable=False),  # what full text is searched in, blinded: see control/words.py
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    UniqueConstraint("organization", "namespace", "type", "identity"),
    ForeignKeyConstraint(
        ["organization", "namespace", "type"],
        ["agent_type.organization", "agent_type.namespace", "agent_type.name"],
    ),
    Index("ix_agent_found", "organization", "namespace", "type", "id"),
)

# Types whose labels or capabilities have changed, and the identity of the last agent that has been given the new ones.
type_change = Table(
    "type_change",
    metadata,
    Column("organization", SEGMENT, primary_key=True),
    Column("namespace", SEGMENT, primary_key=True),
    Column("type", SEGMENT, primary_key=True),
    Column("after", SEGMENT, nullable=False),
    ForeignKeyConstraint(
        ["organization", "namespace", "type"],
        ["agent_type.organization", "agent_type.namespace", "agent_type.name"],
        ondelete="CASCADE",
    ),
)

# Labels and capabilities once more, with those of the agent's type, and whether an instance runs: agents are found by
# them. The names are here too, so that what others have registered costs nobody's search anything.
agent_tag = Table(
    "agent_tag",
    metadata,
    Column("agent", BigInteger, primary_key=True),
    Column("kind", String(1), primary_key=True),  # l: label, c: capability, r: an instance runs
    Column("key", String(63), primary_key=True),
    Column("value", String(255), nullable=False),
    Column("inherited", Boolean, nullable=False),  # from the type
    Column("organization", SEGMENT, nullable=False),
    Column("namespace", SEGMENT, nullable=False),
    Column("type", SEGMENT, nullable=False),
    ForeignKeyConstraint(["agent"], ["agent.id"], ondelete="CASCADE"),
    Index("ix_agent_tag_found", "kind", "key", "value", "organization", "namespace", "type", "agent"),
    sqlite_with_rowid=False,
)

instance = Table(
    "instance",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("agent", BigInteger, nullable=False, index=True),
    Column("since", Float, nullable=False),
    Column("expires", Float, nullable=False, index=True),
    ForeignKeyConstraint(["agent"], ["agent.id"], ondelete="CASCADE"),
)

client = Table(
    "client",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("tenant", SEGMENT, nullable=False, index=True),
    Column("agent", NAME, nullable=False),
    Column("title", String(255), nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("may_exchange", Boolean, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("jwks", JSON),
    Column("certificates", JSON, nullable=False),
    Column("created", Float, nullable=False),
    ForeignKeyConstraint(["tenant"], ["tenant.name"]),
)

client_secret = Table(
    "client_secret",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("client", String(255), nullable=False, index=True),
    Column("hash", String(255), nullable=False),  # argon2id
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),  # 0: never
    ForeignKeyConstraint(["client"], ["client.id"], ondelete="CASCADE"),
)

refresh_token = Table(
    "refresh_token",
    metadata,
    Column("hash", LargeBinary(32), primary_key=True),  # SHA-256 of the token, which has 256 random bits
    Column("family", String(64), nullable=False, index=True),
    Column("client", String(255), nullable=False),
    Column("credential", String(64), nullable=False),
    Column("scope", Text, nullable=False),
    Column("thumbprint", String(64), nullable=False),  # of the certificate it is bound to; empty: of none
    Column("expires", Float, nullable=False, index=True),
    Column("used", Float, nullable=False),  # 0: not yet
    ForeignKeyConstraint(["client"], ["client.id"], ondelete="CASCADE"),
)

# Tokens that were not issued after `before` for (kind, value) are worth nothing; forgotten once those have all ended.
revocation = Table(
    "revocation",
    metadata,
    Column(
        "kind", String(16), primary_key=True
    ),  # token, client, credential, family; assertion: one that was used
    Column("value", String(255), primary_key=True),
    Column("before", Float, nullable=False),
    Column("until", Float, nullable=False, index=True),
)

grant = Table(
    "grant",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", SEGMENT, nullable=False, index=True),
    Column("subject", NAME, nullable=False),
    Column("verb", String(16), nullable=False),
    Column("object", NAME, nullable=False),
    Column("effect", String(8), nullable=False),
    ForeignKeyConstraint(["tenant"], ["tenant.name"]),
)

route = Table(
    "route",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", SEGMENT, nullable=False),
    Column("pattern", NAME, nullable=False),
    Column("via", NAME, nullable=False),
    UniqueConstraint("tenant", "pattern"),
    ForeignKeyConstraint(["tenant"], ["tenant.name"]),
)

issuer = Table(
    "issuer",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", SEGMENT, nullable=False, index=True),
    Column("issuer", String(255), nullable=False),
    Column("jwks_uri", String(255), nullable=False),
    Column("audience", String(255), nullable=False),
    Column("algorithms", JSON, nullable=False),
    Column("subject", String(255), nullable=False),
    Column("scopes", String(255), nullable=False),
    Column("default_scopes", JSON, nullable=False),
    Column("internal", Boolean, nullable=False),
    UniqueConstraint("tenant", "issuer", "audience"),
    ForeignKeyConstraint(["tenant"], ["tenant.name"]),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", SEGMENT, nullable=False, index=True),
    Column("algorithm", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("public", JSON, nullable=False),  # JWK
    Column("private", LargeBinary, nullable=False),  # sealed with control.key
    Column("created", Float, nullable=False),
    Column("until", Float, nullable=False),
    ForeignKeyConstraint(["tenant"], ["tenant.name"], ondelete="CASCADE"),  # they are made by themselves
)

audit = Table(
    "audit",
    metadata,
    Column("sequence", _Serial, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("tenant", SEGMENT, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON as it was digested
    Column("digest", String(64), nullable=False),
    Index("ix_audit_tenant", "tenant", "sequence"),
)

# One row: how far the chain of `audit` goes, sealed with the key of the control plane.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("seal", String(64), nullable=False),
)
