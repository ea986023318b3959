"""Calls of the client that EzCaptcha's maker publishes, and how its documentation ends them.

Run as a script, or as tests, where ezcapsolver-py is installed beside this checkout.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from ezcapsolver import (
    ApiError,
    Cloudflare5sTask,
    CloudflareTurnstileTask,
    EzCapSolverClient,
    EzCaptchaError,
    FunCaptchaTask,
    HCaptchaTask,
    PollingConfig,
    ReCaptchaV2EnterpriseTask,
    ReCaptchaV2S9Task,
    ReCaptchaV2SEnterpriseTask,
    ReCaptchaV2STask,
    ReCaptchaV2Task,
    ReCaptchaV3EnterpriseS9Task,
    ReCaptchaV3EnterpriseTask,
    ReCaptchaV3S9Task,
    ReCaptchaV3Task,
    Task,
    task_id_of,
)

from ezcaptcha_async.testing import Fixed, SimulatedService, serve

KEY = "client-key"
SPEED = 20.0
"""How many times as fast as in reality: a solution takes half a second, a ban nine."""
POLLS = PollingConfig(interval=3.0 / SPEED, max_attempts=50)

PAGE = {"website_url": "https://example.com/login", "website_key": "0x4AAAAAAA-site_key"}
PROXY = "http://user:password@proxy.example.com:8080"
COMMON = {**PAGE, "website_title": "Log in", "proxy": PROXY}
V2: dict[str, Any] = {**COMMON, "is_invisible": True, "sa": "login", "s": "one-time"}
V3: dict[str, Any] = {**COMMON, "page_action": "login", "check_field": "check"}
TASKS: tuple[Task[Any], ...] = (
    *(kind(**V2) for kind in (ReCaptchaV2Task, ReCaptchaV2S9Task, ReCaptchaV2STask)),
    *(kind(**V2) for kind in (ReCaptchaV2EnterpriseTask, ReCaptchaV2SEnterpriseTask)),
    *(kind(**V3) for kind in (ReCaptchaV3Task, ReCaptchaV3S9Task)),
    *(kind(**V3) for kind in (ReCaptchaV3EnterpriseTask, ReCaptchaV3EnterpriseS9Task)),
    FunCaptchaTask(
        **PAGE,
        data='{"blob": "x"}',
        api_js_subdomain="api.example.com",
        proxy="socks5://proxy.example.com:1080:user:password",
        cn=True,
    ),
    HCaptchaTask(**PAGE, lang="en-US", invisible=False, rq_data="x", proxy=PROXY),
    CloudflareTurnstileTask(**PAGE, rq_data={"action": "login"}, proxy=PROXY),
    Cloudflare5sTask(website_url=PAGE["website_url"], proxy=PROXY, rq_data={"mode": "x"}),
)
"""A task of each type that can be polled for, with every field that the client knows."""
TASK = TASKS[0]

CERTAIN_TO_FAIL_AGAIN = (
    *("ERROR_CONTENT_TYPE_ERROR", "ERROR_KEY_DOES_NOT_EXIST", "ERROR_KEY_NOT_AVAILABLE"),
    *("ERROR_NOT_FOUND", "ERROR_PACKAGE_NOT_EXIST", "ERROR_PACKAGE_TASK_TYPE_NOT_SUPPORTED"),
    *("ERROR_REQUEST_METHOD", "ERROR_REQUEST_PARAMETERS", "ERROR_REQUEST_PROXY_MISSING"),
    *("ERROR_SUBSCRIPTION_EXPIRED", "ERROR_TASK_NOT_EXIST", "ERROR_TASK_TYPE_NOT_ALLOWED"),
    *("ERROR_TASK_TYPE_NOT_AVAILABLE", "ERROR_TASK_TYPE_NOT_SUPPORTED"),
    *("ERROR_WEBSITE_NOT_ALLOWED", "ERROR_ZERO_BALANCE"),
)
CAN_PASS = ("ERROR_SERVICE_UNAVAILABLE", "ERROR_SERVICE_TIMEOUT", "ERROR_INTERNAL_SERVER_ERROR")

Play = Callable[[EzCapSolverClient, SimulatedService], object]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way in which a call ends.

    Args:
        name: What happens.
        documented: How the client's documentation ends it, in the words of `told`.
        play: Has it happen, and returns the end or raises it.
        settings: Of the simulated service.
    """

    name: str
    documented: str
    play: Play
    settings: Mapping[str, Any] = field(default_factory=dict)


