"""What outlives the process: what is paid, written down before anybody hears of it."""

from ezcaptcha_async._journal.file_ledger import FileLedger
from ezcaptcha_async._journal.journal import Journal, open_journal
from ezcaptcha_async._journal.protocols import Ledger
from ezcaptcha_async._journal.records import Intent, Submission
from ezcaptcha_async._journal.saved import SavedTask
from ezcaptcha_async._journal.shared_ledger import SharedLedger, result_of

__all__ = [
    "FileLedger",
    "Intent",
    "Journal",
    "Ledger",
    "SavedTask",
    "SharedLedger",
    "Submission",
    "open_journal",
    "result_of",
]
