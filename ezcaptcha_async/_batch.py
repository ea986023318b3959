"""Many tasks at once: read lazily, bounded, given out as they complete."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar, cast

import anyio
import attrs
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from ezcaptcha_async._claim import Claim
from ezcaptcha_async._entries import AnyOutcome
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


_Settled: TypeAlias = tuple[int, Task[S], Claim[S] | None, AnyOutcome]


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
    positions = count()

    async def solve(index: int, task: Task[S], out: ObjectSendStream[_Settled[S]]) -> None:
        async with out:
            try:
                claim = start(task)
            except EzCaptchaError as error:
                await out.send((index, task, None, error))
                return
            try:
                await out.send((index, task, claim, await claim.settled()))
            except BaseException:
                claim.release()
                raise

    async def begin(task: Task[S]) -> None:
        await places.acquire()
        group.start_soon(solve, next(positions), task, send.clone())

    async def feed() -> None:
        async with send:
            await _for_each(tasks, begin)

    try:
        async with receive, anyio.create_task_group() as group:
            group.start_soon(feed)
            yield _Outcomes(receive, places)
            group.cancel_scope.cancel()
    except BaseExceptionGroup as failures:
        # Whoever reads raised, or the input did; our group means nothing to them.
        failure = unwrapped(failures)
    else:
        return
    raise failure


class _Outcomes(AsyncIterator[Outcome[S]]):
    """Takes what is settled; a class, because a generator would have to be closed."""

    def __init__(self, settled: ObjectReceiveStream[_Settled[S]], places: anyio.Semaphore) -> None:
        self._settled = settled
        self._places = places

    async def __anext__(self) -> Outcome[S]:
        index, task, claim, outcome = await self._settled.__anext__()
        self._places.release()
        if claim is None:
            return Outcome(index=index, task=task, error=cast("EzCaptchaError", outcome))
        try:
            return Outcome(index=index, task=task, solution=claim.collect(outcome))
        except EzCaptchaError as error:
            return Outcome(index=index, task=task, error=error)


async def _for_each(items: Iterable[T] | AsyncIterable[T], call: Callable[[T], Any]) -> None:
    if isinstance(items, AsyncGenerator):
        # Left to the garbage collector, it would end at the wrong time and place.
        async with aclosing(cast("AsyncGenerator[T]", items)) as generator:
            async for item in generator:
                await call(item)
    elif isinstance(items, AsyncIterable):
        async for item in items:
            await call(item)
    else:
        for item in items:
            await call(item)
