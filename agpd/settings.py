"""Settings from a TOML file, the environment and flags, and back to TOML, for any tree of msgspec structs.

A *kind* is the annotated type of one setting; a *name* is dotted: `tls.key`, or `grants` outside any section.
Every error is a `ConfigError` that names the source, the setting and the way out.
"""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agpd.errors import ConfigError
from agpd.values import convert, convert_text, literal, sentence

Kinds = Mapping[str, Any]

PREFIX = "AGPD_"


class Given(NamedTuple):
    """A value that is not the default, as its kind demands, and where it came from."""

    value: object
    origin: str


def kinds_of(tree: type[msgspec.Struct]) -> dict[str, Any]:
    """Every setting of a struct of sections: dotted name -> kind."""
    kinds: dict[str, Any] = {}
    for field in msgspec.structs.fields(tree):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            kinds |= {
                f"{field.name}.{inner.name}": inner.type for inner in msgspec.structs.fields(field.type)
            }
        else:
            kinds[field.name] = field.type
    return kinds


def gather(
    kinds: Kinds, file: Path | None, environ: Mapping[str, str], sets: Sequence[str]
) -> dict[str, Given]:
    """What the sources say; a later source outranks an earlier one: file, environment, `name=value` flags."""
    given = {} if file is None else _from_file(kinds, file)
    return given | _from_environment(kinds, environ) | _from_flags(kinds, sets)


def environment_name(name: str) -> str:
    """`tls.key` -> `AGPD_TLS__KEY`."""
    return PREFIX + name.replace(".", "__").upper()


def _from_file(kinds: Kinds, file: Path) -> dict[str, Given]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {file}: {error.strerror or error}; name a file with --config"
        ) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or numbers and nesting without end
        raise ConfigError(f"{file} is not a TOML file: {error}") from error
    return {
        name: Given(convert(name, kinds[name], value, str(file)), str(file))
        for name, value in _flatten(kinds, tables, str(file))
    }


def _flatten(kinds: Kinds, tables: dict[str, Any], origin: str) -> Iterator[tuple[str, object]]:
    sections = {name.partition(".")[0] for name in kinds if "." in name}
    for key, value in tables.items():
        if key not in sections:
            _known(kinds, key, origin)
            yield key, value
        elif not isinstance(value, dict):
            raise ConfigError(f"{origin}: {key!r} is a section; write [{key}] and its settings below it")
        else:
            for inner, setting in value.items():
                _known(kinds, f"{key}.{inner}", origin)
                yield f"{key}.{inner}", setting


def _from_environment(kinds: Kinds, environ: Mapping[str, str]) -> dict[str, Given]:
    given = {}
    blurred = {environment_name(name).replace("__", "_"): name for name in kinds if "." in name}
    for variable, text in environ.items():
        rest = variable.removeprefix(PREFIX)
        if rest == variable:
            continue
        origin = f"environment variable {variable}"
        if variable in blurred:  # ignored, a certificate revocation list would silently not be used
            raise ConfigError(f"{origin}: did you mean {environment_name(blurred[variable])}?")
        name = rest.lower().replace("__", ".", 1)
        if "." in name or name in kinds:
            _known(kinds, name, origin)
            given[name] = Given(convert_text(name, kinds[name], text, origin), origin)
    return given


def _from_flags(kinds: Kinds, sets: Sequence[str]) -> dict[str, Given]:
    given = {}
    for flag in sets:
        name, equals, text = flag.partition("=")
        if not equals:
            raise ConfigError(f"--set {flag}: write it as section.setting=value")
        _known(kinds, name, f"--set {name}")
        given[name] = Given(convert_text(name, kinds[name], text, f"--set {name}"), f"--set {name}")
    return given


def _known(kinds: Kinds, name: str, origin: str) -> None:
    """Raise for a name that is no setting, with the nearest one."""
    if name in kinds:
        return
    section, dot, key = name.rpartition(".")
    peers = [other.rpartition(".")[2] for other in kinds if other.rpartition(".")[0] == section]
    homes = [other.rpartition(".")[0] for other in kinds if other.rpartition(".")[2] == key]
    sections = {other.partition(".")[0] for other in kinds}
    if not dot:
        raise ConfigError(
            f"{origin}: unknown setting or section {key!r}" + _guess(key, [*sections, *kinds], homes)
        )
    if not peers:
        raise ConfigError(f"{origin}: unknown section [{section}]" + _guess(section, sections, []))
    raise ConfigError(f"{origin}: unknown setting {key!r} in [{section}]" + _guess(key, peers, homes))


def _guess(word: str, words: Iterable[str], homes: Sequence[str]) -> str:
    if homes:
        return f"; it belongs to [{homes[0]}]"
    near = difflib.get_close_matches(word, sorted(words), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(words))}"


def to_toml(kinds: Kinds, config: msgspec.Struct, *, commented: bool = False) -> str:
    """The configuration as a TOML file that reads back as the same, a sentence above each setting.

    `commented` puts `#` before every value: a file that changes nothing until a line is edited.
    """
    mark = "#" if commented else ""
    return "\n".join(
        line for name in config.__struct_fields__ for line in _part(kinds, name, getattr(config, name), mark)
    )


def _part(kinds: Kinds, name: str, part: object, mark: str) -> Iterator[str]:
    if isinstance(part, msgspec.Struct):
        yield f"# {part.__doc__}\n[{name}]"
        for key in part.__struct_fields__:
            yield f"# {sentence(kinds[f'{name}.{key}'])}"
            yield f"{mark}{key} = {literal(key, getattr(part, key))}"
        yield ""
    else:
        assert isinstance(part, tuple), "a setting outside the sections is a list of tables"
        yield f"# {sentence(kinds[name])}"
        for item in part:
            yield f"{mark}[[{name}]]"
            yield from (f"{mark}{key} = {literal(key, getattr(item, key))}" for key in item.__struct_fields__)
            yield ""
