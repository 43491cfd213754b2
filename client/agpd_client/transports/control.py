"""Where the control plane of a gateway is: `host:port` of its gRPC listener."""

from collections.abc import Mapping

from agpd_client.transports.address import GRPC_PORT, Address, parse_url

DEFAULT_PORT = GRPC_PORT


def control_address(gateway: Address, given: str | None, environ: Mapping[str, str]) -> Address:
    """`given`, else AGP_CONTROL, else the gateway's host with port 46357; TLS where the gateway has TLS.

    A gateway that is reached through gRPC has its control plane at the same port.
    Raises `ValueError` that shows how to write it.
    """
    text = given or environ.get("AGP_CONTROL", "")
    carrier = "tls" if gateway.has_tls else "tcp"
    if not text:
        if gateway.carrier == "local":
            raise ValueError(
                "a gateway in this process has no control plane; connect to one with agp://host:port"
            )
        return Address(carrier, gateway.host, gateway.port if gateway.is_tunnel else DEFAULT_PORT)
    try:
        host, port = parse_url(f"agp://{text}:{DEFAULT_PORT}" if _is_bare(text) else f"agp://{text}")[1:]
    except ValueError:
        raise ValueError(
            f"control plane {text!r}: write host:port, such as 127.0.0.1:{DEFAULT_PORT}"
        ) from None
    return Address(carrier, host, port)


def _is_bare(text: str) -> bool:
    return text.endswith("]") or ":" not in text
