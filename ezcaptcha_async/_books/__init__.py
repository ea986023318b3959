"""Where tickets stand and what may go: pure, with time and luck as arguments."""

from ezcaptcha_async._books.balance_watch import BalanceWatch
from ezcaptcha_async._books.books import Books
from ezcaptcha_async._books.budget import Budget
from ezcaptcha_async._books.entries import (
    IN_FLIGHT,
    AnyOutcome,
    Command,
    Entry,
    Gatekeeper,
    Line,
    Phase,
    Solved,
    Waiters,
    answer,
    refuse,
)
from ezcaptcha_async._books.gate import MOST_ERRORS, Gate, Permit
from ezcaptcha_async._books.leave import LeaveKeeper
from ezcaptcha_async._books.limits import AnswerTimes, Backoff, InquiryHold, Terms

__all__ = [
    "IN_FLIGHT",
    "MOST_ERRORS",
    "AnswerTimes",
    "AnyOutcome",
    "Backoff",
    "BalanceWatch",
    "Books",
    "Budget",
    "Command",
    "Entry",
    "Gate",
    "Gatekeeper",
    "InquiryHold",
    "LeaveKeeper",
    "Line",
    "Permit",
    "Phase",
    "Solved",
    "Terms",
    "Waiters",
    "answer",
    "refuse",
]
