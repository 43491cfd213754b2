"""The token bucket."""

import pytest

from agpd.transport.bucket import Bucket


@pytest.fixture
def now():
    return [1000.0]


def taken(bucket):
    count = 0
    while bucket.take():
        count += 1
    return count


def test_a_full_bucket_holds_a_tenth_of_a_second_s_worth(now):
    bucket = Bucket(100, lambda: now[0])
    assert taken(bucket) == 10
    now[0] += 3600
    assert taken(bucket) == 10


def test_a_slow_bucket_holds_one(now):
    bucket = Bucket(1, lambda: now[0])
    assert taken(bucket) == 1
    assert bucket.wait_s() == pytest.approx(1.0)


def test_the_rate_is_kept_to_the_token(now):
    bucket = Bucket(100, lambda: now[0])
    taken(bucket)
    count = 0
    for _ in range(10_000):  # 10 s in steps of 1 ms
        now[0] += 0.001
        count += bucket.take()
    assert count == pytest.approx(1000, abs=1)


def test_the_wait_is_what_the_next_token_takes(now):
    bucket = Bucket(100, lambda: now[0])
    assert bucket.wait_s() == 0
    taken(bucket)
    assert bucket.wait_s() == pytest.approx(0.01)
    now[0] += 0.004
    assert not bucket.take()
    assert bucket.wait_s() == pytest.approx(0.006)
    now[0] += 0.0061
    assert bucket.take()
