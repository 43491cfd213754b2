"""One value of a setting: from text or TOML to what its kind demands, and back to TOML.

A kind is an annotated type; the unit of a number is the last part of its name: `_bytes`, `_ms`, `_s`.
"""

import re
import tomllib
import typing
from typing import Annotated, Any, Literal

import msgspec

from agpd.errors import ConfigError

_SIZES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_TIMES = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
# The last part of a name that has a unit: the units a text may use, and what one unit of the name is in them.
_UNITS: dict[str, tuple[dict[str, int], int]] = {"bytes": (_SIZES, 1), "ms": (_TIMES, 1), "s": (_TIMES, 1000)}
_MEASURE = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))? ?([A-Za-z]*)\Z")


def hide_password(url: str) -> str:
    """The URL with `***` where a password stands; rather too much is hidden than too little."""
    hidden = re.sub(r"(://[^:/?#@]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"([?&][^=&]*password=)[^&#]*", r"\1***", hidden, flags=re.IGNORECASE)


def base_of(kind: Any) -> Any:
    """The type of a kind without its annotations."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def convert_text(name: str, kind: Any, text: str, origin: str) -> object:
    """A value from the environment or a flag: a string as it is, everything else as in TOML."""
    base = base_of(kind)
    if base is str or typing.get_origin(base) is Literal or _unit(name):
        return convert(name, kind, text, origin)
    try:
        values = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{origin}: {text!r} is not {_wanted(base)}") from error
    if set(values) != {"value"}:
        raise ConfigError(f"{origin}: {text!r} is more than one value")
    return convert(name, kind, values["value"], origin)


def _wanted(base: Any) -> str:
    return {bool: "true or false", int: "a whole number"}.get(
        base, "a TOML value, such as { a = 1 } or [1, 2]"
    )


def convert(name: str, kind: Any, value: object, origin: str) -> object:
    """The value as its kind demands; sizes and durations may be texts such as "4MiB" or "30s"."""
    if isinstance(value, str) and _unit(name):
        value = _measure(name, base_of(kind), value, origin)
    try:
        converted: object = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        said = str(error).replace("at `$", f"at `{name}")
        raise ConfigError(f"{origin}: {name} = {_short(value)} is wrong: {said}") from error
    _printable(name, converted, origin)
    return converted


def _printable(name: str, value: object, origin: str) -> None:
    """Bytes that are no UTF-8 come from the environment as lone surrogates; no file could hold them."""
    if isinstance(value, dict):
        for inner in (*value, *value.values()):
            _printable(name, inner, origin)
    if isinstance(value, str) and not value.isprintable():
        raise ConfigError(
            f"{origin}: {name} = {value!r} holds characters that cannot be printed; remove them"
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _unit(name: str) -> str:
    suffix = name.rpartition("_")[2]
    return suffix if suffix in _UNITS else ""


def _measure(name: str, base: Any, text: str, origin: str) -> int | float:
    """A size or duration in the unit of its name. Exact: 1.5s is 1500 ms, and 0.5B is refused."""
    units, one = _UNITS[_unit(name)]
    found = _MEASURE.match(text)
    if not found or (found[3] and found[3] not in units):
        raise ConfigError(
            f"{origin}: {name} = {text!r} is wrong: write a number and one of {', '.join(units)}"
        )
    whole, fraction, unit = found[1], found[2] or "", found[3]
    total = int(whole + fraction) * (units[unit] if unit else one)
    parts = int("1" + "0" * len(fraction)) * one
    if base is float:
        return total / parts
    if total % parts:
        raise ConfigError(f"{origin}: {name} = {text!r} is wrong: not a whole number of {_unit(name)}")
    return total // parts


def sentence(kind: Any) -> str:
    """What a setting is for."""
    return "".join(note.description or "" for note in typing.get_args(kind)[1:])


def literal(key: str, value: object) -> str:
    """The value in TOML; sizes as texts such as "4MiB" where they come out whole."""
    if isinstance(value, dict):
        pairs = [f"{literal('', name)} = {literal('', inner)}" for name, inner in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if key.endswith("_bytes") and isinstance(value, int):
        for unit in ("MiB", "KiB"):
            if value and value % _SIZES[unit] == 0:
                return f'"{value // _SIZES[unit]}{unit}"'
    # JSON's literals are TOML's for everything that a setting may hold: no control characters, no NaN.
    return msgspec.json.encode(value).decode()
