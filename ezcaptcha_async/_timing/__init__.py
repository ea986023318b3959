"""When to poll: what is known of solve times, and the plan that follows from it; pure."""

from ezcaptcha_async._timing.learned import LearnedPolling
from ezcaptcha_async._timing.policy import KindStatistics, PollPolicy, PollTiming, Scouting
from ezcaptcha_async._timing.state_file import load_timing, save_timing

__all__ = [
    "KindStatistics",
    "LearnedPolling",
    "PollPolicy",
    "PollTiming",
    "Scouting",
    "load_timing",
    "save_timing",
]
