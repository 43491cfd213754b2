"""`agpctl create KIND`: one command for each kind, with an option for each field of its struct."""

import base64
import hashlib
import json
import ssl
from pathlib import Path
from typing import Any

import click
import msgspec

from agpd.cli import completion
from agpd.cli.asking import asks, dry_run_option, form_option, quiet
from agpd.cli.documents import Document, checked
from agpd.cli.kinds import KINDS, Kind
from agpd.cli.lazy import Failure
from agpd.cli.listing import key_of
from agpd.cli.output import documents
from agpd.cli.resources import pairs, shown, write
from agpd.cli.rest import Server
from agpd.control import resources

SAYS = {
    "admin": "May hold the scope agp:admin: administers the tenant.",
    "agent": "Pattern of names that its tokens may speak as, such as acme/prod/writer or 'acme/*'.",
    "algorithms": "Signature algorithm that is accepted.",
    "audience": "The audience that its tokens must have.",
    "callers": "Pattern of who may publish to the type, or ask it; none: whoever the grants allow.",
    "capabilities": "What it can do.",
    "card": "File with what the agent says of itself (JSON), such as an A2A card.",
    "category": "What sort of agents they are.",
    "certificates": "Thumbprint (x5t#S256) or PEM file of a certificate that it authenticates with.",
    "default_scopes": "Scope of tokens that name none.",
    "description": "What it is for.",
    "disabled": "Accept nothing of it.",
    "effect": "Whether it allows or denies.",
    "internal": "Its addresses may be private ones; only operators may say so.",
    "issuer": "The identity provider: the `iss` of its tokens.",
    "jwks": "File with the public keys that it authenticates with: a JWK set, or a key in PEM form.",
    "jwks_uri": "Where the identity provider has its keys.",
    "labels": "To be found by.",
    "may_exchange": "May exchange tokens of others of the tenant for its own.",
    "object": "Pattern of whom it may be done to.",
    "pattern": "What nobody takes that is sent to names of this pattern ...",
    "public_keys": "A public key (base64) for a use.",
    "quotas": "agents, connections, subscriptions, messages_per_second or bytes_per_second; 0: no limit.",
    "require_encryption": "Say that payloads are to be encrypted; nothing checks it in this release.",
    "scopes": "What it may ask for; none: everything of its tenant but agp:admin.",
    "subject": "Pattern of who may.",
    "suspended": "Accept nobody of it.",
    "title": "What people call it.",
    "verb": "What may be done.",
    "via": "... goes to an instance of this type.",
}
SAYS_OF_ISSUER = {
    "scopes": "The claim that holds the scopes; none: tokens get the default scopes.",
    "subject": "Template of the agent's pattern, such as 'acme/prod/{azp}', filled from the token's claims.",
}
_SINGULAR = {"algorithms": "algorithm", "capabilities": "capability", "scopes": "scope", "callers": "caller"}
_SINGULAR |= {"certificates": "certificate", "default_scopes": "default-scope", "labels": "label"}
_SINGULAR |= {"public_keys": "public-key", "quotas": "quota"}
_SHOWN_ONCE = "its secret, which is shown only now:"


@click.group()
def create() -> None:
    """Create a resource, which must not be there yet; `apply` creates or changes from files."""


def _command(kind: Kind) -> click.Command:
    fields = {field.name: field for field in msgspec.structs.fields(kind.resource)}
    named = [name for name in kind.names if name != "tenant"]
    optional = not fields[named[-1]].required
    hint = "The gateway makes an id if NAME is left out." if optional else f"NAME is {_shape(kind)}."
    params: list[click.Parameter] = [click.Argument(["name"], required=not optional)]
    for name, field in fields.items():
        if name not in (*kind.names, *kind.given):
            params.append(_option(name, field, kind))
    callback = asks(dry_run_option(form_option("text", "json", "yaml", default="text")(_run(kind))))
    if kind.name == "client":
        callback = _secret_option(callback)
    params += reversed(getattr(callback, "__click_params__", []))
    text = f"Create {kind.article}. {hint}"
    return click.Command(kind.name, callback=callback, params=params, help=text)


_secret_option = click.option(
    "--secret/--no-secret",
    "secret",
    default=None,
    help="Make a secret, or none; otherwise, one if there is neither key nor certificate.",
)


def _shape(kind: Kind) -> str:
    shapes = {
        "namespace": "org/namespace",
        "type": "org/namespace/type",
        "client": "org.label",
    }
    return shapes.get(
        kind.name, "org/namespace/type/identity" if kind.name == "agent" else "the organization"
    )


