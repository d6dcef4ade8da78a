import pytest

from skhost.drain_rate import DEFAULT_S, MAX_S, MIN_S, DrainRate


def test_nothing_is_known_at_first() -> None:
    rate = DrainRate()
    assert not rate.is_known
    assert rate.seconds_for(100) == 0
    assert rate.retry_after_s(10, 100) == DEFAULT_S


def test_a_steady_rate_is_met_exactly() -> None:
    rate = DrainRate()
    for _ in range(3):
        rate.observe(items=10, tokens=200, seconds=0.5)
    assert rate.seconds_for(400) == pytest.approx(1.0)
    assert rate.retry_after_s(items=0, tokens=800) == pytest.approx(2.0)
    assert rate.retry_after_s(items=100, tokens=0) == pytest.approx(5.0)


def test_the_slower_of_items_and_tokens_decides() -> None:
    rate = DrainRate()
    rate.observe(items=10, tokens=100, seconds=1.0)
    assert rate.retry_after_s(items=50, tokens=100) == pytest.approx(5.0)
    assert rate.retry_after_s(items=1, tokens=700) == pytest.approx(7.0)


def test_the_recent_counts_more_than_the_past() -> None:
    rate = DrainRate()
    rate.observe(items=1, tokens=100, seconds=1.0)
    for _ in range(30):
        rate.observe(items=1, tokens=1000, seconds=1.0)
    assert rate.seconds_for(1000) == pytest.approx(1.0, rel=0.01)


def test_the_wait_is_bounded() -> None:
    rate = DrainRate()
    rate.observe(items=1, tokens=1, seconds=1.0)
    assert rate.retry_after_s(0, 0) == MIN_S
    assert rate.retry_after_s(0, 10_000) == MAX_S
