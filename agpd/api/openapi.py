"""The OpenAPI 3.1 document of REST, made from the table of operations and the structs."""

import re
from typing import Any

import msgspec

from agpd import __version__
from agpd.api.operations import ID, IDS, OPERATIONS, SEGMENT, NoQuery, Operation
from agpd.errors import CATALOGUE, Code

TEMPLATE = "#/components/schemas/{name}"
# What every operation may answer beside its result.
REFUSALS = {
    400: "The request does not have the shape that it must have.",
    401: "No credentials, or none that are accepted.",
    403: "The caller may not do this.",
    404: "There is no such thing, or none that the caller may see.",
    409: "It is there already, or something else stands in the way.",
    429: "A quota is used up, or the caller asks too often.",
    503: "The database does not answer, or the gateway is ending.",
}
EXAMPLES: dict[str, Any] = {
    "createTenant": {"name": "acme", "title": "Acme"},
    "putTenant": {"name": "acme", "title": "Acme", "quotas": {"agents": 1000}},
    "createNamespace": {"name": "acme/prod", "title": "Production"},
    "putNamespace": {"name": "acme/prod", "title": "Production"},
    "createAgentType": {"name": "acme/prod/writer", "description": "Writes texts"},
    "putAgentType": {"name": "acme/prod/writer", "labels": {"team": "text"}, "capabilities": ["write"]},
    "createClient": {"id": "acme.bot", "tenant": "acme", "agent": "acme/prod/writer"},
    "putClient": {"id": "acme.bot", "tenant": "acme", "agent": "acme/prod/*"},
    "createGrant": {"tenant": "acme", "subject": "globex/*", "verb": "publish", "object": "acme/prod/writer"},
    "putGrant": {
        "id": "acme.from-globex",
        "tenant": "acme",
        "subject": "globex/*",
        "verb": "publish",
        "object": "acme/prod/writer",
    },
    "createRoute": {"tenant": "acme", "pattern": "acme/prod/*", "via": "acme/prod/writer"},
    "putRoute": {
        "id": "acme.rest",
        "tenant": "acme",
        "pattern": "acme/prod/*",
        "via": "acme/prod/writer",
    },
    "createIssuer": {
        "tenant": "acme",
        "issuer": "https://idp.example/realms/acme",
        "jwks_uri": "https://idp.example/realms/acme/certs",
        "audience": "agpd",
        "subject": "acme/prod/{azp}",
    },
    "registerAgent": {
        "type": "acme/prod/writer",
        "identity": "eu-1",
        "labels": {"region": "eu"},
        "capabilities": ["write"],
    },
    "putAgent": {"type": "acme/prod/writer", "identity": "eu-1", "labels": {"region": "eu"}},
    "addSecret": {"expires": 0},
    "can": {"subject": "globex/prod/asker", "verb": "publish", "object": "acme/prod/writer"},
}
EXAMPLES["putIssuer"] = {"id": "acme.keycloak", **EXAMPLES["createIssuer"]}
_PARAMETER = re.compile(r"{(\w+)}")


def document() -> dict[str, Any]:
    """The document, ready for JSON."""
    kinds = {kind for operation in OPERATIONS for kind in (operation.answer, operation.body) if kind}
    _, schemas = msgspec.json.schema_components(kinds, ref_template=TEMPLATE)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "agpd",
            "version": __version__,
            "summary": "The control plane of an agpd gateway.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {"certificate": []}],
        "paths": paths,
        "components": {
            "schemas": schemas | {"Problem": _problem()},
            "responses": {f"Refusal{status}": _refusal(status) for status in REFUSALS},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "at+jwt (RFC 9068)"},
                "certificate": {"type": "mutualTLS"},
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": _path_parameters(operation.path) + _query_parameters(operation.query),
        "responses": {str(operation.status): _result(operation)}
        | {str(status): {"$ref": f"#/components/responses/Refusal{status}"} for status in REFUSALS},
    }
    if operation.body is not None:
        content: dict[str, Any] = {"schema": _schema(operation.body)}
        if operation.name in EXAMPLES:
            content["example"] = EXAMPLES[operation.name]
        said["requestBody"] = {
            "required": not operation.body_optional,
            "content": {"application/json": content},
        }
    return said


def _result(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        return {"description": "Done."}
    if operation.stream is not None:
        event = {"schema": {"type": "string"}}
        return {
            "description": "Events; the data of each is an AgentEvent.",
            "content": {"text/event-stream": event},
        }
    return {
        "description": "The result.",
        "content": {"application/json": {"schema": _schema(operation.answer)}},
    }


def _schema(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=TEMPLATE)
    return schema


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _name(name)}
        for name in _PARAMETER.findall(path)
    ]


def _name(parameter: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{ID if parameter in IDS else SEGMENT}$"}


def _query_parameters(kind: type[Any]) -> list[dict[str, Any]]:
    if kind is NoQuery:
        return []
    _, components = msgspec.json.schema_components([kind], ref_template=TEMPLATE)
    parameters = []
    for name, schema in components[kind.__name__]["properties"].items():
        description = schema.pop("description", "")
        schema.pop("default", None)
        parameter = {"name": name, "in": "query", "required": False, "schema": schema}
        parameters.append(parameter | ({"description": description} if description else {}))
    return parameters


def _problem() -> dict[str, Any]:
    fields = {"code": "integer", "name": "string", "message": "string", "remedy": "string"}
    return {
        "type": "object",
        "title": "Problem",
        "description": "A refusal; docs/reference/errors.md has the codes.",
        "properties": {name: {"type": kind} for name, kind in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def _refusal(status: int) -> dict[str, Any]:
    codes = ", ".join(code.name for code in Code if CATALOGUE[code].http == status and code < 600)
    answer: dict[str, Any] = {
        "description": f"{REFUSALS[status]} One of {codes}.",
        "content": {"application/json": {"schema": {"$ref": TEMPLATE.format(name="Problem")}}},
    }
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    if status == 429:
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return answer
