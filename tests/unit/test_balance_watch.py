"""When to ask for the balance, and when to tell its owner; with plain numbers."""

from __future__ import annotations

from ezcaptcha_async._balance_watch import BalanceWatch


def test_the_first_payment_asks_and_then_only_what_may_be_low() -> None:
    """A question after each task would double the requests; none at all would never tell."""
    watch = BalanceWatch(100)
    assert watch.spent(6)
    assert not watch.spent(6), "a question is under way"
    assert not watch.known(1_000)
    asked = [step for step in range(200) if watch.spent(6)]
    assert asked == [150], "1,000 - 151 * 6 is the first below 100"


def test_the_owner_is_told_once_until_there_is_more() -> None:
    """A hook that sends a message would send hundreds, or none the next time."""
    watch = BalanceWatch(100)
    watch.spent(6)
    assert watch.known(90)
    assert not watch.spent(9)
    assert watch.spent(2), "a tenth of the threshold was spent"
    assert not watch.known(79)
    assert watch.spent(20)
    assert not watch.known(5_000), "topped up"
    assert watch.spent(4_950)
    assert watch.known(50)


def test_a_question_without_an_answer_is_asked_again() -> None:
    """One lost answer would keep a low balance secret."""
    watch = BalanceWatch(100)
    assert watch.spent(6)
    watch.unknown()
    assert watch.spent(6)
