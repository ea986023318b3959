"""getTaskResult: a poll is free to repeat, so whatever goes wrong with one is a skipped poll."""

from __future__ import annotations

from typing import assert_never

from ezcaptcha_async._account.exchange import Exchange
from ezcaptcha_async._books import Entry, Poll
from ezcaptcha_async._timing import PollTiming
from ezcaptcha_async._wire import Processing, Ready, Refused, Unreadable
from ezcaptcha_async.errors import ServiceError
from ezcaptcha_async.transports import NoAnswer


class Poller:
    """Polls the tasks of one account.

    Args:
        exchange: Sends the requests.
        timing: Says when to poll, and learns from the answers.
    """

    def __init__(self, exchange: Exchange, timing: PollTiming) -> None:
        self.polls = 0
        self._exchange = exchange
        self._books = exchange.books
        self._timing = timing

    def first_poll(self, entry: Entry) -> float:
        """Return the age, in seconds, at which to poll a task for the first time."""
        return self._timing.first_poll(entry.kind, entry.line.spacing, self._exchange.rng)

    def remaining(self, entry: Entry) -> float | None:
        """Return the seconds until a task is ready, as expected; None when nobody knows."""
        return self._timing.remaining(entry.kind, self._exchange.clock() - entry.created_at)

    async def poll(self, command: Poll) -> None:
        """Send getTaskResult and enter its outcome into the books."""
        exchange, entry = self._exchange, command.entry
        self.polls += 1
        now = exchange.clock()
        self._timing.paced(now - entry.due_at, now)
        sent_age = now - entry.created_at
        asked = exchange.ask(command.permit, entry)
        reply = await exchange.post(asked, exchange.encoder.get_task_result(command.task_id))
        if isinstance(reply, NoAnswer):
            exchange.failed(asked, "unanswered")
            self._skip(entry, reply.reason)
            return
        answer = exchange.decoder.result(reply, entry.task)
        match answer:
            case Processing():
                exchange.answered(asked, "processing")
                self._processing(entry, sent_age)
            case Ready(raw):
                exchange.answered(asked, "ready")
                self._timing.learn(entry.kind, entry.polled_age, sent_age, ready=True)
                self._books.solved(entry, raw, exchange.clock())
            case Refused(error):
                exchange.refused(asked, error)
                self._refused(entry, error)
            case Unreadable(reason, _):
                exchange.failed(asked, "unreadable")
                self._skip(entry, reason)
            case _:
                assert_never(answer)

    def _processing(self, entry: Entry, sent_age: float) -> None:
        timing, now = self._timing, self._exchange.clock()
        timing.learn(entry.kind, entry.polled_age, sent_age, ready=False)
        wait = timing.next_poll(
            entry.kind, entry.line.spacing, sent_age, entry.answered + 1, self._exchange.rng
        )
        self._books.processing(entry, now=now, sent_age=sent_age, poll_at=now + wait)

    def _refused(self, entry: Entry, error: ServiceError) -> None:
        if error.is_of_task:
            self._books.failed(entry, error)
        else:
            # Not even a refused key takes it away: that may be good again in time.
            self._skip(entry, error.code)

    def _skip(self, entry: Entry, trouble: str) -> None:
        now = self._exchange.clock()
        poll_at = now + self._exchange.retry_poll_in(entry)
        self._books.skipped(entry, now=now, poll_at=poll_at, trouble=trouble)
