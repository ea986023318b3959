"""What both type checkers must accept, with exactly these types. Never run, only checked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, assert_type

import attrs
import httpx

from ezcaptcha_async import (
    EZCAPTCHA,
    ONECAPTCHA,
    Account,
    Balance,
    CloudFlare5SSolution,
    CloudFlare5STask,
    CloudFlareTurnstileSolution,
    CloudFlareTurnstileTask,
    CustomSolution,
    CustomTask,
    EzCaptchaError,
    FuncaptchaSolution,
    FuncaptchaTaskProxyless,
    HCaptcha,
    HCaptchaSolution,
    Journal,
    LearnedPolling,
    Outcome,
    PollPolicy,
    PoolStatistics,
    ReCaptchaSolution,
    ReCaptchaV2EnterpriseTaskProxyless,
    ReCaptchaV2SEnterpriseTaskProxyless,
    ReCaptchaV2STaskProxyless,
    ReCaptchaV2TaskProxyless,
    ReCaptchaV2TaskProxylessS9,
    ReCaptchaV3EnterpriseTaskProxyless,
    ReCaptchaV3EnterpriseTaskProxylessS9,
    ReCaptchaV3TaskProxyless,
    ReCaptchaV3TaskProxylessS9,
    Receipt,
    Resumed,
    SavedTicket,
    ServiceError,
    SessionPool,
    Solution,
    SolveTimeoutError,
    Submission,
    Task,
    Ticket,
)
from ezcaptcha_async.polling import KindStatistics
from ezcaptcha_async.tasks import Kind

URL, KEY, PROXY = "https://example.com", "6Lc", "http://user:word@proxy.example.com:8080"

v2 = ReCaptchaV2TaskProxyless(website_url=URL, website_key=KEY, is_invisible=True, sa="a")
funcaptcha = FuncaptchaTaskProxyless(website_url=URL, website_key=KEY, data={"a": 1}, cn=True)
cloudflare = CloudFlare5STask(website_url=URL, proxy=PROXY, rq_data='{"a": 1}')
custom = CustomTask("NewTask", {"websiteURL": URL}, extra={"new": 1})
turnstile = CloudFlareTurnstileTask(website_url=URL, website_key=KEY, rq_data={"a": 1}, proxy=None)
hcaptcha = HCaptcha(website_url=URL, website_key=KEY, lang="en-US", invisible=True, rqdata="r")


async def each_task_leads_to_its_solution(pool: SessionPool) -> None:
    """The exact class comes out of `solve`."""
    assert_type(await pool.solve(v2), ReCaptchaSolution)
    for_v2 = ReCaptchaV2TaskProxylessS9(website_url=URL, website_key=KEY)
    assert_type(await pool.solve(for_v2), ReCaptchaSolution)
    with_s = ReCaptchaV2STaskProxyless(website_url=URL, website_key=KEY, extra='{"new": 1}')
    assert_type(await pool.solve(with_s), ReCaptchaSolution)
    enterprise = ReCaptchaV2EnterpriseTaskProxyless(website_url=URL, website_key=KEY)
    assert_type(await pool.solve(enterprise), ReCaptchaSolution)
    both = ReCaptchaV2SEnterpriseTaskProxyless(website_url=URL, website_key=KEY, s="s")
    assert_type(await pool.solve(both), ReCaptchaSolution)
    v3 = ReCaptchaV3TaskProxyless(website_url=URL, website_key=KEY, page_action="login")
    assert_type(await pool.solve(v3, timeout=60), ReCaptchaSolution)
    v3_s9 = ReCaptchaV3TaskProxylessS9(website_url=URL, website_key=KEY, is_invisible=False)
    assert_type(await pool.solve(v3_s9), ReCaptchaSolution)
    v3_enterprise = ReCaptchaV3EnterpriseTaskProxyless(website_url=URL, website_key=KEY)
    assert_type(await pool.solve(v3_enterprise), ReCaptchaSolution)
    v3_both = ReCaptchaV3EnterpriseTaskProxylessS9(website_url=URL, website_key=KEY, proxy=PROXY)
    assert_type(await pool.solve(v3_both), ReCaptchaSolution)
    assert_type(await pool.solve(turnstile), CloudFlareTurnstileSolution)
    assert_type(await pool.solve(hcaptcha), HCaptchaSolution)
    assert_type(await pool.solve(funcaptcha), FuncaptchaSolution)
    assert_type(await pool.solve(cloudflare), CloudFlare5SSolution)
    assert_type(await pool.solve(custom, timeout=None), CustomSolution)


async def tasks_of_several_types(
    pool: SessionPool, either: ReCaptchaV2TaskProxyless | HCaptcha
) -> None:
    """A task whose class is one of several leads to one of their solutions."""
    known: Solution = await pool.solve(either)
    known = await (await pool.submit(either))
    mixed: Sequence[ReCaptchaV2TaskProxyless | FuncaptchaTaskProxyless] = [v2, funcaptcha]
    async with pool.solve_many(mixed) as outcomes:
        async for outcome in outcomes:
            known = outcome.solution or known
    anything: list[Task[Solution]] = [v2, funcaptcha, cloudflare, custom, turnstile, hcaptcha]
    async with pool.solve_many(anything) as several:
        async for one in several:
            assert_type(one.solution, Solution | None)
    solutions: list[Solution] = [known]
    solutions += [await pool.solve(task) for task in anything]


async def what_is_in_a_solution(pool: SessionPool) -> None:
    """Fields are typed, so that completion and checks work on them."""
    solution = await pool.solve(v2)
    assert_type(solution.token, str)
    assert_type(solution.user_agent, str | None)
    assert_type(solution.cookies, Mapping[str, str] | None)
    assert_type(solution.receipt, Receipt)
    assert_type(solution.receipt.processing_at, float | None)
    assert_type(solution.expires_at, float)
    assert_type(solution.remaining(), float)
    assert_type(solution.extra, Mapping[str, Any])
    assert_type((await pool.solve(cloudflare)).headers, Mapping[str, str])
    assert_type((await pool.solve(cloudflare)).body, str)
    assert_type((await pool.solve(cloudflare)).s_token, str | None)
    assert_type((await pool.solve(turnstile)).headers, Mapping[str, str] | None)
    assert_type((await pool.solve(hcaptcha)).user_agent, str | None)


async def tickets(pool: SessionPool) -> None:
    """A ticket knows what it leads to; a saved one does not."""
    ticket = await pool.submit(v2, timeout=120)
    assert_type(ticket, Ticket[ReCaptchaSolution])
    assert_type(await ticket, ReCaptchaSolution)
    assert_type(await pool.submit(cloudflare), Ticket[CloudFlare5SSolution])
    saved = ticket.to_dict()
    assert_type(saved, SavedTicket)
    assert_type(saved["points"], float | None)
    assert_type(await pool.resume(ticket), ReCaptchaSolution)
    assert_type(await pool.resume(saved, timeout=30), Solution)
    read: dict[str, Any] = json.loads(json.dumps(saved))
    assert_type(await pool.resume(read), Solution)
    assert_type(ticket.task_id, str)
    assert_type(ticket.cancel(), bool)
    for orphan in pool.orphans():
        assert_type(orphan, Ticket[Any])


async def many(pool: SessionPool) -> None:
    """Outcomes are of the tasks' own kind; mixed tasks lead to their common base."""
    async with pool.solve_many([v2, v2], max_in_flight=10, timeout=60) as outcomes:
        assert_type(outcomes, AsyncIterator[Outcome[ReCaptchaSolution]])
        async for outcome in outcomes:
            assert_type(outcome.index, int)
            assert_type(outcome.task, Task[ReCaptchaSolution])
            assert_type(outcome.solution, ReCaptchaSolution | None)
            assert_type(outcome.error, EzCaptchaError | None)

    async def endless() -> AsyncIterator[FuncaptchaTaskProxyless]:
        while True:
            yield funcaptcha

    async with pool.solve_many(endless()) as more:
        async for fun in more:
            assert_type(fun.solution, FuncaptchaSolution | None)

    mixed: list[Task[Any]] = [v2, cloudflare, custom]
    async with pool.solve_many(mixed) as anything:
        async for item in anything:
            assert_type(item.index, int)


