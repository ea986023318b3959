"""When to ask for the balance, and when to tell its owner; with plain numbers."""

from __future__ import annotations

from ezcaptcha_async._books.balance_watch import BalanceWatch


def pay(watch: BalanceWatch, points: float) -> bool:
    """Pay for a task; return whether the balance is to be asked for."""
    watch.spent(points)
    return watch.asks()


def test_the_first_payment_asks_and_then_only_what_may_be_low() -> None:
    """A question after each task would double the requests; none at all would never tell."""
    watch = BalanceWatch(100)
    assert pay(watch, 6)
    assert not pay(watch, 6), "a question is under way"
    assert not watch.known(1_000)
    assert repr(watch) == "<BalanceWatch, 994 points expected>", "6 may not be in the answer"
    asked = [step for step in range(200) if pay(watch, 6)]
    assert asked == [149], "994 - 150 * 6 is the first below 100"


def test_what_is_paid_while_a_question_is_under_way_is_not_forgotten() -> None:
    """A burst that empties the account within one round trip would never be told of."""
    watch = BalanceWatch(100)
    assert pay(watch, 6)
    for _ in range(160):
        assert not pay(watch, 6)
    assert not watch.known(994), "it was answered before the others were paid for"
    assert watch.asks(), "it may be at 34 by now"
    assert watch.known(34)
    assert not watch.asks()


def test_the_owner_is_told_once_until_there_is_more() -> None:
    """A hook that sends a message would send hundreds, or none the next time."""
    watch = BalanceWatch(100)
    assert pay(watch, 6)
    assert watch.known(90)
    assert not pay(watch, 9)
    assert pay(watch, 2), "a tenth of the threshold was spent"
    assert not watch.known(79)
    assert pay(watch, 20)
    assert not watch.known(5_000), "topped up"
    assert pay(watch, 4_950)
    assert watch.known(50)


def test_a_question_without_an_answer_is_asked_again() -> None:
    """One lost answer would keep a low balance secret."""
    watch = BalanceWatch(100)
    assert pay(watch, 6)
    watch.unknown()
    assert pay(watch, 6)
