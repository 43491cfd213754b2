"""`agpctl login` and `agpctl whoami`: become a client of a tenant, and see who one is."""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import click
import httpx2
import msgspec

from agpd.cli import output
from agpd.cli.asking import asks, context_option, form_option, wanted_context
from agpd.cli.context import changed
from agpd.cli.contexts import Context, Contexts, current
from agpd.cli.lazy import Failure
from agpd.cli.rest import Server, client, unreachable
from agpd.cli.session import OFFLINE, Token, whole


@click.command()
@context_option
@click.option("--server", help="The control plane, https://HOST:7421; otherwise the context's.")
@click.option("--tenant", help="The organization; otherwise the context's.")
@click.option("--client", "client", help="The client's id; otherwise the context's.")
@click.option("--gateway", help="The gateway for messages; otherwise agp://HOST:7420.")
@click.option("--ca", type=click.Path(), help="The gateway's authority (PEM).")
@click.option("--certificate", type=click.Path(), help="Our certificate (PEM).")
@click.option("--key", type=click.Path(), help="Its key (PEM).")
@click.option("--secret-file", type=click.File("r"), help="Read the secret from a file; - is standard input.")
@click.option(
    "--private-key", type=click.Path(), help="Log in with the client's key (PEM) instead of a secret."
)
@click.option("--tls", is_flag=True, help="Log in with the certificate instead of a secret.")
@click.option("--issuer", help="Where tokens come from; otherwise SERVER/t/TENANT.")
def login(context: str | None, secret_file: Any, tls: bool, **given: str | None) -> None:
    """Log in at a gateway as a client of a tenant.

    The secret is asked for, or read from --secret-file or AGP_CLIENT_SECRET. It is not kept: what the context keeps is
    a token to get others with. Without --context, the context is called as the tenant, and selected.
    """
    contexts = Contexts.of(os.environ)
    name, before = _which(contexts, wanted_context(context), given)
    after = changed(before, given)
    _check(after)
    if given["private_key"] is None and not tls:
        secret = _secret(secret_file, after)
        after = msgspec.structs.replace(after, private_key="", refresh_token="", secret_file="")
    else:
        secret = ""
        after = msgspec.structs.replace(after, refresh_token="", secret_file="")
    token = _grant(after, secret)
    kept = bool(token.refresh_token)
    contexts.save(name, msgspec.structs.replace(after, refresh_token=token.refresh_token if secret else ""))
    contexts.select(name)
    with Server.open(name, after, contexts) as server:
        server.session.keep(token)
        me = server.get("/v1/whoami")
    click.echo(
        f"logged in to {after.server} as {after.client} ({me['role']} of {me['organization']}), context {name}"
    )
    if secret and not kept:
        click.echo("no refresh token was given: the login ends with the access token", err=True)


@click.command()
@form_option("table", "json")
@asks
def whoami(server: Server, form: str) -> None:
    """Show as whom the gateway sees us."""
    me = server.get("/v1/whoami")
    if form == "json":
        click.echo(json.dumps({"context": server.name, "server": server.context.server, **me}))
        return
    click.echo(output.description({"context": server.name, "server": server.context.server, **me}))


def _which(contexts: Contexts, wanted: str, given: Mapping[str, str | None]) -> tuple[str, Context]:
    """The context to log in with: the one that is wanted; the one in force, if it is of this server and tenant; else
    the tenant's."""
    force = None if wanted else current(os.environ)
    if force is not None and all(
        given[name] in (None, getattr(force[1], name)) for name in ("server", "tenant")
    ):
        return force
    name = wanted or given["tenant"] or "default"
    return name, contexts.load(name) if name in contexts.names() else Context()


def _check(context: Context) -> None:
    for name in ("server", "tenant", "client"):
        if not getattr(context, name):
            raise Failure(
                f"--{name} is missing: agpctl login --server https://HOST:7421 --tenant ORG --client ID"
            )


def _secret(file: Any, context: Context) -> str:
    """Of the file, the environment, or whoever sits at the terminal."""
    if file is not None:
        secret = file.read().strip()
    elif "AGP_CLIENT_SECRET" in os.environ:
        secret = os.environ["AGP_CLIENT_SECRET"].strip()
    elif sys.stdin.isatty():
        secret = click.prompt(f"Secret of {context.client}", hide_input=True, err=True).strip()
    else:
        raise Failure("no secret: give --secret-file FILE (- is standard input), or set AGP_CLIENT_SECRET")
    if not secret:
        raise Failure("the secret is empty")
    return str(secret)


def _grant(context: Context, secret: str) -> Token:
    """A token with all that the client may have; with a refresh token, if that is what we keep."""
    with client(context) as http:
        try:
            return whole(http, context, time.time(), OFFLINE if secret else "", secret)
        except httpx2.TransportError as error:
            raise unreachable(context, error) from error
