"""What became of each paid task, judged from the service's record and what each caller knows."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Where all the charged tasks are: `charged` is the sum of what follows it, but the last.

    Args:
        charged: Tasks that the service charged. It solves all of them well in time.
        solved: The caller has the solution.
        told: The caller has an error, or whatever the library returned, with the task's id.
        warned: The caller has an error that says that something may have been paid.
        lost: The caller has none of these: it paid and has nothing to show for it.
        twice: One more task for the same call, and the caller knows nothing of it.
        warned_for_nothing: Callers that have such an error, and nothing was paid.
    """

    charged: int
    solved: int
    told: int
    warned: int
    lost: int
    twice: int
    warned_for_nothing: int


def verdict(calls: Sequence[Mapping[str, Any]], charges: Iterable[tuple[str, str]]) -> Verdict:
    """Judge one run.

    Args:
        calls: What each caller knows in the end, in the order of their numbers.
        charges: The id of each charged task, and the page that it was for.
    """
    paid: defaultdict[int, set[str]] = defaultdict(set)
    for task_id, page in charges:
        paid[int(page.rpartition("=")[2])].add(task_id)
    found: Counter[str] = Counter()
    for number, ids in paid.items():
        call = calls[number]
        if "token" in call:
            # A token ends with the id of its task.
            fate = "solved" if call["token"].rpartition(".")[2] in ids else "lost"
        elif str(call.get("task_id")) in ids:
            fate = "told"
        else:
            fate = "warned" if call.get("may_be_charged") else "lost"
        found["charged"] += len(ids)
        found[fate] += 1
        found["twice"] += len(ids) - 1
    found["warned_for_nothing"] = sum(
        call.get("may_be_charged", False) for number, call in enumerate(calls) if number not in paid
    )
    return Verdict(**{field.name: found[field.name] for field in fields(Verdict)})


def most_in_a_minute(moments: Iterable[float]) -> int:
    """Return how many of these moments, which are in order, lie within any one minute."""
    recent: deque[float] = deque()
    most = 0
    for moment in moments:
        recent.append(moment)
        while recent[0] <= moment - MINUTE:
            recent.popleft()
        most = max(most, len(recent))
    return most
