"""How signals end what runs in an event loop."""

from __future__ import annotations

import asyncio
import signal
from time import monotonic

import anyio
import anyio.lowlevel
import pytest

from ezcaptcha_async import SessionPool
from ezcaptcha_async.cli.failures import Interrupted
from ezcaptcha_async.cli.interrupts import paid_tickets, run_async
from ezcaptcha_async.cli.options import Backend
from ezcaptcha_async.cli.output import Output

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@BACKENDS
def test_results_and_errors_come_out_as_they_are(backend: Backend) -> None:
    """A result would be lost, or an error come wrapped in a group that nobody expects."""

    async def answer() -> str:
        await anyio.lowlevel.checkpoint()
        return "an answer"

    async def fail() -> None:
        await anyio.lowlevel.checkpoint()
        raise ValueError("as it is")

    async def nothing() -> None:
        await anyio.lowlevel.checkpoint()

    assert run_async(answer, backend=backend) == "an answer"
    run_async(nothing, backend=backend)
    with pytest.raises(ValueError, match="as it is"):
        run_async(fail, backend=backend)


@BACKENDS
def test_what_runs_beside_it_ends_with_it(backend: Backend) -> None:
    """A display would go on for ever, or break unnoticed while the work goes on unseen."""
    ended: list[str] = []

    async def stay() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("beside")

    async def answer() -> str:
        await anyio.lowlevel.checkpoint()
        return "an answer"

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("work")

    async def fail() -> None:
        await anyio.lowlevel.checkpoint()
        raise BrokenPipeError

    assert run_async(answer, beside=stay, backend=backend) == "an answer"
    with pytest.raises(BrokenPipeError):
        run_async(work, beside=fail, backend=backend)
    assert ended == ["beside", "work"]


@pytest.mark.parametrize("installed", [True, False])
def test_uvloop_runs_it_where_it_is_installed(
    installed: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A demonstration of thousands of tasks would be slower than it need be, or not start."""
    pytest.importorskip("uvloop")
    if not installed:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    async def loop() -> str:
        await anyio.lowlevel.checkpoint()
        return type(asyncio.get_running_loop()).__module__

    assert ("uvloop" in run_async(loop)) is installed


@BACKENDS
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_leaves_time_to_clean_up(backend: Backend, signum: int) -> None:
    """A pool would be torn down with requests in flight, and paid tasks lost."""
    cleaned: list[str] = []

    async def work() -> None:
        try:
            signal.raise_signal(signum)
            await anyio.sleep(10)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
                cleaned.append("up")

    with pytest.raises(Interrupted) as caught:
        run_async(work, backend=backend)
    assert caught.value.signum == signum
    assert cleaned == ["up"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@BACKENDS
def test_a_signal_that_is_ignored_stays_so(backend: Backend) -> None:
    """What was started with nohup, or in the background of a script, would end with its shell."""

    async def work() -> str:
        signal.raise_signal(signal.SIGHUP)
        await anyio.lowlevel.checkpoint()
        return "done"

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_async(work, backend=backend) == "done"
    finally:
        signal.signal(signal.SIGHUP, before)


@BACKENDS
def test_a_second_ctrl_c_does_not_wait(backend: Backend) -> None:
    """A user who cannot wait would have to kill the process, and learn nothing of its tasks."""

    async def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            await anyio.sleep(10)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
                signal.raise_signal(signal.SIGINT)
                await anyio.sleep(60)

    before = monotonic()
    with pytest.raises(Interrupted) as caught:
        run_async(work, backend=backend)
    assert caught.value.signum == signal.SIGINT
    assert monotonic() - before < 60


def test_where_the_loop_knows_no_signals_ctrl_c_works_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows every command would fail before it begins."""

    def unknown(*_signals: int) -> None:
        raise NotImplementedError

    async def answer() -> str:
        await anyio.lowlevel.checkpoint()
        return "an answer"

    async def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep(10)

    monkeypatch.setattr(anyio, "open_signal_receiver", unknown)
    assert run_async(answer) == "an answer"
    with pytest.raises(Interrupted):
        run_async(interrupted)


def test_what_is_neither_an_error_nor_a_signal_comes_out() -> None:
    """A debugger that quits, for one, would be reported as Ctrl-C."""

    class QuitError(BaseException):
        pass

    async def work() -> None:
        raise QuitError

    with pytest.raises(BaseExceptionGroup) as caught:
        run_async(work)
    assert caught.value.split(QuitError)[1] is None


def test_a_pool_that_was_never_opened_has_nothing_paid() -> None:
    """A signal in the very first moment would end in a traceback."""
    assert paid_tickets(SessionPool("a-key")) == ()


def test_remarks_stay_out_of_the_way_of_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that reads errors as JSON would stumble over them."""
    Output(as_json=True).remark("2 s: ...")
    assert capsys.readouterr() == ("", "")
