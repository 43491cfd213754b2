"""Contexts: which gateway `agpctl` works with, and as whom. One file each, of mode 0600.

They are kept in `$XDG_CONFIG_HOME/agp/context/NAME.toml`; `current` beside that directory names the selected one.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from agpd.errors import ConfigError
from agpd.values import literal

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")


class Context(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A gateway and who we are there; empty: not known.

    Files are paths to PEM files, `secret_file` is one with a client's secret. `issuer` is where tokens come from: left
    out, `{server}/t/{tenant}`.
    """

    server: str = ""  # https://host:7421
    gateway: str = ""  # agp://host:7420
    ca: str = ""
    certificate: str = ""
    key: str = ""
    tenant: str = ""
    issuer: str = ""
    client: str = ""
    private_key: str = ""
    secret_file: str = ""
    refresh_token: str = ""

    def __repr__(self) -> str:
        return f"Context(server={self.server!r}, tenant={self.tenant!r}, client={self.client!r})"

    def shown(self) -> dict[str, str]:
        """All that is set, without the token."""
        values: dict[str, str] = {
            name: value for name, value in msgspec.structs.asdict(self).items() if value
        }
        return values | ({"refresh_token": "(kept secret)"} if self.refresh_token else {})

    @property
    def token_issuer(self) -> str:
        """Where tokens come from."""
        return self.issuer or f"{self.server}/t/{self.tenant}"


class Contexts:
    """The contexts of a user, below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Contexts":
        """Where this environment keeps them."""
        home = environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
        return cls(Path(home) / "agp")

    def names(self) -> list[str]:
        """In their order."""
        return sorted(path.stem for path in (self.directory / "context").glob("*.toml"))

    def selected(self) -> str:
        """The name of the selected context; empty: none is."""
        try:
            return (self.directory / "current").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def load(self, name: str) -> Context:
        """Raises `ConfigError`."""
        path = self.path(name)
        try:
            return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Context)
        except FileNotFoundError:
            known = ", ".join(self.names()) or "none"
            raise ConfigError(f"there is no context {name!r}; there are: {known}") from None
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
        except (ValueError, msgspec.ValidationError) as error:
            raise ConfigError(f"{path} is no context: {error}; write it again: agpctl context add") from error

    def save(self, name: str, context: Context) -> None:
        """Replace it, or make it. Raises `ConfigError`."""
        from agpd.transport.pem import make_directory, write_atomically

        path = self.path(name)
        lines = [
            f"{key} = {literal(key, value)}"
            for key, value in msgspec.structs.asdict(context).items()
            if value
        ]
        make_directory(path.parent)
        write_atomically(path, "".join(f"{line}\n" for line in lines).encode(), 0o600)

    def select(self, name: str) -> None:
        """Use it from now on. Raises `ConfigError` if there is none."""
        from agpd.transport.pem import write_atomically

        self.load(name)
        write_atomically(self.directory / "current", f"{name}\n".encode(), 0o600)

    def remove(self, name: str) -> None:
        """Forget it, and its tokens. Raises `ConfigError` if there is none."""
        self.load(name)
        self.path(name).unlink()
        self.cache(name).unlink(missing_ok=True)
        if self.selected() == name:
            (self.directory / "current").unlink()

    def path(self, name: str) -> Path:
        """Its file. Raises `ConfigError` for a name that could be none."""
        if not _NAME.match(name):
            raise ConfigError(f"{name!r} is no name of a context: use letters, digits, dots, - and _")
        return self.directory / "context" / f"{name}.toml"

    def cache(self, name: str) -> Path:
        """The file with its access token."""
        return self.path(name).with_suffix(".token")


def current(environ: Mapping[str, str], wanted: str = "") -> tuple[str, Context] | None:
    """Name and context that are wanted, or `AGP_CONTEXT`, or selected; None: no context is. Raises `ConfigError`."""
    contexts = Contexts.of(environ)
    name = wanted or environ.get("AGP_CONTEXT", "") or contexts.selected()
    return (name, contexts.load(name)) if name else None
