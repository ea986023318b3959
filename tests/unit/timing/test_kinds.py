"""What was learned of the kinds: bounded, scaled, written down, and read with suspicion."""

from __future__ import annotations

import json
from math import exp, inf, nan
from operator import itemgetter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._timing.ages import BINS
from ezcaptcha_async._timing.kinds import Kinds, TypeModel
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.tasks import Kind

KIND = Kind("ezcaptcha", "ReCaptchaV2TaskProxyless", "example.com")
refutes = itemgetter(2)


def learn_from(kinds: Kinds, kind: Kind, solved: float, first: float) -> None:
    """Poll one task every 3 s until it is ready."""
    after, age = 0.0, first
    while age < solved:
        kinds.learn(kind, after, age, ready=False)
        after, age = age, age + 3.0
    kinds.learn(kind, after, age, ready=True)


def taught(tasks: int = 40) -> Kinds:
    """Return what is known after some tasks at two sites."""
    kinds, rng = Kinds(), Random(1)
    for number in range(tasks):
        kind = KIND._replace(host=f"{number % 2}.example.com")
        learn_from(kinds, kind, solved=rng.uniform(10, 20), first=rng.uniform(5, 15))
    return kinds


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crawler of a million sites, or a service with random types, would fill the memory."""
    monkeypatch.setattr("ezcaptcha_async._timing.kinds._MOST_SITES", 200)
    kinds = Kinds()
    for number in range(300):
        kind = Kind(f"service-{number}", f"type-{number}", f"{number}.example.com")
        kinds.learn(kind, 0.0, 10.0, ready=True)
    saved = kinds.to_dict()
    assert len(saved["sites"]) == len(kinds.sites) == 200
    assert len(saved["types"]) == 64
    assert len(saved["services"]) == 16
    assert kind in kinds.sites


def test_what_is_used_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The busiest site of all would be forgotten because it was the first."""
    monkeypatch.setattr("ezcaptcha_async._timing.kinds._MOST_SITES", 100)
    kinds = Kinds()
    for number in range(150):
        kinds.learn(KIND, 0.0, 10.0, ready=True)
        kinds.learn(Kind("s", f"{number}", f"{number}"), 0.0, 10.0, ready=True)
    assert kinds.sites[KIND].tasks == 150
    known = kinds.known_type_of(KIND)
    assert known is not None
    assert known.tasks == 150


def test_plans_are_kept_and_bounded() -> None:
    """Each poll would cost a new plan, or a price that moves would fill the memory."""
    model = TypeModel()
    assert model.plan(0.01, 3.0, 0.5) is model.plan(-0.02, 3.0, 0.5)
    assert model.plan(0.0, 3.0, 0.5) is not model.plan(0.3, 3.0, 0.5)
    assert model.plan(0.0, 3.0, 0.5) != model.plan(0.0, 3.0, 5.0)
    for step in range(1_000):
        model.plan(0.0, 3.0, 1.0 + step)
    assert len(model._plans) <= 64


def test_plans_are_renewed_less_and_less_often() -> None:
    """Planning anew after every poll would cost a core at a few hundred polls a second."""
    model = TypeModel()
    plans = []
    for _ in range(1_000):
        model.polled()
        plans.append(model.plan(0.0, 3.0, 0.5))
    made = len({id(plan) for plan in plans})
    assert 20 < made < 80


def test_what_waits_is_planned_anew_less_and_less_often() -> None:
    """Each answer would cost a look at fifty thousand tasks that wait."""
    kinds, rng = Kinds(), Random(2)
    revised: list[bool] = []
    for _ in range(3_000):
        solved, after, age = rng.lognormvariate(2.9, 0.35), 0.0, 12.0
        while age < solved:
            revised.append(kinds.learn(KIND, after, age, ready=False))
            after, age = age, age + 4.0
        revised.append(kinds.learn(KIND, after, age, ready=True))
    assert sum(revised[:10]) >= 1
    assert 3 <= sum(revised[:200]) <= 15
    assert sum(revised[200:]) <= 6


def test_what_waits_is_planned_anew_when_the_world_changes() -> None:
    """Tasks would wait by the plan of the day before until each of them was polled."""
    kinds = taught(400)
    before = [kinds.learn(KIND, 0.0, 15.0, ready=number % 2 == 0) for number in range(100)]
    after = [kinds.learn(KIND, 0.0, 3.0, ready=True) for _ in range(200)]
    assert sum(after) >= 2 > sum(before)


