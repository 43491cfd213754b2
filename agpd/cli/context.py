"""`agpctl context`: which gateway to work with, and as whom."""

import json
import os
from typing import Any

import click
import msgspec

from agpd.cli import completion, output
from agpd.cli.contexts import Context, Contexts, current
from agpd.cli.lazy import Failure
from agpd.cli.rest import NO_CONTEXT, absolute, client

_name = click.argument("name", shell_complete=completion.contexts)
_FILES = ("ca", "certificate", "key", "private_key", "secret_file")


@click.group()
def context() -> None:
    """Say which gateway agpctl works with, and as whom."""


@context.command()
@click.argument("name")
@click.option("--server", help="The control plane, https://HOST:7421.")
@click.option("--gateway", help="The gateway for messages, agp://HOST:7420; otherwise at the same host.")
@click.option("--ca", type=click.Path(), help="The gateway's authority (PEM).")
@click.option("--certificate", type=click.Path(), help="Our certificate (PEM).")
@click.option("--key", type=click.Path(), help="Its key (PEM).")
@click.option("--tenant", help="Our organization.")
@click.option("--client", help="The client that tokens are for.")
@click.option("--private-key", type=click.Path(), help="The client's key (PEM), for private_key_jwt.")
@click.option(
    "--secret-file", type=click.Path(), help="A file with the client's secret, read for each token."
)
@click.option("--issuer", help="Where tokens come from; otherwise SERVER/t/TENANT.")
def add(name: str, **given: str | None) -> None:
    """Make the context NAME, or change what is given of it. The first one is selected."""
    contexts = Contexts.of(os.environ)
    before = contexts.load(name) if name in contexts.names() else Context()
    after = changed(before, given)
    client(after).close()  # says what is wrong with the server or the files
    contexts.save(name, after)
    contexts.cache(name).unlink(missing_ok=True)
    if not contexts.selected():
        contexts.select(name)
    click.echo(f"context {name} {'changed' if before != Context() else 'added'}{_selected(contexts, name)}")


@context.command()
@_name
def select(name: str) -> None:
    """Work with the context NAME from now on."""
    Contexts.of(os.environ).select(name)
    click.echo(f"context {name} selected")


@context.command("ls")
@click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json", "name"]), default="table", help="Form."
)
def list_contexts(form: str) -> None:
    """List the contexts; * is the selected one."""
    contexts = Contexts.of(os.environ)
    names, chosen = contexts.names(), os.environ.get("AGP_CONTEXT") or contexts.selected()
    loaded = {name: contexts.load(name) for name in names}
    if form == "name":
        click.echo("\n".join(names))
    elif form == "json":
        click.echo(
            json.dumps([{"name": name, "selected": name == chosen, **loaded[name].shown()} for name in names])
        )
    elif not names:
        click.echo(NO_CONTEXT, err=True)
    else:
        rows = [
            ["*" if name == chosen else "", name, one.tenant or "-", _identity(one), one.server]
            for name, one in loaded.items()
        ]
        click.echo(output.table(["", "NAME", "TENANT", "AS", "SERVER"], rows))


@context.command()
@click.argument("name", required=False, shell_complete=completion.contexts)
def show(name: str | None) -> None:
    """Show the context NAME, or the one in force. The token stays hidden."""
    found = current(os.environ, name or _of_root())
    if found is None:
        raise Failure(NO_CONTEXT)
    click.echo(output.description({"name": found[0], **found[1].shown()}))


@context.command()
@_name
def rm(name: str) -> None:
    """Forget the context NAME and its tokens. `agpctl token revoke` before also makes them worthless."""
    contexts = Contexts.of(os.environ)
    chosen = contexts.selected() == name
    contexts.remove(name)
    click.echo(f"context {name} removed{'; none is selected now' * chosen}")


def changed(before: Context, given: dict[str, Any]) -> Context:
    """With the values that are given; files as paths that hold in other directories too. Raises `Failure`."""
    values = {
        name: absolute(text) if name in _FILES else text for name, text in given.items() if text is not None
    }
    values |= {name: values[name].rstrip("/") for name in ("server", "issuer") if name in values}
    after = msgspec.structs.replace(before, **values)
    if not after.gateway and after.server:
        after = msgspec.structs.replace(after, gateway=_beside(after.server))
    if bool(after.certificate) != bool(after.key):
        raise Failure("a certificate and its key go together: give both --certificate and --key")
    if any(
        getattr(before, name) != getattr(after, name) for name in ("server", "issuer", "tenant", "client")
    ):
        after = msgspec.structs.replace(after, refresh_token="")  # it is another's
    return after


def _beside(server: str) -> str:
    """The gateway on the host of this server."""
    from urllib.parse import urlsplit

    parts = urlsplit(server)
    host = parts.hostname or ""
    scheme = "agp" if parts.scheme == "https" else "agp+tcp"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:7420"


def _identity(one: Context) -> str:
    return one.client or ("certificate" if one.certificate else "nobody")


def _selected(contexts: Contexts, name: str) -> str:
    return (
        " and selected" if contexts.selected() == name else f"; select it with: agpctl context select {name}"
    )


def _of_root() -> str:
    return click.get_current_context().find_root().params.get("context") or ""
