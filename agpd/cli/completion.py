"""Completion in shells: kinds, contexts and the names of what is there. Whatever fails is silent."""

import os
from collections.abc import Callable, Iterator

import click
from click.shell_completion import CompletionItem

from agpd.cli.lazy import Failure
from agpd.errors import ConfigError

TIMEOUT_S = 1.0
LIMIT = 100
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes agpctl in SHELL.

    bash: eval "$(agpctl completion bash)" in ~/.bashrc. zsh: the same with zsh, in ~/.zshrc, behind compinit. fish:
    agpctl completion fish > ~/.config/fish/completions/agpctl.fish.
    """
    from click.shell_completion import get_completion_class

    from agpd.cli.main import agpctl

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(agpctl, {}, "agpctl", "_AGPCTL_COMPLETE").source())


def contexts(ctx: click.Context, param: click.Parameter, word: str) -> list[CompletionItem]:
    """Names of contexts."""
    from agpd.cli.contexts import Contexts

    return _matching(Contexts.of(os.environ).names(), word)


def kinds(ctx: click.Context, param: click.Parameter, word: str) -> list[CompletionItem]:
    """Plurals of the kinds of resources."""
    from agpd.cli.kinds import KINDS

    return _matching([kind.plural for kind in KINDS], word)


def names(ctx: click.Context, param: click.Parameter, word: str) -> list[CompletionItem]:
    """What is there of the kind that stands before."""
    return _matching(_there(ctx, str(ctx.params.get("kind") or "")), word)


def of(kind: str) -> Complete:
    """What is there of this kind."""
    return lambda ctx, param, word: _matching(_there(ctx, kind), word)


tenants = of("tenant")


def _there(ctx: click.Context, word: str) -> list[str]:
    try:
        return list(_asked(ctx, word))
    except (Failure, ConfigError):
        return []


def _asked(ctx: click.Context, word: str) -> Iterator[str]:
    from agpd.cli.kinds import find
    from agpd.cli.listing import items
    from agpd.cli.rest import connected

    kind = find(word)
    wanted = ctx.params.get("context") or ctx.find_root().params.get("context") or ""
    with connected(wanted, tenant=ctx.params.get("tenant") or "", timeout_s=TIMEOUT_S) as server:
        for item in items(server, kind, (), [("limit", str(LIMIT))]):
            yield kind.title(item)


def _matching(words: list[str], word: str) -> list[CompletionItem]:
    return [CompletionItem(each) for each in words if each.startswith(word)]
