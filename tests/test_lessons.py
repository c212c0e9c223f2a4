"""Lessons of earlier studies: an event of a study's own, from which a sampler begins."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from sweeper.ledger.records import Event, Kind
from sweeper.search import extension
from sweeper.search.distinct import key_of
from sweeper.search.history import Finished
from sweeper.search.lessons import Source, learned_event, sources_in, within, words
from sweeper.search.sampler import SAMPLERS, RandomSampler
from sweeper.search.study import Search
from sweeper.streams import seed_of
from sweeper.study.space import Choice, Configuration, Float, Space
from sweeper.study.spec import LEARNING, StudySpec
from tests.virtual_clock import VirtualClock

SPACE = Space(
    architecture="cnn",
    model={"kind": Choice("a", "b", "c", "d")},
    training={"learning_rate": Float(low=1e-4, high=1e-1, log=True, default=1e-3)},
)
FEW = Space(architecture="cnn", model={"kind": Choice("a", "b", "c"), "depth": Choice(1, 2, 3)})


def study(sampler: str, trials: int = 12, epochs: int = 4) -> StudySpec:
    return StudySpec.model_validate(
        {
            "name": "test",
            "dataset": {"name": "digits"},
            "arms": {"arm": {"architecture": "cnn", "space": "cnn"}},
            "budget": {"trials": trials, "max_epochs": epochs},
            "search": {"sampler": sampler, "repeats": False, "learn_from": ["results/old"]},
            "stopping": {"rule": "none"},
        }
    )


def clock(spec: StudySpec, lessons: list[Finished], space: Space = SPACE) -> VirtualClock:
    search = Search(spec, dict.fromkeys(spec.arms, space))
    made = VirtualClock(search, 1, lambda trial, epoch: 0.2 * random.Random(f"{trial}/{epoch}").random(), lambda trial: 1.0)
    made.record(Event(kind=Kind.DRIVER_STARTED))
    if lessons:
        made.record(learned_event([source(lessons)]))
    return made


def source(lessons: list[Finished], arm: str = "arm") -> Source:
    return Source(folder="results/old", study="old", study_id="0" * 16, lessons={arm: lessons}, left_out=0)


def taught(kind: str, low: float, high: float, count: int = 30) -> list[Finished]:
    """Trials of a study in which one in ten, of one kind and with learning rates of one range, is far better than all others."""
    sampler = RandomSampler(SPACE, {})
    found = []
    for seed in range(count):
        one = sampler.suggest((), number=1, seed=seed)
        if is_good := seed % 10 == 0:
            one = {"kind": kind, "learning_rate": low * (high / low) ** (seed / count)}
        found.append(Finished(configuration=one, scores=(0.9 if is_good else 0.1 + seed / 1000,) * 4, is_complete=True))
    return found


def given(search: Search) -> list[Configuration]:
    return [trial.configuration for trial in search.trials.values()]


@pytest.mark.parametrize("sampler", LEARNING)
def test_a_sampler_begins_where_the_lessons_say_and_not_at_random(sampler: str) -> None:
    lessons = taught("c", 0.01, 0.03)
    driven = clock(study(sampler), lessons)
    driven.run()
    first, second, *_ = driven.search.arms["arm"].trials
    assert first.configuration == SPACE.default(), "which comes first all the same"
    own = Finished(configuration=first.configuration, scores=tuple(first.scores), is_complete=True)
    seed = seed_of(0, "arm", 1, "suggest")
    with_lessons, without = (
        SAMPLERS[sampler](SPACE, {}, 0, study(sampler)).suggest(history, number=1, seed=seed)
        for history in ([*lessons, own], [own])
    )
    assert second.configuration == with_lessons != without


@pytest.mark.parametrize("sampler", LEARNING)
def test_what_was_learned_is_in_the_ledger_so_a_search_that_was_cut_draws_what_it_would_have_drawn(sampler: str) -> None:
    whole = clock(study(sampler), taught("b", 0.001, 0.01))
    whole.run()
    for cut in (2, 9, 30):
        resumed = clock(study(sampler), [])
        resumed.log = whole.log[:cut]
        resumed.search = Search(study(sampler), dict.fromkeys(whole.search.arms, SPACE)).fold(resumed.log)
        resumed.record(Event(kind=Kind.DRIVER_STARTED))
        resumed.run()
        assert [trial.configuration for trial in resumed.search.arms["arm"].trials] == given(whole.search)
    folded = Search(study(sampler), {}).fold(whole.log)
    assert folded.arms == whole.search.arms


@pytest.mark.parametrize("sampler", LEARNING)
def test_lessons_teach_the_sampler_alone(sampler: str) -> None:
    spec = study(sampler, trials=3)
    driven = clock(spec, taught("b", 0.001, 0.01))
    assert (driven.search.num_left, driven.search.trials) == (3, {})
    driven.run()
    assert (len(driven.search.trials), driven.search.is_finished) == (3, True)
    assert len(driven.search.finished["arm"]) == 3


@pytest.mark.long
@pytest.mark.parametrize("sampler", LEARNING)
def test_a_configuration_of_a_lesson_is_trained_again_only_when_no_other_is_left(sampler: str) -> None:
    """Of nine the default one is trained first, and six are known from before."""
    grid: list[Configuration] = [{"kind": kind, "depth": depth} for kind in "abc" for depth in (1, 2, 3)]
    known = grid[:4] + grid[7:]
    lessons = [Finished(configuration=one, scores=(0.5 + place / 10,), is_complete=False) for place, one in enumerate(known)]
    driven = clock(study(sampler, trials=9), lessons, FEW)
    driven.run()
    found = given(driven.search)
    assert found[0] == grid[0] == FEW.default()
    assert {key_of(one) for one in found[1:4]} == {key_of(one) for one in grid[4:7]}
    assert {key_of(one) for one in found} == {key_of(one) for one in grid}
    assert driven.search.why_early("arm") == "", "lessons use up nothing"


@pytest.mark.parametrize("sampler", LEARNING)
def test_lessons_stay_when_the_study_is_extended(sampler: str) -> None:
    driven = clock(study(sampler, trials=4), taught("d", 0.001, 0.01))
    driven.run()
    spec = driven.search.spec
    wanted = spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": 9, "max_epochs": 6})})
    planned = extension.plan(driven.search, wanted)
    assert planned is not None
    for event in extension.events(driven.search, planned):
        driven.record(event)
    driven.run()
    assert sum(one["kind"] == "d" for one in given(driven.search)[4:]) >= 3
    assert driven.search.is_finished


def test_an_event_says_what_it_was_given_and_arms_that_are_gone_do_not_matter() -> None:
    lessons = [
        Finished(configuration={"kind": "a", "learning_rate": 0.01}, scores=(0.5, math.nan), is_complete=False),
        Finished(configuration={"kind": "b", "learning_rate": 0.02}, scores=(), is_complete=False),
    ]
    event = learned_event([source(lessons), source(lessons, "gone")])
    assert "NaN" not in (event.detail or ""), "JSON has none"
    first, _ = sources_in(event)
    assert repr(first.lessons) == repr({"arm": tuple(lessons)})
    search = Search(study("tpe"), {"arm": SPACE})
    search.apply(event)
    assert repr(search.arms["arm"].lessons) == repr(lessons)
    assert sources_in(Event(kind=Kind.LEARNED)) == []


@pytest.mark.parametrize(
    ("scores", "is_complete", "epochs", "kept", "counts_as_complete"),
    [
        ((1.0, 2.0, 3.0), True, 3, (1.0, 2.0, 3.0), True),
        ((1.0, 2.0, 3.0), True, 9, (1.0, 2.0, 3.0), True),  # a whole training of a shorter study
        ((1.0, 2.0, 3.0), True, 2, (1.0, 2.0), True),
        ((1.0, 2.0, 3.0), False, 2, (1.0, 2.0), True),  # it was stopped, but came far enough for this study
        ((1.0, 2.0), False, 3, (1.0, 2.0), False),
        ((), False, 3, (), False),
    ],
)
def test_a_lesson_counts_as_far_as_the_study_trains(
    scores: tuple[float, ...], is_complete: bool, epochs: int, kept: tuple[float, ...], counts_as_complete: bool
) -> None:
    cut = within(Finished(configuration={}, scores=scores, is_complete=is_complete), epochs)
    assert (cut.scores, cut.is_complete) == (kept, counts_as_complete)


@pytest.mark.parametrize(
    ("arms", "left_out", "said"),
    [
        ({"cnn": 1}, 0, "study 'old' (results/old) teaches arm cnn with 1 trial"),
        (
            {"cnn": 24, "vit": 2},
            1,
            "study 'old' (results/old) teaches arm cnn with 24 trials, arm vit with 2 trials; 1 trial left out, because fixed "
            "values or ranges differ",
        ),
    ],
)
def test_what_was_learned_in_words(arms: dict[str, int], left_out: int, said: str) -> None:
    facts: dict[str, Any] = {"study": "old", "folder": "results/old", "arms": arms, "left_out": left_out}
    assert words(json.loads(json.dumps(facts))) == said
