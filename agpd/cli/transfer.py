"""`agpctl export` and `import`: all resources of a tenant, or of the gateway, as one document."""

import os
from pathlib import Path

import click

from agpd.cli import output
from agpd.cli.asking import asks, form_option, quiet
from agpd.cli.documents import load
from agpd.cli.lazy import Failure
from agpd.cli.rest import Parameters, Server


@click.command("export")
@click.option("--all", "everything", is_flag=True, help="Of all tenants; for operators.")
@click.option(
    "--secrets", is_flag=True, help="With hashed secrets and sealed keys, to move a gateway; for operators."
)
@click.option("-f", "--file", help="Write it there (mode 0600); otherwise to standard output.")
@form_option("yaml", "json", default="yaml")
@asks
def export(server: Server, everything: bool, secrets: bool, file: str | None, form: str) -> None:
    """Print all resources of the tenant as one document, which `import` and `apply` read.

    It holds no secrets: clients get new ones. With --secrets it holds what a gateway with the same control.key needs.
    """
    query: Parameters = [] if everything else [("tenant", server.tenant)]
    document = server.get("/v1/export", [*query, ("secrets", "true")] if secrets else query)
    text = output.documents([document], form, one=True)
    if file is None:
        click.echo(text)
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as opened:
            opened.write(f"{text}\n")
    except OSError as error:
        raise Failure(f"cannot write {file}: {error.strerror}") from error
    quiet(f"wrote {Path(file)}")


@click.command("import")
@click.argument("file", type=click.Path(allow_dash=True))
@asks
def import_(server: Server, file: str) -> None:
    """Make all resources that FILE, an export, holds; all of them or, after an error, none. - is standard input."""
    documents = load(file)
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Failure(f"{file} is no export: it must be one document; for others there is agpctl apply -f")
    answer = server.send("POST", "/v1/import", documents[0])
    counts = ", ".join(f"{count} {name}" for name, count in (answer or {}).items() if count)
    click.echo(f"imported {counts or 'nothing'}")