def test_a_refuted_estimate_is_renewed_at_once() -> None:
    """A type that was known for weeks would be polled by what it was for an hour more."""
    model, rng = TypeModel(), Random(5)
    for _ in range(300):
        after, age, solved = 0.0, 12.0, rng.uniform(14, 22)
        while age < solved:
            model.polled(refutes=refutes(model.times.learn(after, age, ready=False)))
            after, age = age, age + 3.0
        model.polled(refutes=refutes(model.times.learn(after, age, ready=True)))
    assert model.times.survival_at(12.0) > 0.9
    renewed = [
        model.polled(refutes=refutes(model.times.learn(0.0, 3.0, ready=True))) for _ in range(2)
    ]
    assert renewed == [False, True]
    assert model.times.survival_at(12.0) < 0.4


def test_few_of_many_are_scouts_until_much_is_known() -> None:
    """All would poll for nothing, or all wait for what one poll could have told."""
    model = TypeModel()
    places = [place for place in range(1_000) if model.scouts(place)]
    assert places[0] == 4, "each of fewer would cost more than it tells"
    assert 2 <= sum(place < 100 for place in places) <= 5
    assert 12 <= len(places) <= 16
    for _ in range(25):
        model.times.learn(0.0, 12.0, ready=True)
    model.refresh()
    watches = [place for place in range(1_000) if model.scouts(place)]
    assert watches[0] == 15, "of what is known well, few"
    assert len(watches) == 20


def test_one_task_that_is_ready_far_too_early_has_others_asked() -> None:
    """Twenty would wait for 18 s for what a known type does in 3 s since today."""
    kinds = Kinds()
    model = kinds.type_of(KIND)
    for _ in range(200):
        kinds.learn(KIND, 0.0, 15.0, ready=False)
        kinds.learn(KIND, 15.0, 18.0, ready=True)
    model.refresh()
    assert sum(map(model.scouts, range(20))) == 1
    assert kinds.learn(KIND, 0.0, 3.0, ready=True), "what waits is planned anew"
    assert sum(map(model.scouts, range(20))) == 7
    assert sum(map(model.scouts, range(10_000))) < 500
    for _ in range(5):
        assert not kinds.learn(KIND, 0.0, 3.0, ready=False)
    assert sum(map(model.scouts, range(20))) == 1, "it was an odd one"
    assert not kinds.learn(KIND, 0.0, 3.0, ready=True), "not again and again among thousands"
    kinds.learn(KIND, 0.0, 3.0, ready=True)
    assert not model.times.in_doubt, "it is dropped"
    assert model.times.survival_at(12.0) < 0.5


def test_a_slow_site_is_told_from_its_type() -> None:
    """Its tasks would be polled as early as those of all others."""
    kinds, rng = Kinds(), Random(3)
    slow = KIND._replace(host="slow.example.com")
    for number in range(900):
        usual = rng.uniform(9, 12)
        for kind, factor in ((KIND, 1.0), (slow, 2.0)):
            learn_from(kinds, kind, solved=factor * usual, first=factor * 8 + number % 5)
    assert 0.4 < kinds.log_scale(slow) - kinds.log_scale(KIND) < 1.0


def test_a_bad_hour_is_understood_for_sites_that_were_not_asked() -> None:
    """Each of a thousand sites would have to find out for itself that all is slower."""
    kinds, rng = Kinds(), Random(4)
    for _ in range(300):
        learn_from(kinds, KIND, solved=rng.uniform(9, 12), first=rng.uniform(7, 10))
    unseen = KIND._replace(host="unseen.example.com")

    def median() -> float:
        return kinds.type_of(unseen).times.age_at(0.5) * exp(kinds.log_scale(unseen))

    before = median()
    for _ in range(60):
        learn_from(kinds, KIND, solved=rng.uniform(18, 24), first=rng.uniform(7, 10))
    assert median() > 1.2 * before


def test_looking_remembers_nothing() -> None:
    """A display that asks for estimates would push out what is in use."""
    kinds = Kinds()
    assert kinds.known_type_of(KIND) is None
    assert kinds.log_scale(KIND) == 0.0
    assert not kinds.sites
    kinds.type_of(KIND)
    assert kinds.known_type_of(KIND) is None


def test_written_down_and_read_again() -> None:
    """A restarted scraper would start cold, or from something else."""
    kinds = taught()
    saved = json.loads(json.dumps(kinds.to_dict()))
    again = Kinds.from_dict(saved)
    assert again.to_dict() == saved
    assert list(again.sites) == list(kinds.sites)
    assert again.log_scale(KIND) == pytest.approx(kinds.log_scale(KIND), abs=1e-3)
    model, other = kinds.known_type_of(KIND), again.known_type_of(KIND)
    assert model is not None
    assert other is not None
    model.refresh()
    assert other.tasks == model.tasks
    assert other.times.age_at(0.5) == pytest.approx(model.times.age_at(0.5), rel=0.01)


