"""The event loop that a pool lives in, and the one coroutine that decides when requests go out."""

from ezcaptcha_async._runtime.callbacks import Callback, WrongAnswerError, is_stray
from ezcaptcha_async._runtime.event_loop import (
    EventLoop,
    Waiter,
    current_event_loop,
    prepare_anyio,
)
from ezcaptcha_async._runtime.groups import unwrapped
from ezcaptcha_async._runtime.runner import Runner

__all__ = [
    "Callback",
    "EventLoop",
    "Runner",
    "Waiter",
    "WrongAnswerError",
    "current_event_loop",
    "is_stray",
    "prepare_anyio",
    "unwrapped",
]
