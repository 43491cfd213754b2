import asyncio
from collections.abc import Coroutine, Iterator

import pytest
from argon2 import extract_parameters

from agpd.control import secrets
from agpd.control.sealing import Sealer
from agpd.control.secrets import PER_CLIENT, QUEUE_LIMIT, Secrets, Stored, id_of, make
from agpd.errors import Code, Refused


@pytest.fixture
def hasher(sealer: Sealer) -> Iterator[Secrets]:
    hasher = Secrets(sealer)
    yield hasher
    hasher.close()


async def stored(hasher: Secrets, sealer: Sealer, expires: float = 0.0) -> tuple[str, Stored]:
    id_, text = make(sealer)
    return text, Stored(id_, await hasher.hash(text), 0.0, expires)


def count_hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets an item each time that argon2 verifies."""
    done: list[str] = []
    verify = secrets._verify

    def counting(hash_: str, text: str) -> bool:
        done.append(hash_)
        return verify(hash_, text)

    monkeypatch.setattr(secrets, "_verify", counting)
    return done


def test_a_secret_has_256_random_bits_and_only_its_gateway_knows_it_again(sealer: Sealer) -> None:
    made = {make(sealer) for _ in range(50)}
    assert len({text for _, text in made}) == len({id_ for id_, _ in made}) == 50
    for id_, text in made:
        assert text.startswith("agps_")
        assert id_of(sealer, text) == id_
        assert id_of(Sealer(b"x" * 32), text) is None


def test_what_was_not_made_here_has_no_id(sealer: Sealer) -> None:
    _, text = make(sealer)
    for place in range(len(text)):
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        assert id_of(sealer, changed) is None
    for other in (
        "",
        "agps_",
        text[:-1],
        text + "A",
        text.lower(),
        text.replace("agps_", "agps-"),
        "\u00e9" * 69,
    ):
        assert id_of(sealer, other) is None


async def test_the_hash_has_the_parameters_of_owasp(hasher: Secrets, sealer: Sealer) -> None:
    text, kept = await stored(hasher, sealer)
    found = extract_parameters(kept.hash)
    assert (found.type.name, found.memory_cost, found.time_cost, found.parallelism) == ("ID", 19 * 1024, 2, 1)
    assert text not in repr(kept)
    assert kept.hash not in repr(kept)


async def test_only_the_right_secret_in_its_time_is_verified(hasher: Secrets, sealer: Sealer) -> None:
    text, kept = await stored(hasher, sealer, expires=100.0)
    other, _ = await stored(hasher, sealer)
    assert await hasher.verify("a", text, [kept], 99.0) == kept.id
    assert await hasher.verify("a", text, [kept], 100.0) is None
    assert await hasher.verify("a", other, [kept], 99.0) is None
    assert await hasher.verify("a", text, [], 99.0) is None
    forged = Stored(kept.id, await hasher.hash("something else"), 0.0, 0.0)
    hasher.forget(kept.id)
    assert await hasher.verify("a", text, [forged], 99.0) is None


async def test_a_secret_is_hashed_once_until_it_is_forgotten(
    hasher: Secrets, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, kept = await stored(hasher, sealer)
    done = count_hashes(monkeypatch)
    for _ in range(3):
        assert await hasher.verify("a", text, [kept], 0.0) == kept.id
    assert len(done) == 1
    hasher.forget(kept.id)
    assert await hasher.verify("a", text, [kept], 0.0) == kept.id
    assert len(done) == 2


async def test_unknown_clients_cost_what_known_ones_cost(
    hasher: Secrets, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, kept = await stored(hasher, sealer)
    wrong, _ = await stored(hasher, sealer)
    done = count_hashes(monkeypatch)
    assert await hasher.verify("known", wrong, [kept], 0.0) is None
    assert await hasher.verify("unknown", wrong, [], 0.0) is None
    assert len(done) == 2


async def test_what_was_not_made_here_costs_no_hash(
    hasher: Secrets, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, kept = await stored(hasher, sealer)
    done = count_hashes(monkeypatch)
    assert await hasher.verify("a", "agps_" + "A" * 64, [kept], 0.0) is None
    assert done == []


class Slow:
    """In place of argon2: waits until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = asyncio.Event()
        self.calls = 0
        self._loop = asyncio.get_running_loop()
        monkeypatch.setattr(secrets, "_verify", self._verify)

    def _verify(self, hash_: str, text: str) -> bool:
        self.calls += 1
        asyncio.run_coroutine_threadsafe(self.gate.wait(), self._loop).result(10)  # type: ignore[arg-type]
        return True


async def test_the_queue_is_bounded_for_each_client_and_in_all(
    hasher: Secrets, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [make(sealer) for _ in range(QUEUE_LIMIT + 1)]
    kept = [Stored(id_, "hash", 0.0, 0.0) for id_, _ in made]
    slow = Slow(monkeypatch)

    def ask(client: str, number: int) -> Coroutine[None, None, str | None]:
        return hasher.verify(client, made[number][1], kept, 0.0)

    asked = [asyncio.create_task(ask("a", number)) for number in range(PER_CLIENT)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as caught:
        await ask("a", PER_CLIENT)
    assert caught.value.code is Code.TOO_MANY_REQUESTS
    asked += [asyncio.create_task(ask(f"b{number}", number)) for number in range(PER_CLIENT, QUEUE_LIMIT)]
    await asyncio.sleep(0)
    with pytest.raises(Refused):
        await ask("c", QUEUE_LIMIT)
    slow.gate.set()
    assert await asyncio.gather(*asked) == [one.id for one in kept[:QUEUE_LIMIT]]
    assert await ask("a", QUEUE_LIMIT) == kept[QUEUE_LIMIT].id


async def test_all_who_show_the_same_at_once_wait_for_one_hash(
    hasher: Secrets, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_, text = make(sealer)
    slow = Slow(monkeypatch)
    kept = [Stored(id_, "hash", 0.0, 0.0)]
    asked = [asyncio.create_task(hasher.verify("a", text, kept, 0.0)) for _ in range(100)]
    await asyncio.sleep(0)
    asked[0].cancel()
    slow.gate.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers[1:] == [id_] * 99
    assert slow.calls == 1


async def test_hashing_leaves_the_event_loop_free(hasher: Secrets) -> None:
    hashing = asyncio.create_task(hasher.hash("x"))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 1
