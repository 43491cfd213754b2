"""The page of the API follows from the operations and the proto file."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def script():
    spec = importlib.util.spec_from_file_location("api_page", ROOT / "scripts/api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_fresh() -> None:
    assert (ROOT / "docs/reference/api.md").read_text() == script().page()


def test_it_names_operations_and_methods() -> None:
    page = script().page()
    assert "| PUT | `/v1/tenants/{tenant}` | Create or replace: Tenant |" in page
    assert "| Discovery | Find, Get, Watch (stream) |" in page
