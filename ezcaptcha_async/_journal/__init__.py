"""What outlives the process: what is paid, written down before anybody hears of it."""

from ezcaptcha_async._journal.journal import Journal, open_journal
from ezcaptcha_async._journal.ledger import Ledger
from ezcaptcha_async._journal.records import Intent, Submission
from ezcaptcha_async._journal.saved import SavedTask

__all__ = [
    "Intent",
    "Journal",
    "Ledger",
    "SavedTask",
    "Submission",
    "open_journal",
]
