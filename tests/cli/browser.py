"""A real browser without a window: it opens a page and says what it saw of it."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

NAMES = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome")
VARIABLE = "EZCAPTCHA_TEST_BROWSER"
SECONDS = 30.0


def find() -> str | None:
    """Return the program, if there is one on this machine: any browser that is a Chromium."""
    given = os.environ.get(VARIABLE)
    return given or next(filter(None, map(shutil.which, NAMES)), None)


@attrs.frozen(kw_only=True)
class View:
    """How a page is looked at."""

    width: int
    scheme: str


@attrs.frozen(kw_only=True)
class Seen:
    """What came of it.

    Args:
        value: What the script returned.
        complaints: What the browser wrote to its console.
        requests: Every address that was asked for.
    """

    value: Any
    complaints: list[str]
    requests: list[str]


def look(program: str, page: Path, views: Sequence[View], script: str, folder: Path) -> list[Seen]:
    """Open a page in each of the views, and run a script in it.

    Args:
        program: The browser.
        page: The page.
        views: How to look at it.
        script: An expression of JavaScript.
        folder: For what the browser keeps.
    """
    command = [
        *(program, "--headless=new", "--disable-gpu", "--no-first-run", "--no-sandbox"),
        *("--disable-dev-shm-usage", "--disable-background-networking"),
        *("--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"),
    ]
    # Its own group, so that its helpers end with it.
    browser = subprocess.Popen(  # noqa: S603 - the browser of this machine
        command, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True
    )
    try:
        assert browser.stderr is not None
        found = (re.search(r"ws://\S+", line) for line in browser.stderr)
        match = next(filter(None, found), None)
        if match is None:
            pytest.skip(f"{program} does not start")
        address = match[0]
        return asyncio.run(asyncio.wait_for(_look(address, page.as_uri(), views, script), SECONDS))
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.communicate()


async def _look(address: str, url: str, views: Sequence[View], script: str) -> list[Seen]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(address, max_msg_size=0) as socket,
    ):
        return [await _Tab(socket).look(url, view, script) for view in views]


class _Tab:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []

    async def look(self, url: str, view: View, script: str) -> Seen:
        target = await self._call("Target.createTarget", url="about:blank")
        attached = await self._call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._call(f"{domain}.enable")
        await self._call(
            "Emulation.setDeviceMetricsOverride",
            width=view.width,
            height=800,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": view.scheme}
        await self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        await self._call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._take(await self._socket.receive_json())
        answer = await self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return Seen(
            value=answer["result"]["value"],
            complaints=[
                str(event["params"])
                for event in self._events
                if event["method"]
                in {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
            ],
            requests=[
                event["params"]["request"]["url"]
                for event in self._events
                if event["method"] == "Network.requestWillBeSent"
            ],
        )

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        await self._socket.send_json(message)
        while True:
            found = await self._socket.receive_json()
            if found.get("id") == number and found.get("sessionId") == self._session:
                assert "error" not in found, found
                return dict(found["result"])
            self._take(found)

    def _take(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self._events.append(message)
