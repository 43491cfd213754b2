"""The table of kinds: names, addresses, columns."""

import msgspec
import pytest

from agpd.cli import kinds
from agpd.cli.kinds import KINDS, Kind, find
from agpd.cli.lazy import Failure

VALUES = {"name": "acme/demo", "tenant": "acme", "id": "x 1", "type": "acme/demo/bot", "identity": "eu-1"}


def example(kind: Kind) -> dict[str, object]:
    """A resource with all defaults, its names filled in."""
    fields = msgspec.structs.fields(kind.resource)
    required = {field.name: VALUES.get(field.name, "acme/*") for field in fields if field.required}
    for name, value in (("verb", "publish"), ("algorithm", "Ed25519"), ("state", "active"), ("created", 1.0)):
        if name in required:
            required[name] = value
    built: dict[str, object] = msgspec.to_builtins(msgspec.convert(required, kind.resource))
    return built


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_can_be_shown(kind: Kind) -> None:
    item = example(kind) | {"id": "x1"}
    cells = [column.text(item, 100.0) for column in kind.columns]
    assert all(isinstance(cell, str) and cell for cell in cells)
    assert kind.title(item)
    assert {"type", "identity", "tenant", "name", "id"} >= set(kind.names)
    assert set(kind.names) | set(kind.given) | set(kind.same) <= set(example(kind))


def test_words_are_of_one_kind_only() -> None:
    words = [word for kind in KINDS for word in (kind.name, kind.plural, *kind.aliases)]
    assert len(set(words)) == len(words)
    for kind in KINDS:
        assert find(kind.name) is find(kind.plural.upper()) is kind
    assert find("ns").name == "namespace"
    with pytest.raises(Failure, match=r"'bo\\n' is no kind of resource; there are tenants, namespaces"):
        find("bo\n")


@pytest.mark.parametrize(
    ("word", "key", "lists", "item"),
    [
        ("tenant", ("acme",), "/v1/tenants", "/v1/tenants/acme"),
        ("ns", ("acme", "demo"), "/v1/tenants/acme/namespaces", "/v1/tenants/acme/namespaces/demo"),
        (
            "type",
            ("acme", "demo", "bot"),
            "/v1/tenants/acme/namespaces/demo/types",
            "/v1/tenants/acme/namespaces/demo/types/bot",
        ),
        ("agent", ("acme", "demo", "bot", "eu-1"), "/v1/agents", "/v1/agents/acme/demo/bot/eu-1"),
        ("grant", ("acme", "a/../b?c"), "/v1/tenants/acme/grants", "/v1/tenants/acme/grants/a%2F..%2Fb%3Fc"),
    ],
)
def test_addresses(word: str, key: tuple[str, ...], lists: str, item: str) -> None:
    assert find(word).list_path(key) == lists
    assert find(word).item_path(key) == item


@pytest.mark.parametrize(
    ("word", "key", "shape"),
    [("agent", ("acme", "demo"), "org/namespace/type/identity"), ("ns", ("acme", ""), "org/namespace")],
)
def test_a_name_of_the_wrong_shape_is_told(word: str, key: tuple[str, ...], shape: str) -> None:
    with pytest.raises(Failure, match=f"is no name of an? .*: write {shape}"):
        find(word).item_path(key)


def test_keys_and_titles() -> None:
    agent = {"type": "acme/demo/bot", "identity": "eu-1"}
    assert find("agent").key(agent) == ("acme", "demo", "bot", "eu-1")
    assert find("agent").title(agent) == "acme/demo/bot/eu-1"
    assert find("client").title({"tenant": "acme", "id": "b\x1b"}) == "b\\x1b"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_800, "2d")],
)
def test_times_have_one_unit(seconds: float, text: str) -> None:
    assert kinds.span(seconds) == text
    assert kinds.age(0, 10) == "-"


def test_how_a_client_authenticates() -> None:
    client = example(find("client"))
    column = next(each for each in find("client").columns if each.title == "AUTHENTICATES BY")
    assert column.text(client, 0.0) == "none"
    client["secrets"] = [{"expires": 0.0}, {"expires": 50.0}, {"expires": 150.0}]
    client["certificates"] = ["x"]
    client["jwks"] = {"keys": [{}, {}]}
    assert column.text(client, 100.0) == "2 secrets,2 keys,1 certificate"
