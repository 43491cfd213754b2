"""One face over the wheels that speak AGP: agp-bindings 0.2.4, 0.3.0, 0.3.4, 0.3.5 and slim-bindings 0.3.6.

They differ in how a connection is configured, how sessions are made, and in names. The verbs are the same in all.
"""

import datetime
import importlib.metadata
from typing import Any

try:
    import agp_bindings as wheel

    PACKAGE, Node = "agp-bindings", wheel.Gateway
except ImportError:
    import slim_bindings as wheel

    PACKAGE, Node = "slim-bindings", wheel.Slim

VERSION = tuple(int(part) for part in importlib.metadata.version(PACKAGE).split("."))
# slim-bindings 0.3.6 is agp-bindings 0.3.5 under other names.
LEVEL = (0, 3, 5) if PACKAGE == "slim-bindings" else VERSION
OLD = LEVEL < (0, 3)

if OLD:
    Expired = wheel.TimeoutError
elif PACKAGE == "slim-bindings":
    Expired = wheel.SLIMTimeoutError
else:
    Expired = wheel.AGPTimeoutError


async def connect(node: Any, config: dict[str, Any]) -> None:
    """Open the stream and subscribe to the node's own name. `config` as 0.3.5 takes it."""
    if not OLD:
        await node.connect(config)
        return
    tls, basic = config.get("tls", {}), config.get("auth", {}).get("basic", {})
    node.configure(
        wheel.GatewayConfig(
            endpoint=config["endpoint"],
            insecure=tls.get("insecure", False),
            insecure_skip_verify=tls.get("insecure_skip_verify", False),
            tls_ca_path=tls.get("ca_file"),
            tls_cert_path=tls.get("cert_file"),
            tls_key_path=tls.get("key_file"),
            basic_auth_username=basic.get("username"),
            basic_auth_password=basic.get("password"),
        )
    )
    await node.connect()


async def disconnect(node: Any, endpoint: str) -> None:
    """Close the stream."""
    await (node.disconnect() if OLD else node.disconnect(endpoint))


def agent_type(name: str) -> Any:
    """`org/ns/type` as the wheel has it."""
    return wheel.PyAgentType(*name.split("/"))


def _seconds(value: float | None) -> datetime.timedelta | None:
    return None if value is None else datetime.timedelta(seconds=value)


async def fire_and_forget(
    node: Any, timeout_s: float | None = None, retries: int | None = None, sticky: bool = False
) -> Any:
    """A session of single messages; with a timeout each is acknowledged (from 0.3.4 on), `sticky` from 0.3.5 on."""
    if OLD:
        return await node.create_ff_session(wheel.PyFireAndForgetConfiguration())
    given: dict[str, Any] = {}
    if LEVEL >= (0, 3, 4):
        given = {"timeout": _seconds(timeout_s), "max_retries": retries}
    if LEVEL >= (0, 3, 5):
        given["sticky"] = sticky
    return await node.create_session(wheel.PySessionConfiguration.FireAndForget(**given))


async def request_response(node: Any, timeout_s: float = 1.0) -> Any:
    """A session of requests."""
    if OLD:
        config = wheel.PyRequestResponseConfiguration(max_retries=0, timeout=int(timeout_s * 1000))
        return await node.create_rr_session(config)
    return await node.create_session(
        wheel.PySessionConfiguration.RequestResponse(timeout=_seconds(timeout_s))
    )


async def streaming(
    node: Any, direction: str, topic: str | None = None, retries: int = 0, timeout_s: float = 1.0
) -> Any:
    """A session of numbered messages: `SENDER`, `RECEIVER`, or `BIDIRECTIONAL` over a topic."""
    way, about = getattr(wheel.PySessionDirection, direction), agent_type(topic) if topic else None
    if OLD:
        config = wheel.PyStreamingConfiguration(way, about, retries, _seconds(timeout_s))
        return await node.create_streaming_session(config)
    return await node.create_session(
        wheel.PySessionConfiguration.Streaming(
            way, topic=about, max_retries=retries, timeout=_seconds(timeout_s)
        )
    )


KINDS = {"fire_and_forget": fire_and_forget, "request_response": request_response, "streaming": streaming}
