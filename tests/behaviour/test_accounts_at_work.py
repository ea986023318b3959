"""Several accounts in one pool, several pools, several event loops."""

from __future__ import annotations

import anyio
import pytest

from ezcaptcha_async import (
    Account,
    ConfigurationError,
    CustomTask,
    FuncaptchaTaskProxyless,
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
    import httpx

    mounts = {
        "http://127.0.0.1:1": one.transport(),
        "http://127.0.0.1:2": ez.transport(),
    }
    async with httpx.AsyncClient(mounts=mounts) as client:
        async with SessionPool(*accounts, http_client=client) as pool:
            for _ in range(4):
                assert (await pool.solve(FUN)).receipt.service == "ezcaptcha"
            assert (await pool.solve(TASK)).receipt.service == "1captcha"
            assert (
                await pool.solve(
                    CustomTask(
                        "CloudFlare5STask",
                        {
                            "websiteURL": "https://example.com",
                            "proxy": "http://u:p@1.2.3.4:80",
                        },
                    )
                )
            ).receipt.service == "ezcaptcha"
            with pytest.raises(ConfigurationError, match="account must be one of"):
                await pool.balance()
            for account in accounts:
                assert (await pool.balance(account)).account == account.name
                assert (await pool.balance(account.name)).points > 0


async def test_an_account_in_trouble_gets_no_new_tasks() -> None:
    """The other key can do the work."""
    service = SimulatedService(client_keys=["good"], solve_times=Fixed(10))
    accounts = [Account(key, service=service.profile()) for key in ("bad", "good")]
    async with open_pool(service, *accounts) as pool:
        for _ in range(5):
            assert (await pool.solve(TASK)).token
    assert [counts.solved for counts in pool.statistics().accounts] == [0, 5]
    assert service.summary().refused == {"ERROR_KEY_DOES_NOT_EXIST": 1}


async def test_several_pools_in_one_loop() -> None:
    """Two libraries of one application may each have their own."""
    service = SimulatedService(solve_times=Fixed(10))
    async with open_pool(service) as one, open_pool(service) as two:
        async with anyio.create_task_group() as group:
            for pool in (one, two):
                for _ in range(10):
                    group.start_soon(pool.solve, TASK)
        assert one.statistics().solved == two.statistics().solved == 10


async def test_what_is_no_task_is_refused() -> None:
    """A dict in the wire format is the commonest guess of a newcomer."""
    async with open_pool(SimulatedService()) as pool:
        with pytest.raises(ConfigurationError, match="task must be a Task, not dict"):
            await pool.solve({"type": "ReCaptchaV2TaskProxyless"})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["request_timeout", "create_patience", "close_grace"])
@pytest.mark.parametrize("wrong", [0, -1, float("inf"), float("nan"), "5", True])
def test_wrong_settings_are_named(name: str, wrong: object) -> None:
    """Found when the pool is made, not in the first emergency."""
    with pytest.raises(ConfigurationError, match=name):
        SessionPool(KEY, **{name: wrong})  # type: ignore[arg-type]


def test_settings_that_exclude_each_other() -> None:
    """Silently preferring one of them would surprise."""
    service = SimulatedService()
    with pytest.raises(ConfigurationError, match="not both"):
        SessionPool(KEY, http_client=object(), transport=object())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="plain keys"):
        SessionPool(Account(KEY), service=service.profile())
    with pytest.raises(ConfigurationError, match="twice"):
        SessionPool(KEY, KEY)
    with pytest.raises(ConfigurationError, match="max_requests"):
        SessionPool(KEY, max_requests=0)


async def test_a_client_that_is_none_is_refused() -> None:
    """An ``aiohttp`` session or a synchronous client cannot be used here."""
    import httpx

    with httpx.Client() as client:
        with pytest.raises(ConfigurationError, match=r"httpx\.AsyncClient"):
            async with SessionPool(KEY, http_client=client):
                pass


def test_configuration_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys belong into the environment, not into source code."""
    with pytest.raises(ConfigurationError, match="EZCAPTCHA_CLIENT_KEY"):
        SessionPool()
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", f" {KEY}\n")
    monkeypatch.setenv("EZCAPTCHA_BASE_URL", "http://127.0.0.1:8000")
    assert Account(KEY).fingerprint in repr(SessionPool())
    monkeypatch.setenv("EZCAPTCHA_BASE_URL", "http://example.com")
    with pytest.raises(ConfigurationError, match=r"EZCAPTCHA_BASE_URL.*https"):
        SessionPool()
