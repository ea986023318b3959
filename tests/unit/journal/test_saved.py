"""A ticket written down: whoever reads it back, in whatever process, gets the same."""

from __future__ import annotations

import json
from collections import UserDict
from math import inf, nan
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._journal.saved import SavedTask
from ezcaptcha_async.errors import ConfigurationError

LEAST: dict[str, Any] = {
    "task_id": "77",
    "service": "ezcaptcha",
    "type": "ReCaptchaV2TaskProxyless",
    "created_at": 1_000.5,
}
FULL: dict[str, Any] = {
    **LEAST,
    "version": 1,
    "account": "0123abcd",
    "host": "example.com",
    "processing_at": 1_010.25,
    "polls": 3,
    "points": 6,
    "reference": "job 17",
}

names = st.text(min_size=1)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**12)
saved_tasks = st.builds(
    SavedTask,
    task_id=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1),
    service=names,
    account=st.none() | names,
    type=names,
    host=st.text(),
    created_at=numbers,
    processing_at=st.none() | numbers,
    polls=st.integers(0, 200),
    points=st.none() | numbers,
    reference=st.none() | st.text("abc 17", min_size=1, max_size=200),
)


def test_the_least_that_can_be_resumed() -> None:
    """A ticket written by hand from a task id would need fields that nobody knows."""
    saved = SavedTask.from_dict(LEAST)
    assert saved.to_dict() == {
        **LEAST,
        "version": 1,
        "account": None,
        "host": "",
        "processing_at": None,
        "polls": 0,
        "points": None,
        "reference": None,
    }


@given(saved_tasks)
def test_json_and_back(saved: SavedTask) -> None:
    """A ticket in a file or a message queue would not come back as it went in."""
    text = json.dumps(saved.to_dict(), allow_nan=False)
    assert SavedTask.from_dict(json.loads(text)) == saved


@pytest.mark.parametrize("kind", [dict, UserDict, MappingProxyType])
def test_any_mapping_will_do(kind: Any) -> None:
    """A ticket of the release before could not be read, or a database row only as a dict."""
    assert SavedTask.from_dict(kind(FULL)).to_dict() == FULL


def test_unknown_keys_are_passed_over() -> None:
    """A ticket with a note of the user's own, or of a newer minor release, would be lost."""
    saved = SavedTask.from_dict({**FULL, "note": "mine", "__class__": "x", 5: 6})  # type: ignore[dict-item]
    assert saved.to_dict() == FULL


@pytest.mark.parametrize("name", LEAST)
def test_a_missing_field_is_named(name: str) -> None:
    """A TypeError about `__init__` would not say that the file is damaged."""
    damaged = {key: value for key, value in FULL.items() if key != name}
    with pytest.raises(ConfigurationError, match=f"the saved ticket has no {name}"):
        SavedTask.from_dict(damaged)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("task_id", (None, "", 77, "7\n8", "7\r", "\x1b[2J", "\x00", "7\u2028", "é")),
        ("service", (None, "", 5)),
        ("account", ("", 5)),
        ("type", (None, "", 5)),
        ("host", (None, 5)),
        ("created_at", (None, "1000", nan, inf, True, 10**400)),
        ("processing_at", ("1000", nan, -inf, False, 10**400)),
        ("polls", (None, "3", nan, True)),
        ("points", ("6", inf, True)),
        ("reference", ("", "x" * 201, "a\nb", 17)),
    ],
)
def test_a_wrong_field_is_named(name: str, values: tuple[Any, ...]) -> None:
    """It would fail in the scheduler, wait for an hour, or write lines of its own into the log."""
    for value in values:
        with pytest.raises(ConfigurationError, match=f"{name} must (be|hold printable ASCII)"):
            SavedTask.from_dict({**FULL, name: value})


@pytest.mark.parametrize("saved", [None, "77", 77, [("task_id", "77")]])
def test_something_else(saved: Any) -> None:
    """A task id in place of a ticket would fail with an AttributeError."""
    with pytest.raises(ConfigurationError, match="expected a saved ticket, not"):
        SavedTask.from_dict(saved)


@pytest.mark.parametrize("version", [0, 2, 99, None, "1"])
def test_another_version_is_refused(version: Any) -> None:
    """A ticket whose fields mean something else now would be polled with the wrong times."""
    with pytest.raises(ConfigurationError, match="version is not known; update"):
        SavedTask.from_dict({**FULL, "version": version})
