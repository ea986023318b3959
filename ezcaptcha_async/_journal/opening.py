"""Which books a pool keeps: a file, where the user names one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ezcaptcha_async._importing import import_all
from ezcaptcha_async._journal.journal import Journal
from ezcaptcha_async._journal.memory_ledger import MemoryLedger
from ezcaptcha_async._journal.protocols import Ledger

_READERS: Final = (f"{__package__}.records", f"{__package__}.reading", f"{__package__}.file_ledger")


async def prepare_ledger(journal: Journal | None) -> None:
    """Import what `open_ledger` needs, in several turns of the event loop: 3 ms each."""
    if journal is not None:
        await import_all(_READERS)


async def open_ledger(journal: Journal | None, unix_time: Callable[[], float]) -> Ledger:
    """Open the books of one pool.

    Args:
        journal: Where to write; None to remember only what is unknown.
        unix_time: Returns Unix time in seconds.

    Raises:
        ConfigurationError: The journal cannot be used; the message names the path and the reason.
    """
    if journal is None:
        return MemoryLedger(unix_time)
    from ezcaptcha_async._journal.file_ledger import ledger_in  # noqa: PLC0415 - most have no file
    from ezcaptcha_async._journal.reading import open_journal  # noqa: PLC0415 - most have no file

    return await ledger_in(open_journal(journal), unix_time)
