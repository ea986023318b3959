"""The event loop that a pool lives in, and the one coroutine that decides when requests go out."""

from ezcaptcha_async._runtime.callbacks import call_back
from ezcaptcha_async._runtime.event_loop import EventLoop, Waiter, current_event_loop, on_trio
from ezcaptcha_async._runtime.groups import unwrapped
from ezcaptcha_async._runtime.runner import Runner

__all__ = [
    "EventLoop",
    "Runner",
    "Waiter",
    "call_back",
    "current_event_loop",
    "on_trio",
    "unwrapped",
]
