"""Write the pages and the example file that follow from code; `--check` only says which are stale.

python scripts/reference.py [--check]
"""

import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from agpd.config import KINDS, Config, Grant, to_toml
from agpd.errors import CATALOGUE, Code
from agpd.settings import environment_name
from agpd.values import base_of, literal, sentence

ROOT = Path(__file__).parent.parent
_NOTE = "<!-- Written by scripts/reference.py; edit the code it is written from. -->\n"
_TYPES = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    dict[str, str]: "table of texts",
}

_CONFIGURATION = """# Configuration

{note}
A value comes from the last of these that has it: the default, the TOML file named by `--config` or `AGPD_CONFIG`, the
environment, a `--set` flag. The three spellings of one setting:

| where | spelling |
|---|---|
| TOML file | `[listen]` and below it `native = "127.0.0.1:7420"` |
| environment | `{variable}=127.0.0.1:7420` |
| flag | `--set listen.native=127.0.0.1:7420` |

Sizes (`_bytes`) are a number of bytes or a text such as `"64KiB"`, `"4MiB"`, `"1GiB"`. Durations are a number in
the unit of the name (`_ms`, `_s`) or a text such as `"500ms"`, `"30s"`, `"2m"`, `"1h"`. In the environment and in
flags, tables and lists are written as in TOML: `--set 'tls.tenant_cas={{ acme = "acme.pem" }}'`.

A name that is no setting is an error in the file, in a flag, and in a variable `AGPD_*` with a double underscore; other
variables are not looked at. `agpd config show` prints what is in force, with `--origin` where
each value comes from; `agpd config check` says whether a gateway can start with it. `agpd.example.toml` names every
setting with its default.

"""

_ERRORS = """# Errors

{note}
Every refusal and every end of a connection has a code. *Ends* says whether the connection ends with it, *retry* whether
the same act may succeed later, *fault* who has to change something.

| number | code | fault | ends | retry | meaning | remedy | gRPC | HTTP |
|---|---|---|---|---|---|---|---|---|
"""

_GRANT_EXAMPLE = Grant(subject="acme/*", verb="publish", object="globex/sales/orders")


def configuration() -> str:
    """The reference page of the settings."""
    page = _CONFIGURATION.format(note=_NOTE, variable=environment_name("listen.native"))
    for name in Config.__struct_fields__:
        default = getattr(Config(), name)
        if isinstance(default, msgspec.Struct):
            page += f"## [{name}]\n\n{default.__doc__}\n\n" + "".join(_settings(name, default))
    return page + f"## [[grants]]\n\n{sentence(KINDS['grants'])}\n\n" + "".join(_grant())


def _settings(section: str, defaults: msgspec.Struct) -> Iterator[str]:
    yield "| setting | type | default | |\n|---|---|---|---|\n"
    for key in defaults.__struct_fields__:
        kind = KINDS[f"{section}.{key}"]
        default = literal(key, getattr(defaults, key))
        yield f"| `{key}` | {_type(kind)} | `{default}` | {sentence(kind)} |\n"
    yield "\n"


def _grant() -> Iterator[str]:
    yield f"{Grant.__doc__}\n\n| setting | type | |\n|---|---|---|\n"
    for field in msgspec.structs.fields(Grant):
        yield f"| `{field.name}` | {_type(field.type)} | {sentence(field.type)} |\n"
    yield f"\n```toml\n{_grant_example()}```\n"


def _grant_example() -> str:
    pairs = [f"{key} = {literal(key, getattr(_GRANT_EXAMPLE, key))}\n" for key in Grant.__struct_fields__]
    return "[[grants]]\n" + "".join(pairs)


def _type(kind: Any) -> str:
    base = base_of(kind)
    if typing.get_origin(base) is Literal:
        return ", ".join(f"`{one}`" for one in typing.get_args(base))
    if typing.get_origin(base) is tuple:
        return "list of whole numbers"
    bounds = [(note.ge, note.le) for note in typing.get_args(kind)[1:] if note.ge is not None]
    return _TYPES[base] + "".join(f", {least:,} to {most:,}" for least, most in bounds)


def errors() -> str:
    """The reference page of the error catalogue."""
    rows = [_error(code) for code in Code]
    return _ERRORS.format(note=_NOTE) + "".join(rows)


def _error(code: Code) -> str:
    entry = CATALOGUE[code]
    ends, retry = ("yes" if flag else "no" for flag in (entry.fatal, entry.retry))
    return (
        f"| {code.value} | `{code.name}` | {entry.fault.value} | {ends} | {retry} | {entry.meaning} "
        f"| {entry.remedy} | `{entry.grpc}` | {entry.http} |\n"
    )


def example() -> str:
    """The example file: every setting with its default, commented out."""
    grant = "".join(f"#{line}\n" for line in _grant_example().splitlines())
    head = "# agpd: every setting with its default. Remove the # before what you change.\n\n"
    return head + to_toml(Config(), commented=True).rstrip() + "\n" + grant


_CODES = re.compile(r"(?<=<!-- codes: generated -->\n).*?(?=<!-- /codes -->)", re.DOTALL)


# From here on codes are the SDK's own and never on the wire.
SDK_CODES_FROM = Code.NO_ANSWER


def native() -> str:
    """The protocol document, with the table of the codes that travel written anew."""
    rows = [
        f"| {code.value} | {code.name} | {CATALOGUE[code].meaning} |\n"
        for code in Code
        if code < SDK_CODES_FROM
    ]
    table = "| number | code | meaning |\n|---|---|---|\n" + "".join(rows)
    return _CODES.sub(lambda _: f"\n{table}\n", (ROOT / "proto/native.md").read_text())


PAGES = {
    "docs/reference/configuration.md": configuration,
    "docs/reference/errors.md": errors,
    "agpd.example.toml": example,
    "proto/native.md": native,
}


def stale() -> list[str]:
    """Files that are not what the code says."""
    return [
        name
        for name, page in PAGES.items()
        if not (ROOT / name).exists() or (ROOT / name).read_text() != page()
    ]


def main(arguments: list[str]) -> int:
    """0 if all is fresh, or was made so."""
    names = stale()
    if arguments == ["--check"]:
        sys.stderr.write("".join(f"{name} is stale: run scripts/reference.py\n" for name in names))
        return bool(names)
    for name in names:
        (ROOT / name).write_text(PAGES[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
