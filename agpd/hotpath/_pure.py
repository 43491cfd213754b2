"""The hot path in Python: what the compiled module does, in the same words as far as they go."""

from agpd.wire.frames import FIRST_DATA_KIND, LAST_DATA_KIND, LENGTH_SIZE, PREFIX, PREFIX_SIZE, REST_MINIMUM

# kind, flags, fan-out, destination, source, id, body: as `agpd.wire.frames.Frame`
DataFrame = tuple[int, int, int, int, int, int, bytes]


def scan(data: bytes, position: int, limit: int) -> tuple[list[DataFrame], int]:
    """The consecutive whole data frames from `position` on, and where the next frame begins.

    It stops before the first frame that is not data, not whole, or has a length that `check_length` would refuse
    (`limit` bounds a frame, in bytes): the caller judges that one. Raises `ValueError` if `position` is negative.
    """
    if position < 0:
        raise ValueError("position is negative")
    size = len(data)
    found = []
    while size - position >= PREFIX_SIZE:
        length, kind, flags, fanout, destination, source, id_ = PREFIX.unpack_from(data, position)
        end = position + LENGTH_SIZE + length
        if not FIRST_DATA_KIND <= kind <= LAST_DATA_KIND or length < REST_MINIMUM:
            break
        if end > size or length + LENGTH_SIZE > limit:
            break
        found.append((kind, flags, fanout, destination, source, id_, data[position + PREFIX_SIZE : end]))
        position = end
    return found, position
