"""What users hold: the pool, its tickets, and the engine below them."""

from ezcaptcha_async._pool.many import Outcome, Resumed
from ezcaptcha_async._pool.pool import SessionPool
from ezcaptcha_async._pool.ticket import Ticket

__all__ = [
    "Outcome",
    "Resumed",
    "SessionPool",
    "Ticket",
]
