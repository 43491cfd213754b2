"""The native programs are built where that is possible, and it is said why where it is not."""

import os
from pathlib import Path

import pytest

from bench.load import generator


def test_without_make_or_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert generator.build() == "make is not installed"
    (tmp_path / "make").write_text("")
    (tmp_path / "make").chmod(0o755)
    monkeypatch.setenv("CC", "no-such-compiler")
    assert generator.build() == "no-such-compiler is not installed"


def test_without_the_headers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho 'fatal error: openssl/ssl.h: No such file' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CC", "compiler")
    assert "libssl-dev" in generator.build()


def test_sources_that_do_not_compile_are_an_error_and_no_reason_to_go_on_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if reason := generator.build():
        pytest.skip(reason)
    (tmp_path / "Makefile").write_text("all:\n\t@echo broken >&2; exit 1\n")
    monkeypatch.setattr(generator, "NATIVE", tmp_path)
    with pytest.raises(generator.BuildFailed, match="broken"):
        generator.build()


def test_what_was_built_is_there() -> None:
    if reason := generator.build():
        pytest.skip(reason)
    assert all(os.access(generator.program(name), os.X_OK) for name in ("agpload", "relay"))
