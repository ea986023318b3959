"""A server of Redis or Valkey: its connections, its scripts, and what it means by its errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

import anyio
import redis.asyncio as client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    MovedError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.redis._scripts import Name, scripts_of

_TIMEOUT: Final = 2.0
"""Seconds that an answer of the server may take: one that hangs is one that is away."""

_OLDEST: Final = 6, 2

T = TypeVar("T")


class Server:
    """The server that keeps the books of a fleet.

    Args:
        url: Where it is; it may hold a password.
        base: What all keys of the fleet begin with: its tag.
        lease: Seconds after its last sign of life for which a pool is taken to be alive.
    """

    def __init__(self, url: str, base: str, *, lease: float) -> None:
        self._base = base
        self._lease = lease
        self._scripts = scripts_of(base)
        # Of any type, because its own types are not complete.
        self.client: Any = cast("Any", client.Redis).from_url(
            url,
            decode_responses=True,
            encoding_errors="surrogatepass",  # a reference may be any text
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            client_name="ezcaptcha",
            # Once, because a connection that was open when the server died shows it only then.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )

    async def check(self) -> None:
        """Check that it is one that can keep books.

        Raises:
            ConfigurationError: It is too old, a replica, or may forget what is paid.
            ConnectionError: It cannot be reached.
        """
        info = await self.asked(self.client.info)
        version = str(info["redis_version"])
        if tuple(map(int, version.split(".")[:2])) < _OLDEST:
            raise ConfigurationError(f"it is version {version}, and 6.2 is the oldest that will do")
        if info["role"] != "master":
            raise ConfigurationError("it is a replica, which takes no orders; name its master")
        policy = info.get("maxmemory_policy", "noeviction")
        if info.get("maxmemory") and policy != "noeviction":
            raise ConfigurationError(
                f"its maxmemory-policy is {policy}, so that it may forget what is paid; "
                "set it to noeviction"
            )

    async def run(self, name: Name, *arguments: Any) -> Any:
        """Run a script, at a server that has forgotten it as well.

        Raises:
            ConnectionError: It cannot be reached, or refuses.
        """
        try:
            return await self._call(name, *arguments)
        except _ScriptsLostError:
            pass  # the server was started again, or is another one
        await self.asked(self._load)
        await self._call("arrive", self._lease)
        return await self._call(name, *arguments)

    async def _call(self, name: Name, *arguments: Any) -> Any:
        digest = self._scripts[name].digest
        return await self.asked(
            lambda: self.client.evalsha(digest, 1, self._base, *map(str, arguments))
        )

    async def _load(self) -> None:
        for script in self._scripts.values():
            await self.client.script_load(script.text)

    async def asked(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send, and raise what that comes to without the client's own exception.

        That one holds the connection, and so the password.

        Raises:
            ConnectionError: The server cannot be reached, or refuses.
        """
        try:
            return await send()
        except NoScriptError:
            problem: Exception = _ScriptsLostError("the scripts are gone")
        except MovedError as error:
            address = str(error).rpartition(" ")[2]
            problem = ConnectionError(
                f"it is one node of a cluster, and this fleet's keys are at {address}"
            )
        except ResponseError as error:
            # Its words are the server's own: out of memory, read only, no rights.
            words = str(error).partition(" script: ")[0][:200]
            problem = ConnectionError(f"the server refuses: {words}")
        except (RedisError, OSError) as error:
            cause = error.__cause__ or error.__context__ or error  # that of the network
            if isinstance(error, AuthenticationError) or isinstance(cause, AuthenticationError):
                problem = ConnectionError("the server refuses the user or the password of the URL")
            else:
                problem = ConnectionError(f"the server cannot be reached ({type(cause).__name__})")
        raise problem

    async def close(self) -> None:
        """Close the connections, also for whoever was cancelled."""
        with anyio.CancelScope(shield=True):
            await self.client.aclose()


class _ScriptsLostError(ConnectionError):
    """The server was restarted, or was told to forget its scripts."""
