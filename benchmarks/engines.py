"""Jobs in queues that other people made, over three workers of which one is killed.

    python benchmarks/engines.py
    python benchmarks/engines.py --same    # no queue: the same jobs to three processes at once

The workers are the examples as they are printed, but for a larger budget and whole tokens in what
they print; the server is a real one, the simulated service runs as fast as the real one. Killed is
a worker with all of its children, by SIGKILL, when a third of the jobs is paid for. Exits with 1
when a payment is neither a token nor one of those that may have been made, as the jobs say, or a
job has neither of the two.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Final

import attrs
from fleet import server

from ezcaptcha_async.testing import SimulatedService, Uniform, serve

EXAMPLES: Final = files("ezcaptcha_async") / "examples"
WORKERS: Final = 3
TASKIQ: Final = "taskiq", "worker", "--workers", "1", "--ack-type", "when_executed"
ENGINES: Final = {
    "streaq": ("streaq", "run", "streaq_jobs:worker"),
    "taskiq": (*TASKIQ, "taskiq_jobs:broker"),
}


@attrs.frozen(kw_only=True)
class Course:
    """What came of some jobs.

    Args:
        jobs: How many there were.
        charged: Tasks that the service charged.
        tokens: Different tokens that came out.
        unknown: Jobs that may have been paid for, as they say, and have no token.
        missing: Jobs with neither; the first of what they say instead.
        seconds: How long it took.
    """

    jobs: int
    charged: int
    tokens: int
    unknown: int
    missing: list[str]
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether each payment is accounted for, and each job."""
        accounted = self.tokens <= self.charged <= self.tokens + self.unknown
        return accounted and self.tokens + self.unknown == self.jobs and not self.missing


class Yard:
    """A folder with an example in it, and processes that use that.

    Args:
        folder: The folder.
        file: Name of the example.
        environment: What names the service and the server.
    """

    def __init__(self, folder: Path, file: str, environment: dict[str, str]) -> None:
        text = (EXAMPLES / file).read_text("utf-8")
        text = text.replace("budget=1_000", "budget=100_000").replace("[:16]", "")
        (folder / file).write_text(text, "utf-8")
        self._folder = folder
        programs = str(Path(sys.executable).parent), os.environ.get("PATH", "")
        self._environment = os.environ | environment | {"PATH": os.pathsep.join(programs)}
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a process with a group of its own; return it, and the file of what it prints."""
        printed = self._folder / f"printed{len(self._running)}"
        with printed.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdout=file,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._running.append(process)
        return process, printed

    def close(self) -> None:
        """End all that is running."""
        for process in self._running:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with all of its children, in the middle of anything."""
    with suppress(ProcessLookupError):  # it has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def counted(pages: list[str], lines: Iterable[str], *, charged: int, seconds: float) -> Course:
    """Count what came of pages, each of which was printed with its token or its error."""
    tokens: dict[str, set[str]] = {page: set() for page in pages}
    said: dict[str, str] = {}
    for line in lines:
        page, _, result = line.strip().partition(" ")
        if "simulated." in result:
            tokens[page].add(result)
        elif page in tokens:
            said[page] = result
    lost = {
        page for page in pages if not tokens[page] and "may have been paid" in said.get(page, "")
    }
    return Course(
        jobs=len(pages),
        charged=charged,
        tokens=len(set().union(*tokens.values())),
        unknown=len(lost),
        missing=[
            said.get(page, "nothing") for page in pages if not tokens[page] and page not in lost
        ],
        seconds=seconds,
    )


def run(name: str, jobs: int) -> Course:
    """Run one course: of an engine, or of the same jobs to all workers."""
    pages = [f"https://example.com/page/{number}" for number in range(jobs)]
    file = "fleet_worker.py" if name == "same" else f"{name}_jobs.py"
    service = SimulatedService(solve_times=Uniform(10, 60), balance=1e6)
    with (
        tempfile.TemporaryDirectory() as folder,
        server() as url,
        serve(service, time_scale=1) as web,
    ):
        environment = web.environment | {"REDIS_URL": url, "EZCAPTCHA_CLIENT_KEY": "key"}
        yard, began = Yard(Path(folder), file, environment), time.monotonic()
        try:
            if name == "same":
                asked = [yard.start("python", file, url, *pages) for _ in range(WORKERS)]
            else:
                workers = [yard.start(*ENGINES[name]) for _ in range(WORKERS)]
                asked = [yard.start("python", file, *pages)]
                while service.summary().charges < jobs / 3:
                    time.sleep(0.01)
                kill(workers[0][0])
            lines: list[str] = []
            for process, printed in asked:
                process.wait(timeout=900)
                lines += printed.read_text("utf-8").splitlines()
            return counted(
                pages,
                lines,
                charged=service.summary().charges,
                seconds=time.monotonic() - began,
            )
        finally:
            yard.close()


def main() -> int:
    """Run what was asked for, and print what came of it."""
    parser = argparse.ArgumentParser(description="Jobs in queues, and a worker that is killed.")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--same", action="store_true")
    parser.add_argument("--only", choices=ENGINES)
    arguments = parser.parse_args()
    names = ["same"] if arguments.same else [arguments.only] if arguments.only else list(ENGINES)
    jobs = arguments.jobs or (300 if arguments.same else 400)
    print("          jobs  charged  tokens  unknown  missing  seconds")
    is_good = True
    for name in names:
        course = run(name, jobs)
        is_good &= course.is_good
        print(
            f"{name:8} {course.jobs:5} {course.charged:8} {course.tokens:7} {course.unknown:8} "
            f"{len(course.missing):8} {course.seconds:8.0f}"
        )
        for words in sorted(set(course.missing))[:5]:
            print(f"  {words}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