def told(error: EzCaptchaError) -> str:
    """Return what an exception of the client says of itself."""
    words = [type(error).__name__]
    if isinstance(error, ApiError):
        words += [str(error.error_code), f"HTTP {error.http_status}"]
        words += [name for name, holds in _answers(error).items() if holds]
        words += [f"{name} {reason}" for name, reason in error.errors.items()]
        if error.request_id is None:
            words.append("without a request id")
    if task_id_of(error) is not None:
        words.append("with the task id")
    return ", ".join(words)


def _answers(error: ApiError) -> dict[str, bool]:
    return {
        "authentication": error.is_authentication_error(),
        "terminal": error.is_terminal(),
        "rate limited": error.is_rate_limited(),
    }


@contextmanager
def client_of(url: str) -> Iterator[EzCapSolverClient]:
    """Open a client that talks to this address alone, whatever the environment says."""
    with (
        httpx.Client(trust_env=False) as connections,
        EzCapSolverClient(
            KEY, async_base_url=url, sync_base_url=url, polling=POLLS, http_client=connections
        ) as client,
    ):
        yield client


def ended(case: Case) -> str:
    """Play one case on a real port and return how it ended."""
    service = SimulatedService(**{"solve_times": Fixed(10), **case.settings})
    with serve(service, time_scale=SPEED) as server, client_of(server.url) as client:
        try:
            return str(case.play(client, service))
        except EzCaptchaError as error:
            return told(error)


def solve(client: EzCapSolverClient, _service: SimulatedService) -> str:
    """Solve one task."""
    solved = client.solve(TASK)
    whole = all((solved.solution.token, solved.task_id, solved.request_id))
    return "token, task id, request id" if whole else repr(solved)


def solve_all_types(client: EzCapSolverClient, service: SimulatedService) -> str:
    """Solve a task of each type; the client must know every field, and the service too."""
    for task in TASKS:
        task_id = client.create_task(task)
        service.finish(task_id)
        solution = type(task).solution_type.from_dict(client.get_result(task_id).solution)
        missing = [
            name
            for name in solution.__dataclass_fields__.keys() - {"extra", "lang"}
            if not getattr(solution, name)
        ]
        unknown = solution.extra.keys() - {"cookies"}
        if missing or unknown:
            return f"{task.task_type}: {missing} missing, {unknown} unknown"
    return f"{len(TASKS)} types, unknown fields {service.summary().unknown_fields}"


def fail(client: EzCapSolverClient, service: SimulatedService) -> object:
    """Wait for a task that a worker gives up."""
    task_id = client.create_task(TASK)
    service.finish(task_id, error="ERROR_OF_A_WORKER")
    return client.wait_for_result(task_id)


def thirty_bad_keys(client: EzCapSolverClient, _service: SimulatedService) -> object:
    """Go on with a bad key."""
    for _ in range(30):
        try:
            client.create_task(TASK)
        except ApiError as error:
            if not error.is_authentication_error():
                raise
    return client.create_task(TASK)


def late(client: EzCapSolverClient, service: SimulatedService) -> object:
    """Ask for a result after its five minutes."""
    task_id = client.create_task(TASK)
    service.handle("/getBalance", b"{}", service.now + 301.0)
    return client.get_result(task_id)


def throttled(client: EzCapSolverClient, service: SimulatedService) -> str:
    """Be throttled, and banned, while waiting."""
    for code in ("ERROR_REQUEST_LIMIT", "ERROR_REQUEST_BANNED"):
        service.inject(code, path="/getTaskResult", times=2)
    return solve(client, service)


