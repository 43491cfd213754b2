"""What comes from other agents, as text for a terminal or as JSON.

Nothing in it may control the terminal: what is not printable is escaped, and JSON is ASCII.
"""

import json
from typing import Any

import msgspec

from agpd.cli.text import TEXT_LIMIT, printable
from agpd_client import DecodeError, Message, Presence, RemoteError


def payload_text(message: Message[Any]) -> str:
    """The payload: text as it is, bytes as their length and hexadecimal digits, values as JSON."""
    data = _data(message)
    if isinstance(data, str):
        return printable(data)
    if isinstance(data, bytes):
        return f"<{len(data)} bytes> {printable(data[:TEXT_LIMIT].hex())}"
    return printable(msgspec.json.encode(data).decode())


def message_text(message: Message[Any]) -> str:
    """Source, destination and payload in one line."""
    request = " (request)" if message.is_request else ""
    return (
        f"{printable(message.source)} -> {printable(message.destination)}{request}  {payload_text(message)}"
    )


def message_json(message: Message[Any]) -> str:
    """One JSON object: source, destination, request, headers, content_type, data; bytes as base64."""
    return ascii_json(
        {
            "source": message.source,
            "destination": message.destination,
            "request": message.is_request,
            "headers": message.headers,
            "content_type": message.content_type,
            "data": _data(message),
        }
    )


def presence_text(presence: Presence) -> str:
    """`joined` or `left` and the full name."""
    return f"{'joined' if presence.present else 'left  '} {printable(presence.name)}"


def ascii_json(value: Any) -> str:
    """JSON in which only ASCII is left bare; bytes become base64."""
    return json.dumps(json.loads(msgspec.json.encode(value)))


def _data(message: Message[Any]) -> Any:
    """The payload as a value that JSON can hold; the raw bytes where it is none."""
    try:
        data = message.data
        if not isinstance(data, bytes):
            msgspec.json.encode(data)
    except (DecodeError, RemoteError, TypeError, ValueError, RecursionError):
        return message.body
    return data
