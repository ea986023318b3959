"""Which account does what: a new task, a paid one, a question by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ezcaptcha_async._claim import Claim
from ezcaptcha_async._entries import Entry
from ezcaptcha_async._saved import SavedTask
from ezcaptcha_async._session import Session
from ezcaptcha_async.accounts import Account
from ezcaptcha_async.errors import (
    BannedError,
    ConfigurationError,
    PoolClosedError,
    ResultWindowLapsedError,
)
from ezcaptcha_async.solutions import Solution
from ezcaptcha_async.tasks import CustomTask, Task, kind_of, solution_type_for

S = TypeVar("S", bound=Solution)


class Dispatch:
    """Chooses among the accounts of one pool.

    Args:
        sessions: The accounts at work.
        clock: The event loop's clock.
    """

    def __init__(self, sessions: Sequence[Session], clock: Callable[[], float]) -> None:
        self._sessions = sessions
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Dispatch over {len(self._sessions)} accounts>"

    def session_for(self, task: Task[Any]) -> Session:
        """Return the least loaded account that serves a type and takes new tasks.

        Raises:
            ConfigurationError: None serves the type.
            ServiceError: All that do are banned, or were refused for key or balance.
        """
        task_type = task.type
        candidates = [item for item in self._sessions if item.service.offer_for(task_type)]
        if not candidates and isinstance(task, CustomTask):
            candidates = list(self._sessions)  # the profiles cannot know it
        if not candidates:
            services = ", ".join(sorted({item.service.name for item in self._sessions}))
            raise ConfigurationError(f"no account serves {task_type} (services: {services})")
        now = self._clock()
        willing = [item for item in candidates if item.gate.refusal(now) is None]
        if willing:
            return min(willing, key=lambda item: item.line.load)
        refusal = candidates[0].gate.refusal(now)
        raise (refusal or PoolClosedError("no account is open")).for_ticket(None, None)

    def session_named(self, account: Account | str | None) -> Session:
        """Return one account; the only one, when none is named.

        Raises:
            ConfigurationError: No such account, or none was named and there are several.
        """
        name = account.name if isinstance(account, Account) else account
        for session in self._sessions:
            if session.account.name == name or (name is None and len(self._sessions) == 1):
                return session
        names = ", ".join(item.account.name for item in self._sessions)
        raise ConfigurationError(f"account must be one of {names}")

    def take_up(self, saved: SavedTask) -> Claim[Solution]:
        """Return a claim on a task that is paid already, here or elsewhere.

        Raises:
            ConfigurationError: No account of the pool has paid for it.
            ResultWindowLapsedError: Its result window is over.
            BannedError: Its account is banned for longer than that window lasts.
        """
        session = self._session_that_paid(saved)
        entry = session.line.paid.get(saved.task_id)
        if entry is not None:
            session.hold(entry)
            return Claim(entry, session)
        now, window = self._clock(), session.service.result_window
        age = max(0.0, now + session.epoch - saved.created_at)
        heard = saved.processing_at
        entry = Entry(
            line=session.line,
            kind=kind_of(saved.service, saved.type, saved.host),
            solution_type=solution_type_for(saved.type),
            points=saved.points,
            task_id=saved.task_id,
            created_at=now - age,
            lapses_at=now - age + window,
            processing_at=None if heard is None else heard - session.epoch,
            polls=saved.polls,
        )
        claim: Claim[Solution] = Claim(entry, session)
        if age >= window:
            raise claim.with_ticket(
                ResultWindowLapsedError("the result window of the saved ticket is over")
            )
        refusal = session.gate.refusal(now)
        if isinstance(refusal, BannedError) and entry.lapses_at <= session.gate.banned_until:
            raise claim.with_ticket(refusal)
        session.adopt(entry)
        return claim

    def _session_that_paid(self, saved: SavedTask) -> Session:
        """Find it by fingerprint, or as the only one of the service."""
        same_service = [item for item in self._sessions if item.service.name == saved.service]
        for session in same_service:
            if session.account.fingerprint == saved.account:
                return session
        if saved.account is None and len(same_service) == 1:
            return same_service[0]
        raise ConfigurationError(
            f"no account of this pool can fetch the saved ticket: it was paid for with "
            f"{saved.service}:{saved.account}"
        )
