"""The log is a user's too: what a filter of theirs raises ends nothing but the program itself."""

from __future__ import annotations

import logging

import pytest

from ezcaptcha_async._log import log


def fails_with(mistake: type[BaseException]) -> logging.Filter:
    """Return a filter that raises."""

    class Failing(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise mistake("a mistake")

    return Failing()


@pytest.mark.parametrize("mistake", [ValueError, GeneratorExit, KeyboardInterrupt, SystemExit])
def test_what_a_filter_raises_is_shown_and_ends_nothing(
    mistake: type[BaseException],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pool would end with its first line, or Ctrl-C be lost in it."""
    failing = fails_with(mistake)
    log.logger.addFilter(failing)
    try:
        if mistake in {KeyboardInterrupt, SystemExit}:
            with pytest.raises(mistake):
                log.error("a line")
        else:
            log.error("a line")
            assert f"{mistake.__name__}: a mistake" in capsys.readouterr().err
            monkeypatch.setattr(logging, "raiseExceptions", False)
            log.error("a line")
            assert not capsys.readouterr().err, "`logging` has a switch for that"
    finally:
        log.logger.removeFilter(failing)


def test_a_line_says_where_it_comes_from(caplog: pytest.LogCaptureFixture) -> None:
    """Each line would be said to come from the one place that all go through."""
    log.error("a line of %s", "ours")
    (record,) = caplog.records
    assert (record.filename, record.getMessage()) == ("test_log.py", "a line of ours")
