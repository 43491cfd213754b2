"""Make tests/vectors/transcripts.json. It is frozen: make it again only with a new version of the protocol.

Each conversation has the secrets of both agents and everything that they sent. Keys follow from a seed; ML-KEM's and
secretstream's own chance cannot be handed in, so these conversations cannot be made twice alike, only opened.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/unit/crypto")]

from crypto_world import Seeded, World  # type: ignore[import-not-found]  # noqa: E402

from agpd.crypto import hazmat, prekeys  # noqa: E402
from agpd.crypto.headers import NO_REPLY, Padding, Purpose  # noqa: E402
from agpd.crypto.streams import StreamSender  # noqa: E402

A, B, TYPE = "acme/prod/a/1", "acme/prod/b/2", "acme/prod/b"
COUNT = 8


class Noting(Seeded):  # type: ignore[misc]
    """Chance that remembers what it gave."""

    def __init__(self, seed: object) -> None:
        super().__init__(seed)
        self.given: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        self.given.append(super().__call__(size))
        return self.given[-1]


def conversation(suite: int, seed: int) -> dict[str, Any]:
    """Everything once."""
    world = World(f"transcript {suite} {seed}", suite)
    chance = {name: Noting(f"{name} {suite} {seed}") for name in "ab"}
    padding = list(Padding)[seed % 3]
    a = world.agent(A, chance=chance["a"], padding=padding)
    b = world.agent(B, chance=chance["b"], padding=padding)
    world.refresh()
    shared: list[bytes] = []

    def encapsulate(public: bytes) -> tuple[bytes, bytes]:
        secret, ciphertext = hazmat.encapsulate(public)
        shared.append(secret)
        return secret, ciphertext

    a._contacts._encapsulate = encapsulate
    body = [bytes([number]) * (seed * 37 % 200 + number) for number in range(8)]
    prekey = b.ring.newest(prekeys.TYPE)
    assert prekey is not None
    sent: dict[str, Any] = {}
    chance["a"].given.clear()
    first = world.first(a, TYPE, body[0], inner=b"in", expires_ms=world.now_ms + 5000, id=77)
    ephemeral_a = chance["a"].given[0]
    chance["b"].given.clear()
    opened = world.open(b, first)
    ephemeral_b = chance["b"].given[0]
    answer = world.answer(b, opened, body[1])
    world.open(a, answer)
    sent["first"], sent["answer"] = first, answer
    there = [world.seal(a, b, body[2], correlation=number, inner=b"i" * number) for number in range(3)]
    for wire in there:
        world.open(b, wire)
    back = [world.seal(b, a, body[3]) for _ in range(3)]
    one_way = world.first(a, TYPE, body[4], flags=NO_REPLY, purpose=Purpose.APPLICATION)
    publisher = a.publisher(TYPE, world.now_ms)
    early = publisher.seal(b"early", id=1, now_ms=world.now_ms)
    distributed = a.distribute(TYPE, [99], now_ms=world.now_ms)[0][1]
    news = [publisher.seal(body[5], id=2 + number, now_ms=world.now_ms) for number in range(3)]
    hashed = world.first(a, B, body[6], purpose=Purpose.REKEY)
    sender = StreamSender(a.sessions.current(B, world.now_ms), 5, world.now_ms)
    chunks = [
        sender.seal(body[7], id=1, now_ms=world.now_ms + 130_000 * number, is_last=number == 2)
        for number in range(3)
    ]
    secrets = {
        "root": world.roots["acme"].public,
        "prekey": prekey.exchange.secret(),
        "seed": b"" if prekey.kem is None else prekey.kem.seed(),
        "a_static": a.identity.exchange.secret(),
        "a_ephemeral": ephemeral_a,
        "b_ephemeral": ephemeral_b,
        "shared": shared[0] if shared else b"",
    }
    many = {"there": there, "back": back, "news": news, "chunks": chunks, "body": body}
    singles = {**sent, "one_way": one_way, "early": early, "distributed": distributed, "hashed": hashed}
    return {
        "suite": suite,
        "now_ms": world.now_ms,
        "secrets": {name: each.hex() for name, each in secrets.items()},
        **{name: each.hex() for name, each in singles.items()},
        **{name: [part.hex() for part in each] for name, each in many.items()},
    }


if __name__ == "__main__":
    made = [conversation(suite, seed) for suite in (1, 2) for seed in range(COUNT)]
    lines = ",\n".join(json.dumps(each, separators=(",", ":")) for each in made)
    (ROOT / "tests/vectors/transcripts.json").write_text(f"[\n{lines}\n]\n")