def test_long_names_can_be_read_again() -> None:
    """One task of a long type, or of an odd page, would cost all that was ever learned."""
    kinds = taught()
    learn_from(kinds, Kind("ezcaptcha", "T" * 400, "h" * 400), solved=12.0, first=10.0)
    assert list(Kinds.from_dict(kinds.to_dict()).sites) == list(kinds.sites)


def test_it_learns_on_after_it_was_read() -> None:
    """What was learned before a restart would be frozen."""
    kinds = Kinds.from_dict(taught().to_dict())
    learn_from(kinds, KIND, solved=12.0, first=10.0)
    assert kinds.sites[KIND].tasks == 1


@pytest.mark.parametrize(
    "path",
    [
        *(("services", 0, 1), ("types", 0, 2), ("types", 0, 3, 7), ("types", 0, 4, 0)),
        *(("sites", 0, place) for place in (3, 4, 5, 6)),
    ],
    ids=str,
)
def test_a_damaged_number_is_refused(path: tuple[Any, ...]) -> None:
    """One NaN from a disk error would spread into every plan."""
    saved = json.loads(json.dumps(taught().to_dict()))
    *way, last = path
    part = saved
    for step in way:
        part = part[step]
    least = -1.7 if path in {("services", 0, 1), ("sites", 0, 6)} else -1
    for part[last] in (nan, inf, least, 10**400, "1", None, True, [1], 2e12):
        with pytest.raises(ConfigurationError, match="does not have the form"):
            Kinds.from_dict(saved)


@pytest.mark.parametrize(
    "saved",
    [
        *(None, [], "text", {}, {"version": 1}),
        {"services": {}, "types": [], "sites": []},
        {"services": [["a"]], "types": [], "sites": []},
        {"services": [[1, 0]], "types": [], "sites": []},
        {"services": [], "types": [["s", "t", 1, [0], [0]]], "sites": []},
        {"services": [], "types": [["s", "t", 1, None, None]], "sites": []},
        {"services": [], "types": [], "sites": [["s", "t", "h", 1, 1, 0]]},
        {"services": [], "types": [], "sites": [["s", "t", None, 1, 1, 0, 0]]},
        {"services": [], "types": [], "sites": 5},
    ],
    ids=repr,
)
def test_another_form_is_refused(saved: object) -> None:
    """A file of another program would be taken for knowledge."""
    with pytest.raises(ConfigurationError, match="does not have the form"):
        Kinds.from_dict(saved)
    if isinstance(saved, dict):
        for version in (0, 2, "1", None):
            with pytest.raises(ConfigurationError, match="another version"):
                Kinds.from_dict({**saved, "version": version})


def test_too_much_is_cut() -> None:
    """A file that was blown up would fill the memory."""
    saved = taught().to_dict()
    saved["sites"] = [["s", "t", str(number), 1, 2, 0.5, 0.1] for number in range(6_000)]
    saved["types"] = [["s", str(number), 1, [1] * BINS, [0] * BINS] for number in range(100)]
    saved["services"] = [[str(number), 0.5] for number in range(100)]
    kinds = Kinds.from_dict(saved)
    assert len(kinds.sites) == 4_096
    assert list(kinds.sites)[-1].host == "5999"
    assert len(json.dumps(kinds.to_dict())) < 2_000_000
    assert len(kinds.to_dict()["types"]) == 64
    assert len(kinds.to_dict()["services"]) == 16


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=6,
)


@given(json_values, json_values, json_values)
def test_any_json_is_read_or_refused(services: object, types: object, sites: object) -> None:
    """A strange file would stop a pool from opening."""
    saved = {"version": 1, "services": services, "types": types, "sites": sites}
    try:
        kinds = Kinds.from_dict(saved)
    except ConfigurationError:
        return
    kinds.learn(KIND, 0.0, 10.0, ready=True)


def test_doubts_let_all_be_planned_anew_only_now_and_then() -> None:
    """In a burst of thousands there are odd ones all the time: each would cost a pass over all."""
    model = TypeModel()
    passes = sum(model.polled(doubted=True, refutes=turn % 50 == 0) for turn in range(10_000))
    assert 10 < passes < 100


def test_a_burst_does_not_move_what_stretches_a_type() -> None:
    """Its first answers come at one age: by the next ones all would be planned for another world.

    They are right for the type, and are learned of it; nothing is slower or faster than before.
    """
    kind = KIND._replace(host="0.example.com")
    moved = []
    for crowd in (0, 1_000):
        kinds = taught(400)
        kinds.type_of(kind).scouts(crowd)
        before = kinds.log_scale(kind)
        for number in range(200):
            kinds.learn(kind, 0.0, 14.0, ready=number % 4 != 0)
        moved.append(abs(kinds.log_scale(kind) - before))
    assert moved[1] < moved[0] / 4, moved
