"""The tables of a database, made and brought up to date when the control plane opens it."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from agpd.control import chain
from agpd.control.sealing import Sealer
from agpd.errors import ConfigError

REVISIONS = ("0001", "0002")
"""All that this program knows, in their order."""
_LOCK = 0x61677064  # "agpd": of several gateways that start at once, one migrates


def upgrade(connection: Connection, sealer: Sealer) -> int:
    """Make what is missing, in the caller's transaction; the sequence of the last event of the audit log.

    Raises `ConfigError`: made by a newer agpd or by something else, or sealed with another key.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    version = revision(connection)
    if version != REVISIONS[-1]:
        _check(connection, version)
        run(connection)
        if version is None:
            chain.begin(connection, sealer)
    return chain.head(connection, sealer).sequence


def revision(connection: Connection) -> str | None:
    """What the database is at; None: nothing was made in it yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def run(connection: Connection, target: str = "head") -> None:
    """Run the migrations up to `target`."""
    # Half a second, which only a start that finds something to do has to pay.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def is_of_the_model(name: str | None, kind: str, _: object) -> bool:
    """Is it in the model? Full-text search and what Alembic itself keeps are made by hand."""
    return kind not in ("table", "index") or not (name or "").startswith(
        ("agent_words", "ix_agent_words", "alembic_")
    )


def _check(connection: Connection, version: str | None) -> None:
    if version is None:
        if inspect(connection).has_table("tenant"):
            raise ConfigError(
                "control.database holds tables of something else; give agpd a database of its own"
            )
    elif version not in REVISIONS:
        raise ConfigError(
            f"control.database was made by a newer agpd (revision {version}, this one knows {REVISIONS[-1]}): "
            "run that version, or bring back the backup from before the upgrade"
        )
