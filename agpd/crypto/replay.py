"""Which counters of a session have come: a window, as in RFC 6479. First messages are remembered by `prekeys.Ring`."""

from agpd.crypto.errors import Cause, Replayed

WINDOW = 8192
_WORDS = WINDOW // 64 + 1  # RFC 6479: one word more, or the window would be 64 short


class Window:
    """Which of the last 8,192 counters have come. `highest`: -1 before the first."""

    __slots__ = ("_words", "highest")

    def __init__(self) -> None:
        self._words = [0] * _WORDS
        self.highest = -1

    def check(self, counter: int) -> None:
        """May this one still come? Raises `Replayed`, with the cause WINDOW if it is too late to tell."""
        highest = self.highest
        if counter > highest:
            return
        if highest - counter >= WINDOW:
            raise Replayed("too late", Cause.WINDOW)
        if self._words[(counter >> 6) % _WORDS] >> (counter & 63) & 1:
            raise Replayed("seen before")

    def mark(self, counter: int) -> None:
        """It has come, and was authentic."""
        word = counter >> 6
        if counter > self.highest:
            newest = self.highest >> 6
            if word != newest:
                for each in range(max(newest + 1, word - _WORDS + 1), word + 1):
                    self._words[each % _WORDS] = 0
            self.highest = counter
        self._words[word % _WORDS] |= 1 << (counter & 63)
