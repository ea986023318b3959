"""Several accounts in one pool, several pools, several event loops."""

from __future__ import annotations

from itertools import product
from typing import Any

import anyio
import attrs
import httpx
import pytest

from ezcaptcha_async import (
    Account,
    CloudFlare5STask,
    ConfigurationError,
    CustomTask,
    FuncaptchaTaskProxyless,
    InsufficientBalanceError,
    SessionPool,
)
from ezcaptcha_async.testing import Fixed, SimulatedService

from .conftest import KEY, TASK, open_pool

FUN = FuncaptchaTaskProxyless(website_url="https://example.com", website_key="public-key")


async def test_the_least_loaded_account_gets_the_task() -> None:
    """Two keys should share the work."""
    service = SimulatedService(solve_times=Fixed(15))
    accounts = [Account(key, service=service.profile()) for key in ("key-1", "key-2", "key-3")]
    async with open_pool(service, *accounts) as pool, anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(pool.solve, TASK)
    assert [counts.solved for counts in pool.statistics().accounts] == [10, 10, 10]
    assert pool.statistics().solved == 30
    assert {counts.account for counts in pool.statistics().accounts} == {
        account.name for account in accounts
    }


async def test_each_type_goes_where_it_is_served() -> None:
    """1captcha does not know FunCaptcha; sending it there would only fail."""
    ez, one = SimulatedService(), SimulatedService(dialect="1captcha")
    accounts = [
        Account("key-1", service=one.profile("http://127.0.0.1:1")),
        Account("key-2", service=ez.profile("http://127.0.0.1:2")),
    ]
    mounts = {"http://127.0.0.1:1": one.transport(), "http://127.0.0.1:2": ez.transport()}
    async with httpx.AsyncClient(mounts=mounts) as client:
        async with SessionPool(*accounts, http_client=client) as pool:
            for _ in range(4):
                assert (await pool.solve(FUN)).receipt.service == "ezcaptcha"
            assert (await pool.solve(TASK)).receipt.service == "1captcha"
            fields = {"websiteURL": "https://example.com", "proxy": "http://u:p@1.2.3.4:80"}
            custom = await pool.solve(CustomTask("CloudFlare5STask", fields))
            assert custom.receipt.service == "ezcaptcha"
            with pytest.raises(ConfigurationError, match="account must be one of"):
                await pool.balance()
            for account in accounts:
                assert (await pool.balance(account)).account == account.name
                assert (await pool.balance(account.name)).points > 0


async def test_what_is_no_task_is_refused() -> None:
    """A dict in the wire format is the commonest guess of a newcomer."""
    async with open_pool(SimulatedService()) as pool:
        with pytest.raises(ConfigurationError, match="task must be a Task, not dict"):
            await pool.solve({"type": "ReCaptchaV2TaskProxyless"})  # type: ignore[arg-type]


def test_settings_that_exclude_each_other_or_mean_nothing() -> None:
    """Silently preferring one of them would surprise, or come out in the first emergency."""
    service = SimulatedService()
    for name in ("request_timeout", "create_patience", "close_grace"):
        for wrong in (0, -1, float("inf"), float("nan"), "5", True):
            with pytest.raises(ConfigurationError, match=name):
                SessionPool(KEY, **{name: wrong})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="not both"):
        SessionPool(KEY, http_client=object(), transport=object())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="plain keys"):
        SessionPool(Account(KEY), service=service.profile())
    with pytest.raises(ConfigurationError, match="twice"):
        SessionPool(KEY, KEY)
    with pytest.raises(ConfigurationError, match="max_requests"):
        SessionPool(KEY, max_requests=0)


# ------------------------------------------------------------- proxies at private addresses


def through(host: str) -> CloudFlare5STask:
    """Return a task that is to be solved through a proxy."""
    return CloudFlare5STask(website_url="https://example.com", proxy=f"http://u:pa55@{host}:3128")


async def test_a_proxy_that_the_service_cannot_reach_is_refused_before_it_is_paid() -> None:
    """The task would be refused by the service, or paid for and fail."""
    service = SimulatedService()
    async with open_pool(service) as pool:
        sends: tuple[Any, ...] = (pool.solve, pool.submit)
        for send, host in product(sends, ("10.0.0.1", "localhost", "127.1", "[::1]")):
            with pytest.raises(ConfigurationError) as caught:
                await send(through(host))
            assert str(caught.value) == (
                "proxy must not be at a private address, where no service can reach it "
                "(services: ezcaptcha); for one that can, set allow_private_proxies=True in its "
                "Service"
            )
        assert pool.statistics().queued == 0
    assert service.summary().requests == 0


async def test_private_proxies_go_where_they_are_permitted() -> None:
    """A gateway of one's own could not be used, or the public service get its tasks too."""
    public, own = (
        SimulatedService(
            solve_times=Fixed(10),
            extra_types={"CloudFlare5STask": {"header": {}, "cookies": {}}},
            points={"CloudFlare5STask": 1},
        )
        for _ in range(2)
    )
    urls = ("http://127.0.0.1:1", "http://127.0.0.1:2")
    profile = attrs.evolve(own.profile(urls[1]), name="own", allow_private_proxies=True)
    accounts = (Account("a", service=public.profile(urls[0])), Account("b", service=profile))
    mounts = {urls[0]: public.transport(), urls[1]: own.transport()}
    async with httpx.AsyncClient(mounts=mounts) as client:
        async with SessionPool(*accounts, http_client=client) as pool:
            tickets = [await pool.submit(through("proxy.example")) for _ in range(2)]
            assert {ticket.to_dict()["service"] for ticket in tickets} == {"ezcaptcha", "own"}
            for _ in range(3):
                assert (await pool.solve(through("10.0.0.1"))).receipt.service == "own"
            own.set_balance("b", 0)
            with pytest.raises(InsufficientBalanceError):
                await pool.solve(through("10.0.0.1"))  # it is not passed on either
    assert (public.summary().charges, own.summary().charges) == (1, 4)


async def test_what_a_custom_task_holds_is_its_own_affair() -> None:
    """A new type may have a use for such an address, and no class knows which field it is."""
    service = SimulatedService(solve_times=Fixed(10), extra_types={"NewTask": {"a": 1}})
    proxy = "http://u:pa55@10.0.0.1:3128"
    async with open_pool(service) as pool:
        assert (await pool.solve(CustomTask("NewTask", {"proxy": proxy}))).extra == {"a": 1}
        await pool.solve(CustomTask("NewTask", {}, extra={"proxy": proxy}))
