"""getTaskResult: a poll is free to repeat, so whatever goes wrong with one is a skipped poll."""

from __future__ import annotations

from typing import Final, assert_never

from ezcaptcha_async._account.creating import saved_of
from ezcaptcha_async._account.exchange import Exchange
from ezcaptcha_async._account.policy import Policy
from ezcaptcha_async._account.standing import Standing
from ezcaptcha_async._books import Command, Entry
from ezcaptcha_async._wire import Processing, Ready, Refused, Unreadable
from ezcaptcha_async.errors import ServiceError, TaskNotFoundError
from ezcaptcha_async.transports import NoAnswer, Reply

_UNSURE: Final = frozenset({ServiceError, TaskNotFoundError})
"""What a paid task is not given up for at once."""

_SURE: Final = 4
_SURE_AT_LAST: Final = 20
"""After so many polls in a row it is; the latter where tasks have survived the same."""

_EMPTY: Final = "ready, without a solution"
_SERVER_ERROR: Final = 500

_MOST_SURVIVED: Final = 100
"""Most codes and faults that are remembered."""


class Poller:
    """Polls the tasks of one account.

    Args:
        exchange: Sends the requests.
        standing: Told what the answers say of the account.
        policy: Says when to poll, and learns from the answers.
    """

    def __init__(self, exchange: Exchange, standing: Standing, policy: Policy) -> None:
        self.polls = 0
        self._exchange = exchange
        self._standing = standing
        self._books = standing.books
        self._policy = policy
        self._survived = set[str]()

    def _poll_at(self, entry: Entry) -> float:
        """Return when to poll a task that waits, as things look now."""
        if entry.processing_at is None or not entry.answered:
            at = entry.created_at + self._policy.first_poll(entry)
        else:
            wait = self._policy.next_poll(entry, entry.polled_age, entry.answered)
            at = entry.processing_at + wait
        return max(at, self._exchange.clock())

    def _learn(self, entry: Entry, age: float, *, ready: bool) -> None:
        if self._policy.learn(entry.kind, entry.polled_age, age, ready=ready):
            self._books.replan(entry.kind, self._poll_at)

    async def poll(self, command: Command) -> None:
        """Send getTaskResult and enter its outcome into the books."""
        exchange, entry = self._exchange, command.entry
        self.polls += 1
        now = exchange.clock()
        self._policy.paced(now - entry.due_at, now)
        sent_age = now - entry.created_at
        asked = exchange.ask(command.permit, entry)
        reply = await exchange.post(asked, exchange.encoder.get_task_result(entry.task_id or ""))
        if isinstance(reply, NoAnswer):
            exchange.pace.poll_took(asked.took, asked.timeout, is_answered=False)
            self._standing.failed(asked, "unanswered", reply.reason)
            self._skip(entry, reply.reason)
            return
        answer = exchange.decoder.result(reply, entry.task, entry.solution_type)
        is_answered = isinstance(answer, Processing | Ready)
        exchange.pace.poll_took(asked.took, asked.timeout, is_answered=is_answered)
        match answer:
            case Processing():
                self._standing.answered(asked, "processing")
                self._survive(entry)
                self._processing(entry, sent_age)
            case Ready(_, is_empty=True) if not self._is_sure(entry, _EMPTY):
                self._standing.answered(asked, "ready")
                self._skip(entry, _EMPTY)
            case Ready(kept):
                self._standing.answered(asked, "ready")
                self._survive(entry)
                if not self._books.has_room_for(entry, kept):
                    self._skip(entry, "too many solutions are kept that nobody has awaited")
                    return
                self._learn(entry, sent_age, ready=True)
                self._books.solved(entry, kept, exchange.clock())
                self._settled(entry, kept)
            case Refused(error):
                self._standing.refused(asked, error)
                self._refused(entry, error, by_server=reply.status >= _SERVER_ERROR)
            case Unreadable(reason, _):
                self._standing.failed(asked, "unreadable", reason)
                self._skip(entry, reason)
            case _:
                assert_never(answer)

    def _processing(self, entry: Entry, sent_age: float) -> None:
        now = self._exchange.clock()
        self._learn(entry, sent_age, ready=False)
        wait = self._policy.next_poll(entry, sent_age, entry.answered + 1)
        self._books.processing(entry, now=now, sent_age=sent_age, poll_at=now + wait)

    def _refused(self, entry: Entry, error: ServiceError, *, by_server: bool) -> None:
        # Of tickets from elsewhere, which may be anything, each error is believed at once.
        is_clear = entry.is_doubtful or type(error) not in _UNSURE
        is_trouble = by_server and type(error) is ServiceError
        if error.is_of_task and (is_clear or self._is_sure(entry, error.code, later=is_trouble)):
            self._books.failed(entry, error)
            self._settled(entry, error)
        else:
            # Not even a refused key takes it away: that may be good again in time.
            asked = self._exchange.pace.asked_of_one(error.retry_after or 0.0)
            self._skip(entry, error.code, asked)

    def _settled(self, entry: Entry, result: Reply | ServiceError) -> None:
        """Tell others what a task came to that was created once for its reference."""
        if entry.once:
            exchange, until = self._exchange, entry.lapses_at
            if not isinstance(result, ServiceError):
                until = entry.unsolved_at + entry.line.token_validity
                result = exchange.decoder.scrubber.for_others(result, entry.task)
            task = saved_of(exchange, entry, entry.task_id or "", entry.created_at)
            self._standing.ledger.settled(task, until + exchange.unix_offset, result)

    def _is_sure(self, entry: Entry, trouble: str, *, later: bool = False) -> bool:
        """Return whether what a poll was answered with ends a paid task; one more costs nothing.

        A code that nobody knows may be the service's own trouble, one of several servers may not
        know the id yet, and a solution may be empty because it is on its way. So it is believed
        when it comes again and again; later where a task has got over it, or where the service
        says that the trouble is its own (by an HTTP status from 500).
        """
        again = entry.alike if entry.trouble == trouble else 0
        return again + 1 >= (_SURE_AT_LAST if later or trouble in self._survived else _SURE)

    def _survive(self, entry: Entry) -> None:
        """Note that a task goes on after what its last polls were answered with."""
        if entry.trouble is not None and len(self._survived) < _MOST_SURVIVED:
            self._survived.add(entry.trouble)

    def _skip(self, entry: Entry, trouble: str, asked: float = 0.0) -> None:
        now = self._exchange.clock()
        # As long as others are answered, the spacing is all that the service asks for; a task
        # that is ready is not to wait. Only where none is answered any more, they back off.
        pace = self._exchange.pace
        is_dead = self._standing.polls_seem_dead
        wait = pace.backoff(entry.faults + 1) if is_dead else pace.spaced()
        self._books.skipped(entry, now=now, poll_at=now + max(wait, asked), trouble=trouble)
