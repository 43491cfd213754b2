"""What one read of a dialect's call has brought, in portions: others have their turn in between."""

from collections import deque
from collections.abc import Callable

from agpd.gateway.link import Link

# In one turn of the loop: 1 ms, or 8 if each message asks for something new.
MESSAGES_PER_TURN = 64


class Portions:
    """The messages of one call. `hear` is given as many of them as one turn has time for, in order.

    While some wait the link is held, so that nothing more is read.
    """

    def __init__(
        self,
        link: Link,
        call_soon: Callable[[Callable[[], None]], object],
        hear: Callable[[list[bytes]], None],
    ) -> None:
        self._link = link
        self._call_soon = call_soon
        self._hear = hear
        self._later: deque[bytes] = deque()

    @property
    def bytes_waiting(self) -> int:
        """Bytes of the messages that have their turn later."""
        return sum(map(len, self._later))

    def take(self, messages: list[bytes]) -> None:
        """All that one read has brought."""
        link = self._link
        if not self._later and link.close_code is None:
            self._hear(messages[:MESSAGES_PER_TURN])
            messages = messages[MESSAGES_PER_TURN:]
            if messages and link.close_code is None:
                link.hold()
                self._call_soon(self._go_on)
        if link.close_code is None:
            self._later += messages

    def _go_on(self) -> None:
        """The next turn, unless the hub has not come to the end of what was heard before."""
        link, later = self._link, self._later
        if link.close_code is None and not link.reassembly.open_bytes:
            self._hear([later.popleft() for _ in range(min(MESSAGES_PER_TURN, len(later)))])
        if link.close_code is not None:
            later.clear()
        elif later:
            self._call_soon(self._go_on)
        else:
            link.release()
