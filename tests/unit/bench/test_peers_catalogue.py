"""Which systems are chosen."""

import pytest

from bench.peers.catalogue import SYSTEMS, chosen


def test_all_without_a_choice() -> None:
    assert chosen("") == list(SYSTEMS)


def test_the_chosen_ones_and_always_agpd() -> None:
    assert [system.key for system in chosen("redis, nats")] == ["agpd", "nats", "redis"]


def test_a_wrong_key_is_named_with_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"no system rabbit; there are agpd, .*autogen"):
        chosen("rabbit,nats")
