"""Tags: what an agent has of its own, and of its type."""

from agpd.control import tags
from agpd.names import Name

WRITER = Name("acme", "prod", "writer")


def test_labels_and_capabilities_are_tags() -> None:
    assert tags.tags_of({"tier": "gold"}, ["read", "read"]) == {("l", "tier"): "gold", ("c", "read"): ""}


def test_an_agents_own_label_counts_instead_of_its_types() -> None:
    own = tags.tags_of({"tier": "gold"}, ["read"])
    inherited = tags.tags_of({"tier": "base", "team": "x"}, ["read", "write"])
    rows = tags.rows(7, WRITER, own, inherited)
    assert {(row["kind"], row["key"], row["value"], row["inherited"]) for row in rows} == {
        ("l", "tier", "gold", False),
        ("l", "team", "x", True),
        ("c", "read", "", False),
        ("c", "write", "", True),
    }
    assert {(row["agent"], row["organization"], row["namespace"], row["type"]) for row in rows} == {
        (7, "acme", "prod", "writer")
    }
