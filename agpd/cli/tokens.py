"""`agpctl token`: access tokens for programs, and their end."""

import base64
import json
import sys
from typing import Any

import click

from agpd.cli import output
from agpd.cli.asking import context_option, server
from agpd.cli.lazy import Failure


@click.group(invoke_without_command=True)
@context_option
@click.option(
    "--scope",
    default="",
    help="Only these scopes, such as 'agp:publish:acme/prod/*'; such a token is not kept.",
)
@click.option("--inspect", is_flag=True, help="Show what is in it instead.")
@click.pass_context
def token(ctx: click.Context, context: str | None, scope: str, inspect: bool) -> None:
    """Print an access token of the context's client, which holds for some minutes."""
    if ctx.invoked_subcommand is not None:
        return
    with server(context) as asked:
        text = asked.token(scope)
    if not text:
        raise Failure(f"the context {asked.name} has no client: agpctl login --client ID")
    click.echo(output.description(claims(text)) if inspect else text)


@token.command()
@context_option
@click.option(
    "--stdin", is_flag=True, help="Revoke the token on standard input, instead of those of the context."
)
def revoke(context: str | None, stdin: bool) -> None:
    """Log out: revoke the tokens of the context and forget them."""
    with server(context or click.get_current_context().parent.params.get("context")) as asked:  # type: ignore[union-attr]
        if stdin:
            asked.revoke(sys.stdin.read().strip())
            click.echo("revoked")
            return
        kept = asked.context.refresh_token or asked.token()
        if kept:
            asked.revoke(kept)
        asked.session.forget()
    click.echo(f"the tokens of the context {asked.name} are revoked and forgotten")


def claims(text: str) -> dict[str, Any]:
    """What a token says, unchecked; times as dates. Raises `Failure`."""
    parts = text.split(".")
    try:
        head, body = (
            json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2]
        )
    except ValueError as error:
        raise Failure("this is no JWT") from error
    times = {name: output.date(body[name]) for name in ("iat", "nbf", "exp") if name in body}
    return {**head, **body, **times}
