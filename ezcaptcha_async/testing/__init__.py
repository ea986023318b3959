"""The service, simulated: for tests and demonstrations, without network, account or cost.

`SimulatedService` is one pure state machine. It is served three ways::

    service = SimulatedService(solve_times=Uniform(10, 30), failure_rate=0.02)
    client = service.client()                   # in this process; virtual time works
    application = service.asgi()                # for any ASGI server
    with serve(service, time_scale=10) as server:
        ...                                     # on a real loopback port: server.url

``service.profile()`` is the profile that a pool needs, ``service.inject`` lets faults
strike, ``service.record`` tells what the service saw, and ``service.assert_charged`` and
its like say what it should have seen. On a `VirtualTimeLoop` minutes pass in milliseconds.

It speaks as EzCaptcha does in October 2026: a failed task has the status ``error``, other
errors are HTTP 400, 429 or 500, and errors of one key are counted towards a ban.
``dialect="1captcha"`` is the other service, ``errors_as_http_status=False`` the older form.

With pytest, these fixtures are there as soon as the package is installed. The markers take
any setting of what they are named after::

    simulated_service      a fresh SimulatedService
    simulated_pool         a SessionPool on it in this process, for the test to open
    simulated_server       the same service on a real loopback port
    simulated_environment  the variables that send an application's own SessionPool() to that
                           port, set for the test; for a process: env=os.environ | ...

    @pytest.mark.simulated_service(solve_times=40, balance=10)
    @pytest.mark.simulated_pool(budget=100)
    async def test_my_own_code(simulated_service, simulated_pool): ...

    @pytest.mark.simulated_server(time_scale=30)
    def test_the_whole_application(simulated_environment, simulated_service):
        with TestClient(app) as client:  # that of FastAPI, say
            assert client.get("/token/login").json()
        simulated_service.assert_charged(1)

How such tests run in virtual time depends on what runs asynchronous tests. With the plugin
that anyio brings, for tests marked with ``pytest.mark.anyio``::

    @pytest.fixture
    def anyio_backend():
        return "asyncio", {"loop_factory": VirtualTimeLoop}

and on trio ``"trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}``. With
pytest-asyncio 1.4 or newer, in ``conftest.py``, and ``asyncio_mode = auto`` in pytest.ini::

    def pytest_asyncio_loop_factories(config, item):
        return {"virtual": VirtualTimeLoop}

With pytest-trio (``trio_mode = true``), add ``autojump_clock`` to the arguments of a test.
``ezcaptcha example pytest`` prints whole tests.
"""

from ezcaptcha_async.testing._dialects import Dialect
from ezcaptcha_async.testing._faults import Fault, FaultPredicate, Rewrite
from ezcaptcha_async.testing._record import Record, RecordSummary, TaskRecord
from ezcaptcha_async.testing._replies import SimulatedReply
from ezcaptcha_async.testing._server import SimulatedServer, run, serve
from ezcaptcha_async.testing._service import SimulatedService
from ezcaptcha_async.testing._solve_times import (
    Fixed,
    LogNormal,
    Mixture,
    SolveTime,
    SolveTimes,
    Uniform,
)
from ezcaptcha_async.testing._virtual_time import DeadlockError, VirtualTimeLoop

__all__ = [
    "DeadlockError",
    "Dialect",
    "Fault",
    "FaultPredicate",
    "Fixed",
    "LogNormal",
    "Mixture",
    "Record",
    "RecordSummary",
    "Rewrite",
    "SimulatedReply",
    "SimulatedServer",
    "SimulatedService",
    "SolveTime",
    "SolveTimes",
    "TaskRecord",
    "Uniform",
    "VirtualTimeLoop",
    "run",
    "serve",
]
