"""The document: complete, and with examples that work."""

import json
import re
from typing import Any

from scenarios.control_world import OPERATOR, ControlWorld

from agpd.api.openapi import EXAMPLES, REFUSALS, document
from agpd.api.operations import OPERATIONS

PATH = {
    "tenant": "acme",
    "namespace": "prod",
    "type": "writer",
    "organization": "acme",
    "identity": "eu-1",
    "client": "acme.bot",
    "issuer": "acme.keycloak",
    "grant": "acme.from-globex",
    "route": "acme.rest",
}


def references(value: Any) -> set[str]:
    return set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(value)))


def test_every_reference_leads_to_something() -> None:
    whole = document()
    found = references(whole)
    assert found
    for reference in found:
        place = whole
        for part in reference.split("/"):
            place = place[part]


def test_every_operation_says_what_it_answers_refusals_included() -> None:
    paths = document()["paths"]
    assert {(operation.method.lower(), operation.path) for operation in OPERATIONS} == {
        (method, path) for path, methods in paths.items() for method in methods
    }
    for operation in OPERATIONS:
        said = paths[operation.path][operation.method.lower()]
        assert said["responses"].keys() == {str(operation.status), *map(str, REFUSALS)}
        named = {parameter["name"] for parameter in said["parameters"] if parameter["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", operation.path))
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)


async def test_it_is_served_to_everybody(world: ControlWorld) -> None:
    async with world.http() as client:
        assert (await client.get("/v1/openapi.json")).json() == document()


async def test_the_examples_work(world: ControlWorld) -> None:
    await world.control.tenants.delete(OPERATOR, "acme")
    created = ["createTenant", "createNamespace", "createAgentType", "createClient", "registerAgent"]
    alike = {"createIssuer", "createRoute"}  # as those of put: one for each issuer and pattern
    async with world.http(world.issue("*")) as client:
        for name in [*created, *sorted(set(EXAMPLES) - {*created, *alike})]:
            operation = next(one for one in OPERATIONS if one.name == name)
            url = operation.path.format_map(PATH)
            answer = await client.request(operation.method, url, json=EXAMPLES[name])
            assert answer.status_code == operation.status, (name, answer.text)
