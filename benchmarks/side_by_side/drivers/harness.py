"""What every driver shares: the load, its deadline, and the figures of the client's side.

All tasks are started at once, for the same page; or, where each call is judged by itself, one
after another at random moments, each for a page of its own.

A driver runs in the environment of its library, so this needs the standard library alone.
It may talk to this machine only: any other address ends the connection before it begins.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import resource
import selectors
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from random import Random
from typing import Any

PAGE = "https://example.com/login"
SITE_KEY = "site-key"
CLIENT_KEY = "client-key"
TASK_TYPE = "RecaptchaV2TaskProxyless"

SPACING = 3
"""Seconds that the service asks for after a ``processing`` answer."""

_LOOPBACK = "127.0.0.1"
_TOKEN_BEGINS = "simulated."  # noqa: S105 - what the simulated service's tokens begin with
_STACKS = ("aiohttp", "httpx")


Solve = Callable[[str], Coroutine[Any, Any, str]]


class NotSolvedError(Exception):
    """The library returned, without an exception, something that is not a token.

    Args:
        result: What it returned.
        task_id: The id of the task, when that is in it.
    """

    def __init__(self, result: object, *, task_id: object = None) -> None:
        super().__init__(result)
        self.task_id = task_id


class _PassTimer(selectors.DefaultSelector):
    """Notes the longest pass of an event loop: the time between two looks at its sockets.

    Unlike a coroutine that sleeps and looks at the clock, this wakes the loop up for nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.restart()

    def restart(self) -> None:
        """Begin anew, in the middle of a pass."""
        self.longest = 0.0
        self._since = time.perf_counter()

    def note(self) -> None:
        """Count the pass up to now."""
        self.longest = max(self.longest, time.perf_counter() - self._since)

    def select(self, timeout: float | None = None) -> Any:
        """Look at the sockets; what comes between two calls is a pass."""
        self.note()
        try:
            return super().select(timeout)
        finally:
            self._since = time.perf_counter()


def _memory(name: str) -> int:
    """Return a field of ``/proc/self/status`` in bytes.

    Not ``ru_maxrss``: a process inherits that from the one that started it.
    """
    status = Path("/proc/self/status").read_text("utf-8")
    return 1024 * int(status.partition(f"{name}:")[2].split()[0])


def _cpu_seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _stack() -> dict[str, str]:
    """Return the HTTP clients that were used, with their versions."""
    return {name: importlib.metadata.version(name) for name in _STACKS if name in sys.modules}


def _only_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host != _LOOPBACK:
        raise ConnectionRefusedError(f"the benchmark does not talk to {host}")


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a library is asked to do.

    Args:
        url: The service, without a slash at its end.
        tasks: How many tasks are started.
        longest: Most seconds that the service takes for a task.
        limit: Seconds after which a task counts as not solved.
        passes: Measures the event loop.
        over: Seconds over which they are started; 0 for all at once.
        seed: Where the moments of their starts come from.
    """

    url: str
    tasks: int
    longest: float
    limit: float
    passes: _PassTimer
    over: float = 0.0
    seed: int = 0

    def interval(self, polls: int) -> int:
        """Return whole seconds between polls for a library that polls so many times at most.

        It is the spacing that the service asks for, or as much more as it takes to reach
        the slowest task.
        """
        return max(SPACING, ceil(1.05 * self.longest / polls))

    async def solve(self, one: Solve) -> None:
        """Run the load, print the figures, and end the process.

        Args:
            one: Solves one task for a page, and returns its token.
        """
        memory_before = _memory("VmRSS")
        self.passes.restart()
        cpu, wall = _cpu_seconds(), time.perf_counter()
        tasks = [asyncio.create_task(call) for call in self._calls(one)]
        _, unfinished = await asyncio.wait(tasks, timeout=self.limit)
        figures = {
            "wall": time.perf_counter() - wall,
            "cpu": _cpu_seconds() - cpu,
        }
        self.passes.note()
        tokens: set[str] = set()
        failures: Counter[str] = Counter()
        for task in tasks:
            if task in unfinished:
                continue
            error = task.exception()
            if error is not None:
                failures[type(error).__name__] += 1
            elif str(task.result()).startswith(_TOKEN_BEGINS):
                tokens.add(task.result())
            else:
                failures["NotAToken"] += 1
        report = figures | {
            "stall": self.passes.longest,
            "peak_memory": _memory("VmHWM"),
            "memory_before": memory_before,
            "solved": len(tokens),
            "unfinished": len(unfinished),
            "failures": dict(failures),
            "stack": _stack(),
        }
        if self.over:
            report["calls"] = [_outcome(task) for task in tasks]
        print(json.dumps(report), flush=True)
        # At once: timer threads of one library outlive its tasks by minutes.
        os._exit(0)

    def _calls(self, one: Solve) -> list[Coroutine[Any, Any, str]]:
        if not self.over:
            return [one(PAGE) for _ in range(self.tasks)]

        async def later(number: int, start: float) -> str:
            await asyncio.sleep(start)
            # By its page the service's record tells whose task it charged.
            return await one(f"{PAGE}?call={number}")

        random = Random(self.seed)
        starts = sorted(random.uniform(0, self.over) for _ in range(self.tasks))
        return [later(*numbered) for numbered in enumerate(starts)]


def _outcome(task: asyncio.Task[str]) -> dict[str, Any]:
    """Return what a caller knows in the end, in terms that fit every library.

    An exception may have the task's id as ``task_id``, and may say with ``may_be_charged``
    that the task was perhaps paid for.
    """
    if not task.done():
        return {"failure": "not finished"}
    error = task.exception()
    if error is None:
        return {"token": str(task.result())}
    return {
        "failure": type(error).__name__,
        "task_id": getattr(error, "task_id", None),
        "may_be_charged": bool(getattr(error, "may_be_charged", False)),
    }


def drive(library: Callable[[Load], Awaitable[None]]) -> None:
    """Run a library under the load that the command line describes as JSON.

    Args:
        library: Opens a client and calls `Load.solve`.
    """
    sys.addaudithook(_only_this_machine)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    passes = _PassTimer()
    load = Load(**json.loads(sys.argv[1]), passes=passes)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(passes)) as runner:
        runner.run(library(load))
