"""What a batch is to do, and with which files."""

from __future__ import annotations

import os
import sys
from itertools import combinations
from pathlib import Path
from typing import Final

import attrs

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.cli import streams
from ezcaptcha_async.cli.batching.rows import RowReader
from ezcaptcha_async.cli.options import STDIN, STDOUT
from ezcaptcha_async.fleets import Sharing

MOST_IN_FLIGHT: Final = 500
"""Most rows begun and not finished, where neither the user nor a reader says how many."""


@attrs.frozen(kw_only=True)
class Batch:
    """What to do, and how."""

    source: Path  # `-` for stdin
    results: Path  # `-` for stdout
    journal: Path | None  # for what is paid; None for none
    fleet: Sharing | None = None  # keeps that instead, for machines that share it
    reader: RowReader
    max_in_flight: int | None  # most rows begun and not finished; None for what a reader takes
    budget: float | None  # most points for all rows, earlier runs included
    timeout: float | None  # most seconds for each row
    retry_failed: bool  # whether rows that ended in an error are tried again

    @property
    def keeps_books(self) -> bool:
        """Whether what is paid is written down anywhere but in the results."""
        return self.journal is not None or self.fleet is not None


def most_in_flight(results: Path) -> int | None:
    """Return how many rows to begin at once for a file; None for a pipe, whose reader decides."""
    if results != STDOUT:
        return None if is_stream(results) else MOST_IN_FLIGHT
    return MOST_IN_FLIGHT if streams.stalling(sys.stdout) is None else None


def is_stream(results: Path) -> bool:
    """Return whether nothing can be read back from there, nor a file be laid beside it."""
    return results == STDOUT or (results.exists() and not (results.is_file() or results.is_dir()))


def journal_of(results: Path) -> Path:
    """Return where a batch keeps its journal, unless it is told otherwise."""
    return Path(f"{results}.journal")


def check_different(batch: Batch) -> None:
    """Refuse to write over the rows, or results into the journal, also through links and ``>>``.

    Nor may a summary, or a remark, be written over any of them.
    """
    files = {
        "the rows": Path("/dev/stdin") if batch.source == STDIN else batch.source,
        "the results": Path("/dev/stdout") if batch.results == STDOUT else batch.results,
        "the journal": batch.journal,
    }
    named = [(name, path) for name, path in files.items() if path is not None]
    for (one, path), (other, same) in combinations(named, 2):
        if is_same(path, same):
            raise ConfigurationError(f"{one} and {other} cannot both be in {path}")
    for name, path in named:
        # Results on stdout may stand in one file with what is said of them, as by `nohup`.
        if name != "the results" or batch.results != STDOUT:
            for number, stream in streams.NAMES.items():
                if streams.leads_to(number, path):
                    raise ConfigurationError(f"{name} and {stream} cannot both be in {path}")


def is_same(one: Path, other: Path) -> bool:
    """Return whether what is written to one of them is read from the other."""
    if one.exists() and other.exists():
        # A terminal or a socket is read and written at the same time.
        return (one.is_file() or one.is_fifo()) and one.samefile(other)
    return os.path.realpath(one) == os.path.realpath(other)
