"""The price of a poll: rises while polls run late, and comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._timing.price import PollPrice


def pace(price: PollPrice, late: float, begin: float, seconds: int) -> None:
    """Let ten polls a second go out, all so late."""
    for tick in range(10 * seconds):
        price.paced(late, begin + tick / 10)


def test_on_time_it_stays() -> None:
    """Tasks would be fetched later than asked for, without any need."""
    price = PollPrice(0.5)
    assert price.now == 0.5
    pace(price, 0.9, 100.0, 60)
    assert price.now == 0.5


def test_late_polls_raise_it_slowly_and_it_comes_back() -> None:
    """Under a limit polls would crowd each other out, or be rare for ever after it."""
    price = PollPrice(0.5)
    pace(price, 5.0, 0.0, 30)
    early = price.now
    assert 0.5 < early < 1.0
    pace(price, 5.0, 30.0, 60)
    high = price.now
    assert high > early
    pace(price, 0.1, 90.0, 30)
    assert 0.5 < price.now < high
    pace(price, 0.1, 120.0, 400)
    assert price.now == 0.5


def test_one_late_poll_among_many_is_nothing() -> None:
    """A single lost packet would make all tasks dearer."""
    price = PollPrice(0.5)
    for tick in range(600):
        price.paced(9.0 if tick % 10 == 0 else 0.0, tick / 10)
    assert price.now == 0.5


def test_seconds_without_polls_count_as_on_time() -> None:
    """After a quiet night the price would still be that of the rush hour."""
    price = PollPrice(2.0)
    pace(price, 5.0, 0.0, 60)
    assert price.now > 2.0
    price.paced(0.0, 4_000.0)
    assert price.now == 2.0


@given(st.floats(0.01, 60), st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 1e9))))
def test_bounds(base: float, polls: list[tuple[float, float]]) -> None:
    """A clock that jumps would stop all polling, or let it run wild."""
    price = PollPrice(base)
    for late, now in sorted(polls, key=lambda poll: poll[1]):
        price.paced(late, now)
        assert base <= price.now <= 20.01 * base


def test_it_does_not_rise_without_end() -> None:
    """Hours at a limit would push the first poll to the end of the window."""
    price = PollPrice(0.5)
    for second in range(5_000):
        price.paced(100.0, float(second))
    assert 9 <= price.now <= 10.01
