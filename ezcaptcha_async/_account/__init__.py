"""One account at work: its requests, and what their answers mean for a task and for all."""

from ezcaptcha_async._account.emitter import Emitter
from ezcaptcha_async._account.exchange import Exchange
from ezcaptcha_async._account.session import Session
from ezcaptcha_async._account.statistics import PoolStatistics, Statistics, sum_up

__all__ = [
    "Emitter",
    "Exchange",
    "PoolStatistics",
    "Session",
    "Statistics",
    "sum_up",
]
