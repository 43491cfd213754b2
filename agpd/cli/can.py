"""`agpctl can`: may this one do that, and which rule says so?"""

import json
import sys

import click

from agpd.cli import completion, output
from agpd.cli.asking import asks, form_option
from agpd.cli.rest import Server
from agpd.cli.text import printable
from agpd.control.resources import VERBS

_name = completion.of("type")


@click.command()
@click.argument("subject", shell_complete=_name)
@click.argument("verb", type=click.Choice(VERBS))
@click.argument("object_", metavar="OBJECT", shell_complete=_name)
@form_option("table", "json")
@asks
def can(server: Server, subject: str, verb: str, object_: str, form: str) -> None:
    """Say whether SUBJECT may do VERB to OBJECT, and which rules decide. Exit code 0: yes, 1: no.

    For example: agpctl can acme/prod/writer publish globex/prod/reader
    """
    verdict = server.send("POST", "/v1/can", {"subject": subject, "verb": verb, "object": object_})
    if form == "json":
        click.echo(json.dumps(verdict))
    else:
        answer = "yes" if verdict["allowed"] else "no"
        click.echo(
            f"{output.emphasised(answer)}: {subject} may{' not' * (not verdict['allowed'])} {verb} {object_}"
        )
        rows = [[printable(rule[name]) for name in ("effect", "source", "text")] for rule in verdict["rules"]]
        if rows:
            click.echo(output.table(["EFFECT", "SOURCE", "RULE"], rows, cut=False))
    sys.exit(0 if verdict["allowed"] else 1)
