"""The journal that a user names. What reads the file is imported with the first one."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import attrs

from ezcaptcha_async._checks import check_flag, path_in
from ezcaptcha_async._journal.submissions import Submission
from ezcaptcha_async.errors import ConfigurationError, SavedTicket

if TYPE_CHECKING:
    from ezcaptcha_async._journal.records import Contents


def _path_of(given: str | os.PathLike[str]) -> str:
    path = path_in(given)
    if path is None:
        raise ConfigurationError("journal must be the path of a file, or a Journal with one")
    return path


@attrs.frozen
class Journal:
    """Where a pool writes down what it pays for, so that a killed process loses nothing.

    Args:
        path: The file. It is made when it is not there, readable by its owner only, and an
            empty ``.lock`` file beside it. One pool at a time may have it open. A file that
            is there must be empty or a journal already: any other one is refused, untouched.
        power_loss_safe: Whether a createTask waits until its line has reached the disk, and
            its caller until the paid task has. Without it, a power loss or a crash of the
            operating system may cost the last seconds; a killed process never does.

    Raises:
        ConfigurationError: A value has not the right form.

    Example:
        >>> SessionPool("a-key", journal=Journal("paid.jsonl", power_loss_safe=True))
        <SessionPool of ezcaptcha:f8a8a060, not open>
    """

    path: str = attrs.field(converter=_path_of)
    power_loss_safe: bool = attrs.field(default=False, kw_only=True, validator=check_flag)

    def unfinished(self) -> tuple[SavedTicket, ...]:
        """Return the paid tasks whose outcome nobody has been given, as far as it says.

        The file is only read, also while a pool has it open. Those whose result window is
        over are among them.

        Raises:
            ConfigurationError: It is not there, cannot be read, or is not a journal.

        Example:
            >>> async with SessionPool(journal="paid.jsonl") as pool:
            ...     ticket = await pool.submit(TASK)
            ...     (saved,) = Journal("paid.jsonl").unfinished()
            >>> saved == ticket.to_dict()
            True
        """
        return tuple(item.task.to_dict() for item in self._contents().unfinished.values())

    def unknowns(self) -> tuple[Submission, ...]:
        """Return the createTask requests of the last day of which it says no outcome.

        Each may have been paid for, and none can be fetched: see `SessionPool.unknowns`. The file
        is only read. While a pool has it open, those that are under way are among them.

        Raises:
            ConfigurationError: It is not there, cannot be read, or is not a journal.

        Example:
            >>> service = SimulatedService()
            >>> service.inject(Fault.RESET_AFTER, path="/createTask")
            >>> async with SessionPool(journal="paid.jsonl", http_client=service.client()) as pool:
            ...     lost = await asyncio.gather(pool.solve(TASK), return_exceptions=True)
            >>> [submission.type for submission in Journal("paid.jsonl").unknowns()]
            ['ReCaptchaV2TaskProxyless']
        """
        contents = self._contents()
        contents.expire(time.time())
        return tuple(contents.unknown.values())

    def _contents(self) -> Contents:
        from ezcaptcha_async._journal.reading import contents_of  # noqa: PLC0415 - most pools have no journal

        return contents_of(self)
