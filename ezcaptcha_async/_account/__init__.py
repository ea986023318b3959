"""One account at work: its requests, and what their answers mean for a task and for all."""

from ezcaptcha_async._account.emitter import Emitter
from ezcaptcha_async._account.exchange import Exchange
from ezcaptcha_async._account.limits import gate_of, line_of
from ezcaptcha_async._account.pace import Pace
from ezcaptcha_async._account.policy import Policy
from ezcaptcha_async._account.session import Session
from ezcaptcha_async._account.standing import Standing
from ezcaptcha_async._account.statistics import PoolStatistics, Statistics, sum_up

__all__ = [
    "Emitter",
    "Exchange",
    "Pace",
    "Policy",
    "PoolStatistics",
    "Session",
    "Standing",
    "Statistics",
    "gate_of",
    "line_of",
    "sum_up",
]
