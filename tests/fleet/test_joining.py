"""Who may join a fleet, and what nobody gets to see of it."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import redis.asyncio
import trio

from ezcaptcha_async import (
    ConfigurationError,
    ReCaptchaV2TaskProxyless,
    SessionPool,
)
from ezcaptcha_async.fleets import Funds
from ezcaptcha_async.redis import Fleet
from ezcaptcha_async.testing import Fixed
from tests.ports import free_port
from tests.redis_server import RedisServer, redis_server

from .conftest import KEY, TASK, crew, job, new_service, until

PASSWORD = "a-password-that-is-secret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost"),
        ("rediss://10.0.0.5:6379/3", "rediss://10.0.0.5:6379/3"),
        (f"redis://:{PASSWORD}@[::1]:6379/0", "redis://[::1]:6379/0"),
        (f"rediss://user:{PASSWORD}@host/0?ssl_ca_certs=/etc/ca.pem", "rediss://host/0"),
        (f"unix://user:{PASSWORD}@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_a_fleet_is_a_value_that_shows_no_secret(url: str, shown: str) -> None:
    """A log line of the settings would give the server away."""
    fleet = Fleet(url, name="crawl")
    assert repr(fleet) == f"Fleet(url={shown!r}, name='crawl', lease=10.0)"
    assert fleet == pickle.loads(pickle.dumps(fleet))


WRONG: dict[str, tuple[Any, ...]] = {
    # They would fail when the pool is opened, with the words of another library.
    r"url must be .* redis://10.0.0.5": (
        *(None, b"redis://host", "", "localhost:6379", f"http://{PASSWORD}@host", "redis://"),
        *(f"redis://:{PASSWORD}@host:99999", f"redis://:{PASSWORD}@[host", "redis://host:0"),
        *(f"redis+sentinel://:{PASSWORD}@host/0", f"redis://:{PASSWORD}/more@host"),
        *(f"redis://:{PASSWORD}#more@host", f"redis://host/0#{PASSWORD}"),
    ),
    # Certificates would not be verified, and nobody would see that they are not.
    "no settings after the question mark": (
        *("rediss://host?ssl_cert_reqs=none", "rediss://host?ssl_check_hostname=false"),
        *("rediss://host?decode_responses=0", f"rediss://host?password={PASSWORD}"),
    ),
    # The client would take the first one instead, which others may have, without a word.
    "must name one database, by its number": (
        *(f"redis://:{PASSWORD}@host/jobs", "redis://host/-1", "redis://host/0/1"),
        *("redis://host/1.5", "redis://host/ 0", "rediss://host/0?db=1", "redis://host?db=0&db=1"),
        *("redis://host?db=jobs", "redis://host?db=", "unix:///run/redis.sock?db=jobs"),
    ),
    # Authorities are for TLS: the client would fail with a type error.
    "no settings after the question mark but db$": (
        *("redis://host/0?ssl_ca_certs=/etc/ca.pem", "unix:///s?ssl_ca_certs=/etc/ca.pem"),
    ),
}


@pytest.mark.parametrize("problem", WRONG)
def test_a_url_that_is_none_is_refused(problem: str) -> None:
    """Tasks would never be created, or what they are worth be told to others."""
    for url in WRONG[problem]:
        with pytest.raises(ConfigurationError, match=problem) as caught:
            Fleet(url, name="crawl")
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_a_name_or_a_lease_that_is_none_is_refused() -> None:
    """It would tear each key apart, or have living pools taken for dead."""
    wrong: Any
    for wrong in (None, "", "two words", "{tag}", "a:b", "x" * 65, 7):
        with pytest.raises(ConfigurationError, match="name must be"):
            Fleet("redis://localhost", name=wrong)
    for wrong in (None, 0, 0.9, 301, "10", True, float("nan")):
        with pytest.raises(ConfigurationError, match="lease must be"):
            Fleet("redis://localhost", name="crawl", lease=wrong)


def test_trio_is_told_at_once(lasting: RedisServer, name: str) -> None:
    """It would fail somewhere inside of another library."""
    pool = SessionPool(KEY, transport="httpx", fleet=Fleet(lasting.url, name=name))
    with pytest.raises(ConfigurationError, match="a fleet needs asyncio"):
        trio.run(pool.open)


async def test_a_server_that_is_not_there() -> None:
    """A slip in the URL would show as tasks that are never created."""
    port = free_port()
    fleet = Fleet(f"redis://:{PASSWORD}@127.0.0.1:{port}", name="crawl")
    with pytest.raises(ConfigurationError, match=rf"the fleet crawl at redis://127.0.0.1:{port}"):
        await SessionPool(KEY, transport="httpx", fleet=fleet).open()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """A server with a password."""
    socket = "--unixsocket", str(tmp_path / "socket")
    with redis_server(tmp_path, "--requirepass", PASSWORD, *socket) as server:
        yield server


async def test_the_password_of_the_server_is_told_to_nobody_else(
    guarded: RedisServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever sees a log could read, and change, what the fleet is worth."""
    caplog.set_level(logging.DEBUG)
    where, texts = guarded.url.partition("//")[2], list[str]()
    for url in (
        *(f"redis://{wrong}@{where}" for wrong in (f":{PASSWORD}-no", f"{PASSWORD}", "a:b")),
        *(f"redis://{where}", f"unix://:{PASSWORD}-no@{guarded.folder}/socket"),
    ):
        pool = SessionPool(KEY, transport="httpx", fleet=Fleet(url, name=name))
        del url  # it is a local of this frame
        with pytest.raises(ConfigurationError, match="refuses the user or the password") as caught:
            await pool.open()
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        texts += shown.format()
    service = new_service(solve_times=Fixed(60))
    async with crew(service, guarded, name) as members:
        members.fleet = Fleet(f"redis://:{PASSWORD}@{where}", name=name)
        pool = await members.pool()
        ticket = await pool.submit(job(1), once=True)
        guarded.kill()
        with pytest.raises(Exception, match="cannot be reached") as failed:
            await pool.fleet_status()
        error = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
        texts += ["".join(error.format()), repr(pool), repr(ticket), repr(members.fleet)]
    texts.append(caplog.text)
    assert not [text for text in texts if PASSWORD in text]


