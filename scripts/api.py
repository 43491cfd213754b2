"""Write docs/reference/api.md from the operations of REST and the proto file; `--check` only says whether it is stale.

python scripts/api.py [--check]
"""

import re
import sys
from pathlib import Path

from agpd.api.operations import OPERATIONS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/reference/api.md"
PROTO = ROOT / "proto/agpd/control/v1/control.proto"
_PAGE = """# The API of the control plane

<!-- Written by scripts/api.py; edit the code it is written from. -->

With `control.enabled` a gateway serves its control plane as REST and OAuth 2.0 at `listen.http` and as gRPC at
`listen.grpc`. Both do the same with the same resources; REST describes them at `/v1/openapi.json` (OpenAPI 3.1), gRPC
in `proto/agpd/control/v1/control.proto`.

## Who may ask

| shown | counts as |
|---|---|
| a client certificate for `agp://org/...` | an agent of `org`, for the names of the certificate |
| an access token | an agent, for the names and scopes of the token |
| an access token with `agp:admin` | an administrator of the tenant; of the tenant `agpd`: an operator of the gateway |
| both | what the token says; both must be of one organization, and a bound token needs its certificate |
| a certificate for `agp://*` (development) | an operator |

REST takes the token as `Authorization: Bearer ...`, a certificate is optional. gRPC takes it as metadata
`authorization` and needs a certificate. TLS is 1.3 with the certificate of the gateway, and a reload of it reaches
both. There are no cookies and no CORS.

What belongs to another tenant is answered as if it did not exist. An address with too many failed authentications
(`control.unauthenticated_per_second`) and a caller with too many requests (`control.requests_per_second`) get 429 with
`Retry-After`.

## Errors

```json
{{"code": 110, "name": "NOT_FOUND", "message": "there is no such thing, or none that you may see (tenant acme)",
 "remedy": "look at what there is with `agpctl get`"}}
```

The [catalogue](errors.md) has all codes with their HTTP and gRPC statuses. Over gRPC the text is the message of the
status, and the trailing metadata have `agpd-code` and `agpd-code-name`. The OAuth 2.0 endpoints answer
as RFC 6749 has it.

## REST

GET of a list gives `{{"items": [...], "next": "..."}}`: ask with `after=` that `next` for the part behind it, and with
`limit=` for less at once. POST creates, and refuses what is there already; PUT creates or replaces. Bodies are JSON
(`Content-Type: application/json`); unknown fields and parameters, duplicate keys and names that differ from those of
the path are refused.

{operations}

`/v1/agents/watch` sends server-sent events: the name of each is its `kind`, the data an `AgentEvent`. It begins with a
comment once no change is missed any more. Then find what there is: changes since come as events. It ends with the token
of the caller, and with the gateway.

Without credentials: `/livez`, `/readyz` (503 while the gateway drains or the database does not answer),
`/v1/openapi.json`.

## OAuth 2.0

The issuer of a tenant is `{{control.public_url}}/t/{{tenant}}`; [tokens](../howto/tokens.md) has the grant types.

| | |
|---|---|
| POST | `/t/{{tenant}}/oauth2/token`, `/t/{{tenant}}/oauth2/introspect`, `/t/{{tenant}}/oauth2/revoke` |
| GET | `/t/{{tenant}}/.well-known/oauth-authorization-server`, `/.well-known/oauth-authorization-server/t/{{tenant}}` |
| GET | `/t/{{tenant}}/.well-known/jwks.json` |

## gRPC: agpd.control.v1

{services}

Fields that hold any JSON object (`card`, `jwks`, `detail`, `claims`) are texts of JSON. What is not set takes the
default of the resource. `Discovery/Watch` misses no change from the initial metadata on.
"""


def page() -> str:
    """The page as it ought to be."""
    return _PAGE.format(operations=_operations(), services=_services())


def _operations() -> str:
    rows = ["| method | path | what it does |", "|---|---|---|"]
    rows += [f"| {one.method} | `{one.path}` | {one.summary} |" for one in OPERATIONS]
    return "\n".join(rows)


def _services() -> str:
    rows = ["| service | methods |", "|---|---|"]
    for name, body in re.findall(r"^service (\w+) {\n(.*?)^}", PROTO.read_text(), re.DOTALL | re.MULTILINE):
        methods = re.findall(r"rpc (\w+)\(.*?returns \((stream)?", body)
        rows.append(
            f"| {name} | {', '.join(f'{method} (stream)' if kind else method for method, kind in methods)} |"
        )
    return "\n".join(rows)


def main() -> int:
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
        return 0
    if PAGE.read_text() == page():
        return 0
    print(f"{PAGE.relative_to(ROOT)} is stale: run scripts/api.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
