"""Write the next migration: what the tables in agpd/control/model.py have and the migrations do not make.

    python scripts/migration.py "Keep when an agent was last seen"

Until the first release all tables are one migration: `--first` writes that one anew.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from agpd.control import migrations
from agpd.control.model import metadata

VERSIONS = Path(migrations.__file__).parent / "versions"
FIRST = "Tables"
TEMPLATE = '''"""{message}."""

import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = {before}


def upgrade() -> None:
    {body}
'''


def body(connection: Connection) -> str:
    """The operations that bring the tables from where they are to the model."""
    options = {"compare_type": True, "include_name": migrations.is_of_the_model}
    context = MigrationContext.configure(connection, opts=options)
    operations = produce_migrations(context, metadata).upgrade_ops
    assert operations is not None
    lines = render_python_code(operations, migration_context=context)
    return "\n".join(line for line in lines.splitlines() if not line.lstrip().startswith("#")).strip()


def write(message: str, number: int) -> Path:
    """The file of the migration with this number, which comes behind the one before it."""
    before = f'"{number - 1:04}"' if number > 1 else "None"
    with create_engine("sqlite://").begin() as connection:
        if number > 1:
            migrations.run(connection)
        text = TEMPLATE.format(message=message, number=f"{number:04}", before=before, body=body(connection))
    words = re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_")
    path = VERSIONS / f"v{number:04}_{words}.py"
    path.write_text(text)
    for verb in (["format"], ["check", "--fix"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *verb, "--quiet", str(path)], check=True)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("message", nargs="?", help="what it does, one sentence without its full stop")
    parser.add_argument("--first", action="store_true", help="write the first migration anew")
    arguments = parser.parse_args()
    if arguments.first == bool(arguments.message):
        parser.error("give a message, or --first")
    number = 1 if arguments.first else len(migrations.REVISIONS) + 1
    print(f"read it, and commit it: {write(arguments.message or FIRST, number)}")
    if not arguments.first:
        print(f'then add "{number:04}" to REVISIONS in agpd/control/migrations/__init__.py')


if __name__ == "__main__":
    main()
