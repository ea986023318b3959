"""What outlives the process: what is paid, written down before anybody hears of it."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from ezcaptcha_async._journal.journal import Journal
from ezcaptcha_async._journal.opening import open_ledger, prepare_ledger
from ezcaptcha_async._journal.protocols import Ledger
from ezcaptcha_async._journal.saved import SavedTask
from ezcaptcha_async._journal.submissions import Intent, Submission

if TYPE_CHECKING:
    from ezcaptcha_async._journal.shared_ledger import SharedLedger, result_of

_LATER: Final = {"SharedLedger": "shared_ledger", "result_of": "shared_ledger"}
"""Name → the module that it is imported from with its first use: most pools need none of it."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)


__all__ = [
    "Intent",
    "Journal",
    "Ledger",
    "SavedTask",
    "SharedLedger",
    "Submission",
    "open_ledger",
    "prepare_ledger",
    "result_of",
]
