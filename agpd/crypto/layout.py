"""Reading fixed layouts once and exactly. All integers are big-endian, as in the native frame."""

from agpd import names
from agpd.crypto.errors import Malformed
from agpd.errors import Refused

VERSION = 1


class Reader:
    """Takes bytes from the front. Raises `Malformed` where there are too few, or too many at the end."""

    __slots__ = ("_data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self.position = position

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start = self.position
        end = start + size
        if end > len(self._data):
            raise Malformed("cut short")
        self.position = end
        return self._data[start:end]

    def number(self, size: int) -> int:
        """An unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def version(self) -> None:
        """The one version there is."""
        if self.number(1) != VERSION:
            raise Malformed("of another version")

    def name(self) -> str:
        """A name after its length, in its one spelling."""
        try:
            text = self.take(self.number(1)).decode("ascii")
            names.parse(text)
        except (UnicodeDecodeError, Refused):
            raise Malformed("a name is none") from None
        return text

    def rest(self) -> bytes:
        """Whatever follows."""
        return self.take(len(self._data) - self.position)

    def done(self) -> None:
        """Nothing may follow."""
        if self.position != len(self._data):
            raise Malformed("bytes after the end")


def number(value: int, size: int) -> bytes:
    """As `Reader.number` reads it."""
    return value.to_bytes(size, "big")


def name(text: str) -> bytes:
    """As `Reader.name` reads it."""
    data = text.encode("ascii")
    return number(len(data), 1) + data