def _option(name: str, field: Any, kind: Kind) -> click.Option:
    flag = f"--{_SINGULAR.get(name, name).replace('_', '-')}"
    if (kind.name, name) == ("issuer", "scopes"):
        flag = "--scopes-claim"
    says = SAYS | (SAYS_OF_ISSUER if kind.name == "issuer" else {})
    how: dict[str, Any] = {"help": says.get(name, ""), "required": field.required}
    default = _default(field)
    if default is False:
        how |= {"is_flag": True, "required": False}
    elif name in ("jwks", "card"):
        how |= {"type": click.Path(exists=True, dir_okay=False), "metavar": "FILE"}
    elif _is_map(name):
        how |= {"multiple": True, "metavar": "KEY=VALUE", "help": f"{how['help']} May be repeated."}
    elif isinstance(default, list):
        how |= {"multiple": True, "help": f"{how['help']} May be repeated."}
    elif name in ("verb", "effect"):
        words = resources.VERBS if name == "verb" else ("allow", "deny")
        how |= {"type": click.Choice(words), "default": default, "show_default": default is not None}
    if name in ("agent", "subject", "object", "via"):
        how["shell_complete"] = completion.of("type")
    return click.Option([flag, name], **how)


def _default(field: Any) -> Any:
    """None for a field that must be given."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.required else field.default


def _is_map(name: str) -> bool:
    return name in ("labels", "quotas", "public_keys")


def _run(kind: Kind) -> Any:
    def run(
        server: Server, name: str | None, form: str, dry_run: bool, secret: bool | None = None, **given: Any
    ) -> None:
        values = checked(kind, _values(server, kind, name or "", given), f"{kind.name} {name or ''}".rstrip())
        if not dry_run:
            values = write(server, kind, values, create=True)
        if form == "text":
            line = f"{shown(Document(kind, values))} created{' (dry run)' * dry_run}"
            wants = kind.name == "client" and not dry_run and _wants_secret(values, secret)
            quiet(f"{line}; {_SHOWN_ONCE}") if wants else click.echo(line)
            if wants:
                click.echo(new_secret(server, values["tenant"], values["id"], 0.0)["secret"])
            return
        if kind.name == "client" and not dry_run and _wants_secret(values, secret):
            values["secrets"] = [new_secret(server, values["tenant"], values["id"], 0.0)]
        click.echo(documents([{"kind": kind.name, **values}], form, one=True))

    return run


def _values(server: Server, kind: Kind, name: str, given: dict[str, Any]) -> dict[str, Any]:
    values = {field: _value(field, value) for field, value in given.items() if value not in (None, (), False)}
    if kind.in_tenant:
        return values | {"tenant": server.tenant_of(name), "id": name}
    key = key_of(server, kind, name)
    kind.item_path(key)  # says how to write it
    if kind.name == "agent":
        return values | {"type": "/".join(key[:-1]), "identity": key[-1]}
    return values | {"name": "/".join(key)}


def _value(name: str, value: Any) -> Any:
    if name in ("jwks", "card"):
        return _from_file(name, Path(value))
    if name == "quotas":
        try:
            return {key: int(amount) for key, amount in pairs(value).items()}
        except ValueError as error:
            raise Failure(f"--quota: {error}") from error
    if _is_map(name):
        return pairs(value)
    if name == "certificates":
        return [thumbprint(each) for each in value]
    return list(value) if isinstance(value, tuple) else value


def _from_file(name: str, path: Path) -> Any:
    try:
        data = path.read_bytes()
        if name == "jwks" and data.lstrip().startswith(b"-----BEGIN"):
            return {"keys": [public_jwk(data)]}
        return json.loads(data)
    except (OSError, ValueError) as error:
        raise Failure(f"{path} cannot be used for --{name}: {error}") from error


def public_jwk(pem: bytes) -> dict[str, Any]:
    """The public part of an Ed25519 or P-256 key in PEM form, private or public. Raises `ValueError`."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey

    for kind in (OKPKey, ECKey):
        try:
            return dict(kind.import_key(pem).as_dict(private=False))
        except (ValueError, TypeError, JoseError):
            continue
    raise ValueError("it holds no Ed25519 or P-256 key")


def thumbprint(text: str) -> str:
    """`x5t#S256` of the certificate in a PEM file; what is no file is taken for a thumbprint. Raises `Failure`."""
    path = Path(text)
    if not path.is_file():
        return text
    try:
        der = ssl.PEM_cert_to_DER_cert(path.read_text("ascii").partition("-----END")[0].strip() + _END)
    except ValueError as error:
        raise Failure(f"{path} holds no certificate in PEM form: {error}") from error
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


_END = "\n-----END CERTIFICATE-----"


def _wants_secret(values: dict[str, Any], asked: bool | None) -> bool:
    return asked if asked is not None else not values["jwks"] and not values["certificates"]


def new_secret(server: Server, tenant: str, client: str, expires: float) -> dict[str, Any]:
    """A new secret of a client, as the gateway tells it this one time. `expires`: Unix seconds, 0: never."""
    from agpd.cli.kinds import find

    path = f"{find('client').item_path((tenant, client))}/secrets"
    made: dict[str, Any] = server.send("POST", path, {"expires": expires} if expires else {})
    return made


for _kind in KINDS:
    if _kind.changes:
        create.add_command(_command(_kind))
