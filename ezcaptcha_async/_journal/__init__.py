"""What outlives the process: what is paid, written down before anybody hears of it."""

from ezcaptcha_async._journal.file_ledger import open_ledger
from ezcaptcha_async._journal.journal import Journal
from ezcaptcha_async._journal.protocols import Ledger
from ezcaptcha_async._journal.records import Intent, Submission
from ezcaptcha_async._journal.saved import SavedTask
from ezcaptcha_async._journal.shared_ledger import SharedLedger, result_of

__all__ = [
    "Intent",
    "Journal",
    "Ledger",
    "SavedTask",
    "SharedLedger",
    "Submission",
    "open_ledger",
    "result_of",
]
