"""Token buckets: so often on average, so often at once, each key for itself."""

import pytest

from agpd.gateway.rates import Rates, TooMany, source_of


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(rates: Rates, key: str, tries: int) -> int:
    """How many of so many tries succeed."""
    count = 0
    for _ in range(tries):
        try:
            rates.take(key, "tries")
        except TooMany:
            continue
        count += 1
    return count


def test_a_burst_and_then_the_average() -> None:
    clock = Clock()
    rates = Rates(10, 20, clock)
    assert taken(rates, "a", 100) == 20
    total = 0
    for _ in range(100):
        clock.now += 0.1
        total += taken(rates, "a", 5)
    assert total == pytest.approx(100, abs=1)


def test_after_a_rest_there_is_a_burst_again_but_no_more_than_one() -> None:
    clock = Clock()
    rates = Rates(10, 20, clock)
    taken(rates, "a", 20)
    clock.now += 1000
    assert taken(rates, "a", 100) == 20


def test_each_key_for_itself() -> None:
    rates = Rates(1, 1, Clock())
    assert taken(rates, "a", 5) == taken(rates, "b", 5) == 1


def test_the_refusal_says_how_long_to_wait() -> None:
    clock = Clock()
    rates = Rates(2, 1, clock)
    rates.take("a", "logins")
    with pytest.raises(TooMany, match="logins") as caught:
        rates.take("a", "logins")
    assert caught.value.wait_s == pytest.approx(0.5, rel=0.01)
    clock.now += caught.value.wait_s
    rates.take("a", "logins")


def test_a_check_takes_nothing() -> None:
    rates = Rates(1, 1, Clock())
    for _ in range(10):
        rates.check("a", "x")
    rates.note("a")
    with pytest.raises(TooMany):
        rates.check("a", "x")


def test_no_more_keys_are_kept_than_allowed_and_the_latest_stay() -> None:
    rates = Rates(1, 1, Clock(), keys=10)
    for number in range(1000):
        rates.take(str(number), "x")
    assert len(rates._due) == 10
    assert taken(rates, "999", 1) == 0
    assert taken(rates, "0", 1) == 1


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_neighbours_in_a_network_of_ipv6_count_as_one(address: str, source: str) -> None:
    assert source_of(address) == source