def codes(client: EzCapSolverClient, service: SimulatedService) -> str:
    """Be refused with each code by name."""
    wrong = []
    for code in (*CERTAIN_TO_FAIL_AGAIN, *CAN_PASS):
        service.inject(code, path="/createTask")
        try:
            client.create_task(TASK)
        except ApiError as error:
            if (error.error_code, error.is_terminal()) == (code, code in CERTAIN_TO_FAIL_AGAIN):
                continue
        wrong.append(code)
    return f"otherwise: {wrong}"


def create(client: EzCapSolverClient, _service: SimulatedService) -> str:
    """Create one task."""
    return str(client.create_task(TASK))


CASES = (
    Case(name="a solved task", documented="token, task id, request id", play=solve),
    Case(
        name="every type, with all its fields",
        documented=f"{len(TASKS)} types, unknown fields {{}}",
        play=solve_all_types,
    ),
    Case(
        name="a failed task",
        documented="ApiError, ERROR_OF_A_WORKER, HTTP 200, with the task id",
        play=fail,
    ),
    Case(
        name="a failed task, errorId 0",
        documented="UnexpectedResponseError",
        play=fail,
        settings={"failed_error_id": 0},
    ),
    Case(
        name="a bad key",
        documented="ApiError, ERROR_KEY_DOES_NOT_EXIST, HTTP 500, authentication, terminal",
        play=create,
        settings={"client_keys": ["another"]},
    ),
    Case(
        name="thirty bad keys in a minute",
        documented="ApiError, ERROR_REQUEST_BANNED, HTTP 429, rate limited",
        play=thirty_bad_keys,
        settings={"client_keys": ["another"]},
    ),
    Case(
        name="no points left",
        documented="ApiError, ERROR_ZERO_BALANCE, HTTP 500, authentication, terminal",
        play=create,
        settings={"balance": 0},
    ),
    Case(
        name="an unknown id",
        documented="ApiError, ERROR_TASK_NOT_EXIST, HTTP 500, terminal",
        play=lambda client, _service: client.get_result("unknown"),
    ),
    Case(
        name="an id past its five minutes",
        documented="ApiError, ERROR_TASK_NOT_EXIST, HTTP 500, terminal",
        play=late,
    ),
    Case(
        name="an unknown type",
        documented="ApiError, ERROR_TASK_TYPE_NOT_SUPPORTED, HTTP 500, terminal",
        play=lambda client, _service: client.solve_raw("NoSuchTask", {}),
    ),
    Case(
        name="a wrong field",
        documented="ApiError, ERROR_REQUEST_PARAMETERS, HTTP 400, terminal, "
        "task.websiteURL must be an http or https URL",
        play=lambda client, _service: client.create_task(
            ReCaptchaV2Task(website_url="example.com", website_key="key")
        ),
    ),
    Case(
        name="a proxy without credentials",
        documented="ApiError, ERROR_REQUEST_PROXY_MISSING, HTTP 400, terminal, "
        "task.proxy needs a user and a password",
        play=lambda client, _service: client.create_task(
            Cloudflare5sTask(website_url="https://example.com", proxy="http://a.example:80")
        ),
    ),
    Case(
        name="throttled and banned polls",
        documented="token, task id, request id",
        play=throttled,
    ),
    Case(name="every code by name", documented="otherwise: []", play=codes),
    Case(
        name="the balance",
        documented="500.0",
        play=lambda client, _service: client.get_balance(),
        settings={"balance": 500},
    ),
)


def main() -> int:
    """Play every case, print a line for each, and return 1 when one ended otherwise."""
    others = 0
    for case in CASES:
        end = ended(case)
        same = end == case.documented
        others += not same
        print(f"{'as documented' if same else 'OTHERWISE':<15}{case.name:<33}{end}")
        if not same:
            print(f"{'':<15}{'documented':<33}{case.documented}")
    return min(others, 1)


if __name__ == "__main__":
    sys.exit(main())
