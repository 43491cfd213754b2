"""Parts of the SDK that need packages which a plain installation does not bring."""

from typing import TYPE_CHECKING

from agpd_client.errors import not_installed

if TYPE_CHECKING:
    from agpd_client.registry import Registry


def registry_class() -> "type[Registry]":
    """`agpd_client.registry.Registry`. Raises `NotInstalled` that says what to install."""
    try:
        from agpd_client.registry import Registry
    except ImportError as error:
        if (absent := not_installed(error, "the registry is asked over gRPC")) is None:
            raise
        raise absent from error
    return Registry
