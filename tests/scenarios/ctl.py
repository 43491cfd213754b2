"""agpctl against a gateway, in this process."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from click.testing import CliRunner, Result

from agpd.cli.contexts import Contexts
from agpd.cli.main import agpctl

NONE = {"AGP_CONTEXT": None, "AGP_URL": None, "AGP_CLIENT_SECRET": None, "COLUMNS": "120"}


@dataclass(frozen=True)
class Ctl:
    """Runs agpctl. `state` is the directory with the gateway's files, `server` the address of its control plane."""

    environ: dict[str, str]
    state: Path
    server: str

    def run(self, *arguments: str, stdin: str | None = None, **environ: str) -> Result:
        """To its end, whatever that is."""
        result = CliRunner(env=NONE).invoke(
            agpctl, arguments, input=stdin, env=self.environ | environ, prog_name="agpctl"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def __call__(self, *arguments: str, stdin: str | None = None, **environ: str) -> str:
        """What it prints on standard output; it must succeed."""
        result = self.run(*arguments, stdin=stdin, **environ)
        assert result.exit_code == 0, result.output
        return result.stdout

    def fails(self, *arguments: str, stdin: str | None = None, **environ: str) -> str:
        """The line that it ends with on standard error; it must fail with 2, and have printed nothing."""
        result = self.run(*arguments, stdin=stdin, **environ)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        return result.stderr.splitlines()[-1]

    def json(self, *arguments: str, **environ: str) -> Any:
        """What it prints with `-o json`."""
        return msgspec.json.decode(self(*arguments, "-o", "json", **environ))

    @property
    def contexts(self) -> Contexts:
        return Contexts.of(self.environ)
