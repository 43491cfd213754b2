"""`agpctl client` and `agpctl key`: secrets of clients, signing keys of tenants."""

import time

import click

from agpd.cli import completion
from agpd.cli.asking import asks, quiet
from agpd.cli.kinds import find
from agpd.cli.listing import key_of
from agpd.cli.options import life_option
from agpd.cli.rest import Server

_id = click.argument("client_id", metavar="CLIENT", shell_complete=completion.of("client"))


@click.group()
def client() -> None:
    """Change the secrets of a client."""


@client.command("add-secret")
@_id
@life_option("How long it holds, such as 90d; otherwise until it is revoked.")
@asks
def add_secret(server: Server, client_id: str, life_s: float) -> None:
    """Make another secret of CLIENT and print it, this one time. A client has at most two."""
    from agpd.cli.create import new_secret

    tenant, name = key_of(server, find("client"), client_id)
    made = new_secret(server, tenant, name, time.time() + life_s if life_s else 0.0)
    quiet(f"secret {made['id']} of {name}, which is shown only now:")
    click.echo(made["secret"])


@client.command("revoke-secret")
@_id
@click.argument("secret_id", metavar="SECRET")
@asks
def revoke_secret(server: Server, client_id: str, secret_id: str) -> None:
    """Revoke the secret with the id SECRET, and cut what its tokens have opened.

    `agpctl describe client CLIENT` shows the ids.
    """
    from urllib.parse import quote

    key = key_of(server, find("client"), client_id)
    server.send("DELETE", f"{find('client').item_path(key)}/secrets/{quote(secret_id, safe='')}")
    click.echo(f"secret {secret_id} of {key[-1]} revoked")


@click.group()
def key() -> None:
    """Change the signing keys of a tenant; `agpctl get keys` lists them."""


@key.command()
@asks
def rotate(server: Server) -> None:
    """Sign tokens with a new key from now on; those that are signed with the old one hold to their end."""
    made = server.send("POST", f"{find('key').list_path((server.tenant,))}/rotate")
    click.echo(f"key {made['id']} of {made['tenant']} is {made['state']}")
