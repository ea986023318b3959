"""The limits on money, with a line whose sums are set by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._books.budget import Budget
from ezcaptcha_async._books.entries import Line
from ezcaptcha_async.errors import BudgetExceededError, ConfigurationError
from ezcaptcha_async.services import Offer

from .keeper import PlainGate

OFFER = Offer(type="T", points=6)


def line_with(**points: float) -> Line:
    """Return the books of an account with sums in them."""
    return Line(gate=PlainGate(), result_window=300.0, spacing=3.0, **points)


def test_everything_that_may_cost_counts_over_all_accounts() -> None:
    """Two accounts, or lost answers, would spend the budget twice."""
    lines = [line_with(points=6, pending_points=12), line_with(unknown_points=6)]
    purse = Budget(30, None, lines)
    assert purse.committed == 24
    purse.check("T", OFFER)
    lines.append(line_with(points=0.5))
    with pytest.raises(BudgetExceededError, match=r"of the budget of 30 there are 5\.5 left"):
        purse.check("T", OFFER)
    assert repr(purse) == "<Budget, 24.5 points of 30 committed>"


@pytest.mark.parametrize("offer", [None, Offer(type="T")])
def test_a_budget_needs_a_price_and_no_budget_needs_none(offer: Offer | None) -> None:
    """A type of unknown price would be free, or could not be used at all."""
    Budget(None, None, []).check("T", offer)
    with pytest.raises(ConfigurationError) as caught:
        Budget(30, None, []).check("T", offer)
    assert str(caught.value) == (
        "T has no listed price, which a budget needs; say what you pay for it: "
        "attrs.evolve(service, offers=[Offer(type='T', points=...), *service.offers])"
    )


def test_creates_are_repeated_within_their_own_limit_and_the_budget() -> None:
    """Repeating what may have been paid would spend without a bound."""
    assert not Budget(None, None, []).may_repeat(6.0)
    purse = Budget(None, 12, [])
    assert [purse.may_repeat(6.0) for _ in range(3)] == [True, True, False]
    assert not Budget(None, 100, []).may_repeat(None)
    purse = Budget(11, 100, [line_with(points=6)])
    assert not purse.may_repeat(6.0)


@given(st.integers(1, 10_000), st.integers(1, 300))
def test_a_budget_buys_what_it_is_meant_for(hundredths: int, count: int) -> None:
    """The third task of 0.1 points would be refused, of a budget of 0.3; or one more be bought."""
    price = hundredths / 100
    offer = Offer(type="T", points=price)
    line = line_with()
    most = hundredths * count / 100
    purse, again = Budget(most, None, [line]), Budget(None, most, [])
    both = Budget(most, 1e9, [line])
    for _ in range(count):
        purse.check("T", offer)
        assert again.may_repeat(price)
        assert both.may_repeat(price)
        line.points += price
    with pytest.raises(BudgetExceededError):
        purse.check("T", offer)
    assert not again.may_repeat(price)
    assert not both.may_repeat(price)
