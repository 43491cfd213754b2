"""Client secrets: 256 random bits, kept as argon2id hashes, verified one at a time beside the event loop.

A secret is `agps_` and 64 characters: base64url of an id (8 bytes), 32 random bytes, and a tag (8 bytes) that only the
gateway's own key can make. So whatever was not made here is refused before it costs anything, for known and unknown
clients alike, and nobody can fill the queue without having had a secret.
"""

import asyncio
import base64
import hmac
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from agpd.control.sealing import Sealer
from agpd.errors import Code, Refused

PREFIX = "agps_"
ID_BYTES, RANDOM_BYTES, TAG_BYTES = 8, 32, 8
TEXT_LENGTH = len(PREFIX) + (ID_BYTES + RANDOM_BYTES + TAG_BYTES) * 4 // 3
PURPOSE = "client secret"
QUEUE_LIMIT = 64
PER_CLIENT = 4
REMEMBERED = 10_000

# What OWASP asks for at least: 19 MiB, two passes, one lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@dataclass(frozen=True, slots=True)
class Stored:
    """A secret as it is kept. `expires` in Unix seconds; 0: never."""

    id: str
    hash: str = field(repr=False)
    created: float
    expires: float


def make(sealer: Sealer) -> tuple[str, str]:
    """The id and the text of a new secret."""
    body = os.urandom(ID_BYTES + RANDOM_BYTES)
    text = PREFIX + base64.urlsafe_b64encode(body + _tag(sealer, body)).decode()
    return body[:ID_BYTES].hex(), text


def id_of(sealer: Sealer, text: str) -> str | None:
    """The id of a secret that was made here; None for anything else."""
    if len(text) != TEXT_LENGTH or not text.isascii() or not text.startswith(PREFIX):
        return None
    body = base64.urlsafe_b64decode(text[len(PREFIX) :])
    if len(body) != ID_BYTES + RANDOM_BYTES + TAG_BYTES:
        return None
    body, tag = body[:-TAG_BYTES], body[-TAG_BYTES:]
    return body[:ID_BYTES].hex() if hmac.compare_digest(tag, _tag(sealer, body)) else None


def _tag(sealer: Sealer, body: bytes) -> bytes:
    return sealer.mac(body, PURPOSE)[:TAG_BYTES]


class Secrets:
    """Hashes and verifies. Once a secret was right, a keyed digest in memory spares the hash the next time."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._thread = ThreadPoolExecutor(1, "secrets")
        self._key = os.urandom(32)
        self._known: dict[str, bytes] = {}  # id -> keyed digest
        self._running: dict[tuple[str, str, bytes], asyncio.Future[bool]] = {}
        self._pending: Counter[str] = Counter()  # client -> verifications under way
        self._decoy = ""

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def hash(self, text: str) -> str:
        """The argon2id hash of a secret, with its parameters and salt."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _HASHER.hash, text)

    async def verify(self, client: str, text: str, stored: Sequence[Stored], now: float) -> str | None:
        """The id of the stored secret that this is; None if it is none of them, or has expired.

        The time does not depend on whether `client` exists. Raises `Refused(TOO_MANY_REQUESTS)`.
        """
        id_ = id_of(self._sealer, text)
        if id_ is None:
            return None
        found = next((one for one in stored if one.id == id_), None)
        digest = hmac.digest(self._key, text.encode(), "sha256")
        known = self._known.get(id_)
        right = known is not None and hmac.compare_digest(known, digest)
        if not right:
            right = await self._matches(client, found.hash if found else await self._decoy_hash(), text)
        if found is None or not right or (found.expires and now >= found.expires):
            return None
        self._remember(id_, digest)
        return id_

    def forget(self, id_: str) -> None:
        """The secret was revoked."""
        self._known.pop(id_, None)

    def _remember(self, id_: str, digest: bytes) -> None:
        self._known[id_] = digest
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    async def _matches(self, client: str, hash_: str, text: str) -> bool:
        """All who show the same at once wait for one verification."""
        key = (client, hash_, hmac.digest(self._key, text.encode(), "sha256"))
        if (running := self._running.get(key)) is None:
            if len(self._running) >= QUEUE_LIMIT or self._pending[client] >= PER_CLIENT:
                raise Refused(Code.TOO_MANY_REQUESTS, "too many secrets are being verified at once")
            running = asyncio.get_running_loop().run_in_executor(self._thread, _verify, hash_, text)
            self._running[key] = running
            self._pending[client] += 1
            running.add_done_callback(lambda _: self._ended(key))
        return await asyncio.shield(running)

    def _ended(self, key: tuple[str, str, bytes]) -> None:
        del self._running[key]
        self._pending[key[0]] -= 1
        if not self._pending[key[0]]:
            del self._pending[key[0]]

    async def _decoy_hash(self) -> str:
        if not self._decoy:
            self._decoy = await self.hash(make(self._sealer)[1])
        return self._decoy


def _verify(hash_: str, text: str) -> bool:
    try:
        return _HASHER.verify(hash_, text)
    except (VerifyMismatchError, InvalidHashError):
        return False
