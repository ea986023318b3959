"""Many tasks at once: read lazily, bounded, given out as they complete."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Generic, TypeAlias, TypeVar

import anyio
import attrs
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from anyio.lowlevel import checkpoint

from ezcaptcha_async._claim import Claim
from ezcaptcha_async._unwrap import unwrapped
from ezcaptcha_async.errors import EzCaptchaError
from ezcaptcha_async.solutions import Solution
from ezcaptcha_async.tasks import Task

T = TypeVar("T")
S = TypeVar("S", bound=Solution)


@attrs.frozen(kw_only=True)
class Outcome(Generic[S]):
    """What became of one task of ``solve_many``: either `solution` or `error` is set.

    Args:
        index: Position of the task in the input, from 0.
        task: The task itself.
        solution: What it was solved with.
        error: Why it was not.
    """

    index: int
    task: Task[S]
    solution: S | None = None
    error: EzCaptchaError | None = None


_Settled: TypeAlias = tuple[int, Task[S], Claim[S] | EzCaptchaError]


@asynccontextmanager
async def outcomes_of(
    tasks: Iterable[Task[S]] | AsyncIterable[Task[S]],
    start: Callable[[Task[S]], Claim[S]],
    *,
    max_in_flight: int,
) -> AsyncGenerator[AsyncIterator[Outcome[S]]]:
    """Solve tasks side by side and yield an iterator over their outcomes.

    A place is free again only when its outcome has been taken, so that neither a long
    input nor a slow reader makes anything grow. What is solved but not taken when the
    reader leaves is released, and so stays among the pool's orphans.
    """
    places = anyio.Semaphore(max_in_flight)
    send, receive = anyio.create_memory_object_stream[_Settled[S]]()

    async def solve(index: int, task: Task[S], out: ObjectSendStream[_Settled[S]]) -> None:
        async with out:
            try:
                claim = start(task)
            except EzCaptchaError as error:
                await out.send((index, task, error))
                return
            try:
                await claim.settled()
                await out.send((index, task, claim))
            except BaseException:
                claim.release()
                raise

    async def feed() -> None:
        async with send:
            index = 0
            async for task in _as_async(tasks):
                await places.acquire()
                group.start_soon(solve, index, task, send.clone())
                index += 1

    try:
        async with receive, anyio.create_task_group() as group:
            group.start_soon(feed)
            yield _taken(receive, places)
            group.cancel_scope.cancel()
    except BaseExceptionGroup as failures:
        # Whoever reads raised, or the input did; our group means nothing to them.
        failure = unwrapped(failures)
    else:
        return
    raise failure


async def _taken(
    settled: ObjectReceiveStream[_Settled[S]], places: anyio.Semaphore
) -> AsyncGenerator[Outcome[S]]:
    async for index, task, claim in settled:
        places.release()
        try:
            if isinstance(claim, EzCaptchaError):
                raise claim
            outcome = Outcome(index=index, task=task, solution=claim.collect())
        except EzCaptchaError as error:
            outcome = Outcome(index=index, task=task, error=error)
        yield outcome


async def _as_async(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
            await checkpoint()
