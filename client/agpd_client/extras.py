"""Parts of the SDK that need packages which a plain installation does not bring."""

from typing import TYPE_CHECKING

from agpd_client.errors import NotInstalled

if TYPE_CHECKING:
    from agpd_client.registry import Registry


def registry_class() -> "type[Registry]":
    """`agpd_client.registry.Registry`. Raises `NotInstalled` that says what to install."""
    try:
        from agpd_client.registry import Registry
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("grpc", "google"):
            raise
        raise NotInstalled(
            f"the registry is asked over gRPC, which is not installed ({error}): pip install 'agpd[registry]'"
        ) from error
    return Registry
