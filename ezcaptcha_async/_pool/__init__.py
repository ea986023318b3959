"""What users hold: the pool, its tickets, and the engine below them."""

from ezcaptcha_async._pool.pool import SessionPool

__all__ = [
    "SessionPool",
]
