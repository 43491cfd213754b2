"""The script writes the migration that the model needs."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Column, Integer, MetaData, create_engine

from agpd.control import migrations
from agpd.control.model import metadata

SCRIPT = Path(__file__).parents[3] / "scripts/migration.py"


@pytest.fixture
def migration() -> ModuleType:
    spec = importlib.util.spec_from_file_location("migration", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_migrations_have_all_of_the_model(migration: ModuleType) -> None:
    with create_engine("sqlite://").begin() as connection:
        migrations.run(connection)
        assert migration.body(connection) == "pass"


def test_a_new_column_is_a_migration(
    migration: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        table.to_metadata(newer)
    newer.tables["tenant"].append_column(Column("colour", Integer))
    monkeypatch.setattr(migration, "metadata", newer)
    monkeypatch.setattr(migration, "VERSIONS", tmp_path)
    path = migration.write("Tenants have a colour", 3)
    assert path.name == "v0003_tenants_have_a_colour.py"
    text = path.read_text()
    assert 'down_revision = "0002"' in text
    assert 'op.add_column("tenant", sa.Column("colour", sa.Integer(), nullable=True))' in text


def test_it_wants_a_message_or_first() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--first" in done.stderr