async def test_no_secret_is_in_the_server(mortal: RedisServer, name: str) -> None:
    """Whoever has the server would have the keys, the proxies and the pages of all."""
    service = new_service(solve_times=Fixed(10))
    async with crew(service, mortal, name) as members:
        pool = await members.pool()
        task = ReCaptchaV2TaskProxyless(
            website_url="https://example.com/secret-page",
            website_key="site-key",
            proxy="http://somebody:proxy-password@proxy.example:8080",
            reference="job 1",
        )
        await pool.submit(task, once=True)
        await pool.solve(TASK)
    written = b"".join(file.read_bytes() for file in mortal.folder.rglob("*.aof*"))
    assert b"job 1" in written
    for secret in (KEY, "secret-page", "proxy-password", "proxy.example"):
        assert secret.encode() not in written


async def test_a_server_that_forgets_when_it_is_full_is_refused(tmp_path: Path, name: str) -> None:
    """What is paid would be forgotten, the oldest first."""
    forgetful = "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"
    with redis_server(tmp_path, *forgetful) as server:
        pool = SessionPool(KEY, transport="httpx", fleet=Fleet(server.url, name=name))
        with pytest.raises(ConfigurationError, match="set it to noeviction"):
            await pool.open()


async def test_a_replica_is_refused(tmp_path: Path, name: str) -> None:
    """It would fail with each task instead, and with the words of a database."""
    folders = tmp_path / "master", tmp_path / "replica"
    for folder in folders:
        folder.mkdir()
    with redis_server(folders[0]) as master:
        of = "--replicaof", f"127.0.0.1 {master.port}"
        with redis_server(folders[1], *of) as replica:
            with pytest.raises(ConfigurationError, match=r"it is a replica, .* name its master"):
                await Fleet(replica.url, name=name).join([], Funds())


async def test_a_server_that_is_too_old_is_refused(
    lasting: RedisServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fail when a pool dies, by a command that it does not know."""

    async def info(*_arguments: object) -> dict[str, str]:
        return {"redis_version": "6.0.16", "role": "master"}

    monkeypatch.setattr(redis.asyncio.Redis, "info", info)
    with pytest.raises(ConfigurationError, match=r"it is version 6\.0\.16, and 6\.2 is the oldest"):
        await Fleet(lasting.url, name=name).join([], Funds())


async def test_a_cluster_says_where_its_keys_are(tmp_path: Path, name: str) -> None:
    """A slot and an address would be all that anybody is told."""
    with ExitStack() as stack:
        nodes: list[RedisServer] = []
        for number in range(2):
            (folder := tmp_path / f"{number}").mkdir()
            bus = free_port()  # else 10,000 above the other, and some are too high for that
            settings = "--cluster-enabled", "yes", "--bind", "127.0.0.1", "--cluster-port", f"{bus}"
            nodes.append(stack.enter_context(redis_server(folder, *settings)))
            first, last = ((0, 8_191), (8_192, 16_383))[number]
            nodes[-1].ask(f"CLUSTER ADDSLOTSRANGE {first} {last}")
        nodes[0].ask(f"CLUSTER MEET 127.0.0.1 {nodes[1].port} {bus}")  # that of the last
        for node in nodes:
            await until(lambda node=node: b"cluster_state:ok" in node.ask("CLUSTER INFO"))
        said = []
        for node in nodes:
            try:
                await (await Fleet(node.url, name=name).join([], Funds())).aclose()
            except ConfigurationError as error:
                said.append(str(error))
        (words,) = said
        assert "one node of a cluster, and this fleet's keys are at 127.0.0.1:" in words


async def test_whoever_is_cancelled_leaves_nothing_behind(lasting: RedisServer, name: str) -> None:
    """Connections would be left open, and pools that nobody opened be taken for alive."""
    fleet = Fleet(lasting.url, name=name)

    async def join() -> None:
        await (await fleet.join((), Funds())).aclose()

    async with anyio.create_task_group() as group:
        for act in (join, fleet.status):
            for turns in range(40):
                with anyio.CancelScope() as scope:
                    group.start_soon(cancel_after, scope, turns)
                    await act()
    assert (await fleet.status()).pools == 0


async def cancel_after(scope: anyio.CancelScope, turns: int) -> None:
    """Cancel when others have had so many turns."""
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    scope.cancel()
