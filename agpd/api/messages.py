"""Structs of the control plane to and from protobuf messages of the same names and fields.

Works on any message; knows nothing of generated code. What protobuf cannot say (any JSON object) is a JSON text there.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from agpd.control.strict_json import loads
from agpd.errors import Code, Refused

JSON_FIELDS = frozenset({"card", "jwks", "detail", "claims"})
DEPTH = 32


def fill(message: Any, values: Mapping[str, Any]) -> None:
    """Set the fields of the message that `values` (of `msgspec.to_builtins`) has."""
    for name, value in values.items():
        if not value:
            continue
        if name in JSON_FIELDS:
            setattr(message, name, json.dumps(value, separators=(",", ":")))
        elif isinstance(value, dict):
            target = getattr(message, name)
            if isinstance(target, Mapping) or hasattr(target, "update"):
                target.update(value)
            else:
                target.SetInParent()
                fill(target, value)
        elif isinstance(value, list) and isinstance(value[0], dict):
            for one in value:
                fill(getattr(message, name).add(), one)
        elif isinstance(value, list):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)


def to_message(struct: Any, kind: type[Any]) -> Any:
    """The struct as a message of this class."""
    message = kind()
    fill(message, msgspec.to_builtins(struct))
    return message


def values_of(message: Any) -> dict[str, Any]:
    """The fields that are set, nested ones too. Raises `Refused(INVALID_REQUEST)` for a text that is not JSON."""
    return {field.name: _value(field.name, value) for field, value in message.ListFields()}


def to_struct(message: Any, kind: type[Any]) -> Any:
    """The message as a struct. Raises `Refused(INVALID_REQUEST)` that says which field is wrong."""
    try:
        return msgspec.convert(values_of(message), kind)
    except msgspec.ValidationError as error:
        raise Refused(Code.INVALID_REQUEST, str(error)) from error


def _value(name: str, value: Any) -> Any:
    if name in JSON_FIELDS:
        data = value.encode()
        return loads(data, limit=len(data), depth=DEPTH)
    if isinstance(value, str):
        if "\0" in value:
            raise Refused(Code.INVALID_REQUEST, f"{name} holds the character NUL")
        return value
    if hasattr(value, "ListFields"):
        return values_of(value)
    if isinstance(value, Mapping) or hasattr(value, "items"):
        return {_value(name, key): _value(name, one) for key, one in value.items()}
    if hasattr(value, "extend"):  # repeated; not every implementation of protobuf gives it `__iter__`
        return [_value(name, one) for one in value]
    return value
