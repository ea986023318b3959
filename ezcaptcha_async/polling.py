"""When to poll: what to give a pool as ``polling``, and what a policy of your own needs."""

from ezcaptcha_async._timing import KindStatistics, LearnedPolling, PollPolicy, PollTiming, Scouting
from ezcaptcha_async.tasks import Kind

__all__ = ["Kind", "KindStatistics", "LearnedPolling", "PollPolicy", "PollTiming", "Scouting"]
