"""What is there of a kind, and what a file would change of it."""

import json
from typing import Any

import pytest
from scenarios.ctl import Ctl

from agpd.cli import listing
from agpd.cli.kinds import find
from agpd.cli.rest import Server

GRANT = {
    "tenant": "acme",
    "subject": "acme/l/*",
    "verb": "watch",
    "object": "l/*",
    "effect": "allow",
    "id": "",
}


def test_what_a_file_would_change() -> None:
    there = GRANT | {"id": "g-1"}
    assert not listing.differs(find("grant"), there, GRANT)
    assert listing.differs(find("grant"), there, GRANT | {"effect": "deny"})
    assert listing.differs(find("grant"), there, GRANT | {"id": "g-2"})
    client: dict[str, Any] = {"id": "c", "title": "", "created": 5.0, "secrets": [1]}
    assert not listing.differs(find("client"), client, client | {"created": 0.0, "secrets": []})


@pytest.fixture
def server(admin: Ctl) -> Server:
    return Server.open("acme", admin.contexts.load("acme"), admin.contexts)


def test_names_may_leave_out_the_tenant(server: Server) -> None:
    assert listing.key_of(server, find("client"), "bot") == ("acme", "bot")
    assert listing.key_of(server, find("client"), "globex/bot") == ("globex", "bot")
    assert listing.key_of(server, find("ns"), "demo") == ("acme", "demo")
    assert listing.key_of(server, find("ns"), "globex/demo") == ("globex", "demo")
    assert listing.key_of(server, find("agent"), "a/b/c/d") == ("a", "b", "c", "d")


def test_one_without_an_id_is_recognised_by_what_it_says(admin: Ctl, server: Server) -> None:
    kind = find("grant")
    with server:
        assert listing.present(server, kind, GRANT) is None
        made = json.loads(admin("create", "grant", *_options(), "-o", "json"))
        found = listing.present(server, kind, GRANT)
        assert found is not None
        assert found["id"] == made["id"]
        assert listing.present(server, kind, GRANT | {"id": made["id"]}) == found
        assert listing.present(server, kind, GRANT | {"id": "acme.none"}) is None


def _options() -> list[str]:
    return ["--subject", str(GRANT["subject"]), "--verb", "watch", "--object", str(GRANT["object"])]


def test_types_of_all_namespaces(admin: Ctl, server: Server) -> None:
    for space in ("list-a", "list-b"):
        admin("create", "namespace", space)
        admin("create", "type", f"acme/{space}/bot")
    with server:
        names = [item["name"] for item in listing.items(server, find("type"))]
        below = [item["name"] for item in listing.items(server, find("type"), ("acme", "list-a"))]
    assert {"acme/list-a/bot", "acme/list-b/bot"} <= set(names)
    assert below == ["acme/list-a/bot"]
