"""Native frames in gRPC messages and back (`proto/agpd/v1/gateway.proto`)."""

from google.protobuf.message import DecodeError

from agpd._proto import gateway_pb2 as pb
from agpd.errors import Code, Fatal

# Of frames in one message, so that the windows of HTTP/2 share a connection evenly.
FRAMES_RECOMMENDED_BYTES = 65536


def wrap(frames: bytes) -> bytes:
    """The message that carries these bytes of the stream."""
    return bytes(pb.Frames(frames=frames).SerializeToString())


def unwrap(message: bytes) -> bytes:
    """The bytes of the stream in a message; unknown fields are ignored.

    Raises `Fatal(MALFORMED_FRAME)`.
    """
    try:
        return bytes(pb.Frames.FromString(message).frames)
    except DecodeError:
        raise Fatal(Code.MALFORMED_FRAME, "bytes that are not a message of Tunnel") from None
