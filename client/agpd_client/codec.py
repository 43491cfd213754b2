"""Payloads: Python values to bytes with a content type, and back.

`bytes` and `str` travel as they are, pydantic models as JSON, everything else that msgspec knows (dict, list, numbers,
None, `msgspec.Struct`, dataclasses, TypedDict) as msgpack. pydantic is never imported here: a model can only exist
once the user has imported it.
"""

import functools
import sys
from typing import Any

import msgspec

from agpd.wire.envelope import ContentType
from agpd_client.errors import DecodeError, RemoteError

BYTES, TEXT, MSGPACK, JSON, ERROR = (int(each) for each in ContentType)


class _Failure(msgspec.Struct, array_like=True):
    """Body of an error reply: the name of the exception and its text."""

    type: str
    message: str


def _base_model() -> type | None:
    module = sys.modules.get("pydantic")
    return None if module is None else getattr(module, "BaseModel", None)


def _is_model(value: object) -> bool:
    base = _base_model()
    return base is not None and isinstance(value, base)


def _is_model_type(kind: object) -> bool:
    base = _base_model()
    return base is not None and isinstance(kind, type) and issubclass(kind, base)


def _nested(value: Any) -> Any:
    """What msgspec does not know: pydantic models within a container."""
    if _is_model(value):
        return value.model_dump(mode="json")
    raise TypeError(
        f"cannot send a {type(value).__name__}: send bytes, str, dict, list, numbers, None, a msgspec.Struct, "
        "a dataclass, a TypedDict or a pydantic model"
    )


_encode = msgspec.msgpack.Encoder(enc_hook=_nested).encode
_decode_failure = msgspec.msgpack.Decoder(_Failure).decode


def encode(data: Any) -> tuple[bytes, int]:
    """Body and content type. Raises `TypeError` or `ValueError` for what cannot be sent."""
    kind = type(data)
    if kind is bytes:
        return data, BYTES
    if kind is str:
        return data.encode(), TEXT
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data), BYTES
    if _is_model(data):
        return data.model_dump_json().encode(), JSON
    try:
        return _encode(data), MSGPACK
    except (OverflowError, RecursionError) as error:
        raise ValueError(f"cannot send this {kind.__name__}: {error}") from error


def encode_failure(error: BaseException) -> tuple[bytes, int]:
    """Body and content type of the answer to a request whose handler raised; the text is cut at 1000 characters."""
    return _encode(_Failure(type(error).__name__, str(error)[:1000])), ERROR


@functools.lru_cache(maxsize=256)
def _msgpack(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


@functools.lru_cache(maxsize=256)
def _json(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(body: bytes, content_type: int | str, kind: Any = None) -> Any:
    """The value in a payload, as a `kind` if one is given. Unknown content types are bytes.

    Raises `DecodeError` that names the path, and `RemoteError` for an error reply.
    """
    if kind is None and content_type == BYTES:
        return body
    if content_type == ERROR:
        raise _remote(body)
    try:
        if kind is not None and _is_model_type(kind):
            return _model(body, content_type, kind)
        return _plain(body, content_type, Any if kind is None else kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"the payload is not {_called(kind)}: {error}") from error


def _plain(body: bytes, content_type: int | str, kind: Any) -> Any:
    if content_type == MSGPACK:
        return _msgpack(kind).decode(body)
    if content_type == JSON:
        return _json(kind).decode(body)
    value = body.decode() if content_type == TEXT else body
    return value if kind is Any else msgspec.convert(value, kind, builtin_types=(bytes,))


def _model(body: bytes, content_type: int | str, kind: Any) -> Any:
    import pydantic

    try:
        if content_type == JSON:
            return kind.model_validate_json(body)
        return kind.model_validate(_plain(body, content_type, Any))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(part) for part in ("$", *first["loc"]))
        raise DecodeError(f"the payload is not {_called(kind)}: {first['msg']} - at `{path}`") from error


def _remote(body: bytes) -> RemoteError:
    try:
        failure = _decode_failure(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return RemoteError("Error", "the handler failed without saying how")
    return RemoteError(failure.type, failure.message)


def _called(kind: Any) -> str:
    return "readable" if kind is None else f"a {getattr(kind, '__name__', kind)}"
