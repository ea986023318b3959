"""The event loop that a pool lives in, and the one coroutine that decides when requests go out."""

from ezcaptcha_async._runtime.callbacks import ask, call_back, is_stray
from ezcaptcha_async._runtime.event_loop import (
    EventLoop,
    Waiter,
    current_event_loop,
    on_trio,
    prepare_anyio,
)
from ezcaptcha_async._runtime.groups import unwrapped
from ezcaptcha_async._runtime.runner import Runner

__all__ = [
    "EventLoop",
    "Runner",
    "Waiter",
    "ask",
    "call_back",
    "current_event_loop",
    "is_stray",
    "on_trio",
    "prepare_anyio",
    "unwrapped",
]