async def after_a_crash(pool: SessionPool) -> None:
    """What a journal had is typed as far as anybody can know."""
    async with pool.resume_all(max_in_flight=10) as outcomes:
        assert_type(outcomes, AsyncIterator[Resumed])
        async for outcome in outcomes:
            assert_type(outcome.task_id, str)
            assert_type(outcome.ticket, SavedTicket)
            assert_type(outcome.solution, Solution | None)
            assert_type(outcome.error, EzCaptchaError | None)
    for unknown in pool.unknowns():
        assert_type(unknown, Submission)
        assert_type(unknown.points, float | None)
    assert_type(pool.statistics().unaccounted, int)


async def looking(pool: SessionPool, account: Account) -> None:
    """Snapshots are typed."""
    assert_type(await pool.balance(), Balance)
    assert_type(await pool.balance(account), Balance)
    assert_type((await pool.balance("ezcaptcha:01234567")).points, float)
    assert_type(pool.statistics(), PoolStatistics)
    assert_type(pool.statistics().solved, int)
    assert_type(pool.statistics().kinds, tuple[KindStatistics, ...])
    assert_type((await pool.submit(v2)).estimated_remaining, float | None)


class Learned:
    """A policy of one's own needs no base class."""

    def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
        """Return the age of the first poll."""
        return 8.0 + len(kind.host) + rng.random()

    def next_poll(self, kind: Kind, spacing: float, age: float, polls: int, rng: Random) -> float:
        """Return the wait until the next one."""
        return spacing + len(kind.host) + age / 10 + polls + rng.random()

    def learn(self, kind: Kind, after: float, age: float, *, ready: bool) -> None:
        """Take notice."""

    def paced(self, late: float, now: float) -> None:
        """Take notice."""

    def remaining(self, kind: Kind, age: float) -> float | None:
        """Know nothing."""
        return None

    def kinds(self) -> tuple[KindStatistics, ...]:
        """Know nothing."""
        return ()


