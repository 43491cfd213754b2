"""`agpd bootstrap`: the first operator of a control plane, made on the gateway's own machine."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agpd.cli.options import config_options

if TYPE_CHECKING:
    from agpd.config import Config
    from agpd.control.resources import Secret


@click.command()
@config_options
@click.option(
    "--client", default="agpd.operator", show_default=True, help="Id of the operator's client: agpd.label."
)
@click.option(
    "--reset", is_flag=True, help="If there is an operator: give CLIENT a new secret, revoke its others."
)
def bootstrap(file: Path | None, sets: tuple[str, ...], client: str, reset: bool) -> None:
    """Make the tenant of the operators and its first client, and print the client's secret, this one time.

    It works on the database of the configuration, whether or not a gateway runs.
    """
    from agpd.config import read

    secret = asyncio.run(_bootstrap(read(file, os.environ, sets), client, reset))
    click.echo(
        f"the client {client} of the tenant agpd is an operator; its secret, which is shown only now:",
        err=True,
    )
    click.echo(secret.secret)


async def _bootstrap(config: "Config", client: str, reset: bool) -> "Secret":
    from agpd.control.seed import first_operator
    from agpd.control.service import Control

    control = await Control.open(config.control)
    try:
        return await first_operator(control, client, reset=reset)
    finally:
        await control.close()
