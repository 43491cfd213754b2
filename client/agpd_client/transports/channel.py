"""Channels of gRPC: their options, and their certificates."""

import os
from typing import Any

# Before the import: with it, channels that come and go leak, and an agent does not fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # what it has to say to us, it raises

import grpc
import grpc.aio

from agpd_client.transports.address import Address
from agpd_client.transports.tls import Pem

__all__ = ["grpc", "open_channel"]

ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
OPTIONS = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", ANSWER_LIMIT_BYTES),
    ("grpc.max_send_message_length", ANSWER_LIMIT_BYTES),
    # The native connection knows no proxy either.
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.http2.max_frame_size", 65_536),
]


def open_channel(address: Address, pem: Pem | None) -> Any:
    """A channel on the running loop; it connects with its first call. None: plaintext."""
    if pem is None:
        return grpc.aio.insecure_channel(str(address), options=OPTIONS)
    credentials = grpc.ssl_channel_credentials(pem.ca or None, pem.key or None, pem.certificate or None)
    return grpc.aio.secure_channel(str(address), credentials, options=OPTIONS)