def ways_to_make_a_pool(client: httpx.AsyncClient) -> list[SessionPool]:
    """Every way that the contract names."""
    gateway = attrs.evolve(EZCAPTCHA, base_url="http://127.0.0.1:8000", min_poll_interval=0.3)
    return [
        SessionPool(),
        SessionPool("key"),
        SessionPool("key", service=gateway),
        SessionPool(Account("k1", max_in_flight=200), Account("k2", service=ONECAPTCHA)),
        SessionPool(Account("k1", app_id=7)),
        SessionPool("key", http_client=client, polling=PollPolicy(first_delay=5), max_requests=16),
        SessionPool("key", polling=Learned(), rng=Random(1)),
        SessionPool("key", polling=LearnedPolling(poll_price=1, state_path="timing.json")),
        SessionPool("key", journal="paid.jsonl", on_unknown="retry", unknown_budget=500),
        SessionPool("key", journal=Path("paid.jsonl"), on_unknown="raise"),
        SessionPool("key", journal=Journal(Path("paid.jsonl"), power_loss_safe=True)),
    ]


async def errors(pool: SessionPool) -> None:
    """What an error knows is typed, and it is caught as its builtin kin."""
    try:
        async with pool as same:
            assert_type(same, SessionPool)
            await same.solve(v2)
    except SolveTimeoutError as error:
        assert_type(error.ticket, SavedTicket | None)
        if error.ticket is not None:
            await pool.resume(error.ticket)
    except ServiceError as error:
        assert_type(error.code, str)
        assert_type(error.retry_after, float | None)
    except EzCaptchaError as error:
        assert_type(error.task_id, str | None)
        assert_type(error.retryable, bool)
        assert_type(error.may_be_charged, bool)


def values(task: ReCaptchaV2TaskProxyless) -> ReCaptchaV2TaskProxyless:
    """A variant of a task keeps its class."""
    return attrs.evolve(task, is_invisible=False)
