"""Compile `agpd/hotpath/_compiled.pyx`: `python scripts/compile_hotpath.py [--into DIRECTORY] [--sanitize] [--small]`.

Needs Cython, a C compiler (`CC`, or the one that this interpreter was built with) and the headers of Python.
The build of the package uses it too (`hatch_build.py`).
"""

import argparse
import hashlib
import os
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "agpd" / "hotpath" / "_compiled.pyx"
# -fwrapv: as CPython itself is built; -O3 measured no faster than -O2.
FLAGS = ["-O2", "-fwrapv", "-fPIC", "-DNDEBUG", "-Wall", "-Wno-unused-function", "-Wno-unreachable-code"]
SMALL = ["-DAGPD_RANGES=7", "-DAGPD_PORTS=3", "-DAGPD_KNOWN=4"]
SANITIZE = [
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
]


class CannotCompile(Exception):
    """Something that compiling needs is not there; says what."""


def file_name() -> str:
    """What the extension is called for this interpreter."""
    return "_compiled" + str(sysconfig.get_config_var("EXT_SUFFIX"))


def digest() -> str:
    """Names the state of the sources. The extension has it as `MADE_FROM`, so that a test finds one left behind."""
    files = [SOURCE, *sorted(SOURCE.parent.glob("*.pxi"))]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def compile_into(directory: Path, extra: list[str] | None = None) -> Path:
    """Compile the extension for this interpreter and return its path.

    Raises `CannotCompile`. A file that was there is replaced only by one that is finished.
    """
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / file_name()
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        made = Path(scratch) / target.name
        source = _translate(Path(scratch))
        options = [*FLAGS, f'-DAGPD_SOURCES="{digest()}"', *(extra or []), "-shared", f"-I{_headers()}"]
        _run([*_compiler(), *options, str(source), "-o", str(made)])
        made.replace(target)
    return target


def _translate(scratch: Path) -> Path:
    """The .pyx as C."""
    try:
        from Cython.Compiler.Errors import CompileError
        from Cython.Compiler.Main import CompilationOptions, compile_single
    except ImportError as error:
        raise CannotCompile(f"no Cython: {error}") from None
    source = scratch / "_compiled.c"
    options = CompilationOptions(output_file=str(source), language_level=3)
    try:
        compile_single(str(SOURCE), options, "agpd.hotpath._compiled")
    except CompileError as error:
        raise CannotCompile(f"Cython: {error}") from None
    return source


def _compiler() -> list[str]:
    # Linked by the compiler itself; on macOS symbols of the interpreter are looked up when it is loaded.
    command = shlex.split(os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc"))
    return [*command, "-undefined", "dynamic_lookup"] if "darwin" in sysconfig.get_platform() else command


def _headers() -> str:
    directory = sysconfig.get_paths()["include"]
    if not (Path(directory) / "Python.h").exists():
        raise CannotCompile(f"no Python.h in {directory}")
    return directory


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise CannotCompile(f"no C compiler: {command[0]}") from None
    except subprocess.CalledProcessError as error:
        raise CannotCompile(f"{command[0]} failed ({error.returncode}): {error.stderr}") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=SOURCE.parent, help="default: beside the source")
    parser.add_argument("--sanitize", action="store_true", help="with AddressSanitizer and UBSan")
    parser.add_argument("--small", action="store_true", help="with batches so small that tests fill them")
    given = parser.parse_args()
    extra = (SANITIZE if given.sanitize else []) + (SMALL if given.small else [])
    print(compile_into(given.into, extra))


if __name__ == "__main__":
    main()
