"""When to poll: what to give a pool as ``polling``, and what a policy of your own needs."""

from ezcaptcha_async._timing import KindStatistics, LearnedPolling, PollPolicy, PollTiming

__all__ = ["KindStatistics", "LearnedPolling", "PollPolicy", "PollTiming"]
