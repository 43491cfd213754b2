"""`agpctl pki`: an authority for the gateway and its agents, on disk.

cryptography and rich are imported inside the functions: they cost 100 ms, and `agpctl --help` must not pay.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agpd.cli.options import seconds
from agpd.errors import ConfigError
from agpd.names import parse_pattern

if TYPE_CHECKING:
    from agpd.transport.pki import Authority, Issued, Pair

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _life(default: str, what: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--life", "life_s", metavar="LIFE", callback=seconds, default=default, show_default=True, help=what
    )


_directory = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("pki"),
    show_default=True,
    envvar="AGPCTL_PKI",
    show_envvar=True,
    help="The authority's directory.",
)
_out = click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write OUT.pem and OUT.key; otherwise below the authority's directory.",
)
_new_key = click.option(
    "--new-key", is_flag=True, help="Replace a key that is there, instead of renewing its certificate."
)


@click.group()
def pki() -> None:
    """Make certificates and revoke them."""


@pki.command()
@_directory
@click.option("--name", default="agpd authority", show_default=True, help="What certificates show as issuer.")
@_life("3650d", "How long the authority lasts.")
def init(directory: Path, name: str, life_s: float) -> None:
    """Make an authority."""
    from agpd.transport.pki import Authority

    Authority.create(directory, name, time.time(), life_s)
    click.echo(
        f"made the authority in {directory}: give gateways ca.pem and crl.pem, keep ca.key to yourself"
    )


@pki.group()
def issue() -> None:
    """Issue or renew a certificate."""


@issue.command("agent")
@click.argument("name")
@_directory
@_out
@_life("24h", "How long the certificate lasts.")
@_new_key
@click.option(
    "--any-name", is_flag=True, help="Allow the NAME '*', which speaks as anybody. Development only."
)
def issue_agent(
    name: str, directory: Path, out: Path | None, life_s: float, new_key: bool, any_name: bool
) -> None:
    """Issue a certificate to an agent that may speak as NAME.

    NAME is organization/namespace/type, a prefix such as 'organization/namespace/*', or one instance.
    """
    pattern = parse_pattern(name.removeprefix("agp://"))
    if not pattern.prefix and not any_name:
        raise ConfigError("a certificate for '*' speaks as anybody: name an organization, or add --any-name")
    prefix = out or directory / "agents" / (".".join(pattern.prefix) or "any")
    authority = _open(directory)
    _say(authority.issue_agent(pattern, prefix, time.time(), life_s, new_key=new_key))


@issue.command("gateway")
@click.argument("hosts", nargs=-1, required=True, metavar="HOST...")
@_directory
@_out
@_life("90d", "How long the certificate lasts.")
@_new_key
def issue_gateway(
    hosts: tuple[str, ...], directory: Path, out: Path | None, life_s: float, new_key: bool
) -> None:
    """Issue a certificate to a gateway that agents reach as HOST (DNS names, IP addresses)."""
    from agpd.transport.certs import general_name

    try:
        general_name(hosts[0])
    except ValueError as error:
        raise ConfigError(str(error)) from error
    prefix = out or directory / "gateways" / hosts[0]
    authority = _open(directory)
    _say(authority.issue_gateway(hosts, prefix, time.time(), life_s, new_key=new_key))


@pki.command()
@click.argument("certificate")
@_directory
@_life("7d", "How long the new revocation list lasts.")
def revoke(certificate: str, directory: Path, life_s: float) -> None:
    """Revoke CERTIFICATE, a file or a serial in hexadecimal, and write a new revocation list."""
    authority = _open(directory)
    serial = _serial(authority, certificate)
    path = authority.revoke(serial, time.time(), life_s)
    click.echo(f"revoked {serial:x}; give {path} to the gateways: they read it without a restart")


@pki.command()
@_directory
@_life("7d", "How long the revocation list lasts. Once it ends, gateways refuse everybody.")
def crl(directory: Path, life_s: float) -> None:
    """Write a new revocation list."""
    path = _open(directory).write_crl(time.time(), life_s)
    click.echo(f"wrote {path}; it lasts until {_date(time.time() + life_s)}")


@pki.command("list")
@_directory
def list_issued(directory: Path) -> None:
    """List the certificates that were issued."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    now = time.time()
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("serial", "kind", "name", "ends", "state"):
        table.add_column(heading, no_wrap=True)
    for one in _open(directory).issued():
        table.add_row(f"{one.serial:x}", one.kind, one.name, _date(one.not_after), _state(one, now))
    # Never cut off: a serial is there to be copied. The table takes only the width that it needs.
    Console(width=400).print(table)


@pki.command()
@click.argument("certificate", type=click.Path(path_type=Path, dir_okay=False))
def show(certificate: Path) -> None:
    """Show what is in a certificate, and whom a gateway takes its holder for."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from agpd.errors import Fatal
    from agpd.transport.identity import Profile, extension, principal_of
    from agpd.transport.pem import load_certificate

    loaded = load_certificate(certificate)
    names = extension(loaded, x509.SubjectAlternativeName)
    usages = extension(loaded, x509.ExtendedKeyUsage)
    click.echo(f"subject  {loaded.subject.rfc4514_string()!r}")
    click.echo(f"issuer   {loaded.issuer.rfc4514_string()!r}")
    click.echo(f"serial   {loaded.serial_number:x}")
    click.echo(f"begins   {_date(loaded.not_valid_before_utc.timestamp())}")
    click.echo(f"ends     {_date(loaded.not_valid_after_utc.timestamp())}")
    click.echo(f"names    {', '.join(repr(str(name.value)) for name in names or ()) or 'none'}")
    click.echo(f"usage    {', '.join(oid._name for oid in usages or ()) or 'any'}")
    try:
        principal = principal_of(loaded.public_bytes(Encoding.DER), Profile(time.time, accept_any_name=True))
        click.echo(f"key      {principal.key_fingerprint.hex()}")
        click.echo(f"agent    {principal.pattern}")
    except Fatal as fatal:
        click.echo(f"agent    no: {fatal.detail}")


def _open(directory: Path) -> "Authority":
    from agpd.transport.pki import Authority

    return Authority.open(directory, time.time())


def _serial(authority: "Authority", text: str) -> int:
    if Path(text).exists():
        return authority.serial_of(Path(text))
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,40}", text):
        raise ConfigError(f"{text!r} is neither a file nor a serial in hexadecimal: see `agpctl pki list`")
    return int(text, 16)


def _say(pair: "Pair") -> None:
    how = "renewed for the same key" if pair.renewed else "issued"
    click.echo(f"{how}: {pair.certificate} with {pair.key}, until {_date(pair.not_after)}")


def _state(one: "Issued", now: float) -> str:
    if one.revoked_at is not None:
        return f"revoked {_date(one.revoked_at)}"
    return "in force" if now < one.not_after else "ended"


def _date(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
