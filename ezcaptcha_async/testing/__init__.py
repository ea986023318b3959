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
"""

from ezcaptcha_async.testing._dialects import Dialect
from ezcaptcha_async.testing._faults import Fault, FaultPredicate
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
