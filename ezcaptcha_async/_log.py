"""The log. A user's filters and handlers are a part of it: what they raise ends nothing of ours."""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from typing import Any, Final


class _Log(logging.LoggerAdapter[logging.Logger]):
    """A logger that never raises: as `logging` itself does, it shows on stderr what went wrong."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a message, if anybody wants to know."""
        try:
            # One more than the caller of this, which is what stands in the record.
            self.logger.log(level, msg, *args, stacklevel=2, **kwargs)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - such as the CancelledError of a future
            if logging.raiseExceptions:
                with suppress(Exception):  # nobody may be there to see it
                    traceback.print_exception(error, file=sys.stderr)


log: Final = _Log(logging.getLogger("ezcaptcha_async"))
"""What the whole package logs to."""

# A library does not decide where its log goes; without this, warnings would go to stderr.
log.logger.addHandler(logging.NullHandler())
