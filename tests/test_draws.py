"""What an arm draws: no configuration twice, and another one for each that its network refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from sweeper.ledger.records import Event, Kind, Reason, Status
from sweeper.search import extension
from sweeper.search.arm import MOST_REFUSED
from sweeper.search.distinct import key_of
from sweeper.search.sampler import SAMPLERS
from sweeper.search.study import Search
from sweeper.study.grid import num_configurations
from sweeper.study.space import Choice, Configuration, Float, Int, Space
from sweeper.study.spec import StudySpec
from tests.virtual_clock import VirtualClock

FLAG = Space(architecture="cnn", model={"skip": Choice(True, False)})
FEW = Space(
    architecture="cnn",
    model={
        "kind": Choice("plain", "gated", "wide"),
        "gates": Int(low=1, high=3, default=1).when(kind="gated"),
        "is_shared": Choice(True, False).when(kind=("gated", "wide")),
        "depth": Choice(1, 2),
    },
)
"""2 plain ones, 3 x 2 x 2 gated ones, 2 x 2 wide ones."""
SOME_REAL = Space(
    architecture="cnn", model={"kind": Choice("a", "b", "c", "d"), "rate": Float(low=0.0, high=0.5, default=0.1).when(kind="d")}
)
MANY = Space(
    architecture="cnn",
    model={"size": Choice(1, 2, 4, 8)},
    training={"learning_rate": Float(low=1e-4, high=1e-1, log=True, default=1e-3)},
)


def study(trials: int, sampler: str = "random", repeats: bool | None = False, **search: Any) -> StudySpec:
    return StudySpec.model_validate(
        {
            "name": "test",
            "dataset": {"name": "digits"},
            "arms": {"arm": {"architecture": "cnn", "space": "cnn"}},
            "budget": {"trials": trials, "max_epochs": 2},
            "search": {"sampler": sampler, "repeats": repeats, **search},
            "stopping": {"rule": "none"},
        }
    )


def clock(spec: StudySpec, space: Space, refuses: Callable[[Configuration], bool] = lambda one: False) -> VirtualClock:
    search = Search(spec, dict.fromkeys(spec.arms, space))
    return VirtualClock(search, 1, lambda trial, epoch: int(trial[-2:]) / 100, lambda trial: 1.0, refuses=refuses)


def again(before: VirtualClock, num_events: int) -> VirtualClock:
    """A driver that takes over after so many events."""
    made = clock(before.search.spec, before.search.spaces["arm"], before.refuses)
    made.log = before.log[:num_events]
    made.search.fold(made.log)
    made.record(Event(kind=Kind.DRIVER_STARTED))
    return made


def given(search: Search) -> list[Configuration]:
    return [trial.configuration for trial in search.trials.values()]


# ---------------------------------------------------------------------------------------------------------------- repeats


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("space", "count"), [(FLAG, 2), (FEW, 18)])
def test_an_arm_ends_when_it_was_given_all_there_is(sampler: str, space: Space, count: int) -> None:
    assert num_configurations(space, {}, None) == count
    driven = clock(study(24, sampler), space)
    driven.run()
    assert driven.search.is_finished
    assert driven.search.num_left == 0
    assert len({key_of(one) for one in given(driven.search)}) == len(driven.search.trials) == count
    place, advice = ("grid", "Raise search.grid_points, fix") if sampler == "grid" else ("space", "Fix")
    assert driven.search.why_early("arm") == (
        f"arm 'arm' ends after {count} of 24 trials: its {place} has {count} configurations, its default one included. "
        f"{advice} fewer knobs, or train them again with other seeds (search.repeats: true)"
    )
    assert clock(study(count, sampler), space).search.why_early("arm") == ""


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc"])
def test_where_any_number_is_left_the_budget_is_spent_and_nothing_is_twice(sampler: str) -> None:
    driven = clock(study(40, sampler), SOME_REAL)
    driven.run()
    assert len({key_of(one) for one in given(driven.search)}) == len(driven.search.trials) == 40
    assert driven.search.why_early("arm") == ""


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("repeats", [True, None])
def test_configurations_repeat_where_that_is_asked_for_and_in_older_studies(sampler: str, repeats: bool | None) -> None:
    driven = clock(study(6, sampler, repeats), FLAG)
    driven.run()
    assert len({trial.seed for trial in driven.search.trials.values()}) == len(driven.search.trials) == 6
    assert len({key_of(one) for one in given(driven.search)}) == 2
    assert all(event.detail is None for event in driven.log), "an older study gets no event that it would not have had"


def test_a_study_without_an_end_by_itself_may_be_allowed_to_repeat() -> None:
    spec = study(6)
    driven = clock(spec, FLAG)
    driven.run()
    wanted = spec.model_copy(update={"search": spec.search.model_copy(update={"repeats": True})})
    assert extension.refusals(spec, wanted) == []
    assert extension.refusals(wanted, spec) == ["search.repeats: True -> False"]
    planned = extension.plan(driven.search, wanted)
    assert planned is not None
    assert extension.words(spec, planned) == "extending study 'test': configurations may repeat"
    for event in extension.events(driven.search, planned):
        driven.record(event)
    assert not driven.search.is_finished
    driven.run()
    assert len(driven.search.trials) == 6
    assert Search(spec, {}).fold(driven.log).is_finished


def test_numbers_that_no_knob_reaches_are_not_counted() -> None:
    assert num_configurations(SOME_REAL, {}, None) is None
    assert num_configurations(SOME_REAL, {"kind": "a"}, None) == 1
    assert num_configurations(SOME_REAL, {"kind": "d"}, None) is None
    assert num_configurations(SOME_REAL, {"rate": 0.2}, None) == 4
    assert num_configurations(Space(architecture="cnn", model={"n": Int(low=1, high=10**9, default=1)}), {}, None) is None


# ----------------------------------------------------------------------------------------------------------------- refusals


def is_large(configuration: Configuration) -> bool:
    return configuration.get("size") in (4, 8)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_draw_that_its_network_refuses_costs_no_trial(sampler: str) -> None:
    driven = clock(study(8, sampler, **({"grid_points": 5} if sampler == "grid" else {})), MANY, is_large)
    driven.run()
    trials = list(driven.search.trials.values())
    refused = [trial for trial in trials if trial.reason is Reason.INFEASIBLE]
    assert sum(trial.status is Status.COMPLETED for trial in trials) == 8
    assert len(trials) == 8 + len(refused) > 8
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert driven.search.is_finished and driven.search.why_early("arm") == ""


def test_a_refused_draw_was_a_trial_of_older_studies() -> None:
    driven = clock(study(8, repeats=None), MANY, is_large)
    driven.run()
    assert len(driven.search.trials) == 8
    assert driven.search.arms["arm"].refused > 0


def test_an_arm_ends_when_it_only_draws_what_its_network_refuses() -> None:
    driven = clock(study(8), MANY, lambda one: one["learning_rate"] != 1e-3)
    driven.run()
    assert len(driven.search.trials) == 1 + MOST_REFUSED
    assert driven.search.is_finished
    assert driven.search.why_early("arm") == (
        f"arm 'arm' ends after 1 of 8 trials: its network refused {MOST_REFUSED} draws in a row. Fix the knobs that do not "
        "fit the images or a constraint, or choose another size of images"
    )
    wanted = driven.search.spec.model_copy(update={"budget": driven.search.spec.budget.model_copy(update={"trials": 9})})
    planned = extension.plan(driven.search, wanted)
    assert planned is not None
    for event in extension.events(driven.search, planned):
        driven.record(event)
    driven.refuses = lambda one: False
    driven.run()
    assert sum(trial.status is Status.COMPLETED for trial in driven.search.trials.values()) == 9, "more trials are a new try"


def test_of_a_small_space_the_refused_ones_are_used_up_too() -> None:
    driven = clock(study(8), Space(architecture="cnn", model={"size": Choice(1, 2, 4, 8)}), is_large)
    driven.run()
    assert driven.search.is_finished
    assert driven.search.why_early("arm").startswith("arm 'arm' ends after 2 of 8 trials: its space has 4 configurations")


# --------------------------------------------------------------------------------------------------------------------- folds


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("space", [FEW, Space(architecture="cnn", model={**MANY.model, "depth": Choice(1, 2, 3)})])
def test_a_search_that_was_cut_draws_what_it_would_have_drawn(sampler: str, space: Space) -> None:
    whole = clock(study(10, sampler), space, is_large)
    whole.run()
    suggested = [event for event in whole.log if event.kind is Kind.SUGGESTED]
    for cut in range(1, len(whole.log), 3):
        resumed = again(whole, cut)
        resumed.run()
        # An attempt that was cut is suggested a second time.
        assert [event for event in resumed.log if event.kind is Kind.SUGGESTED and event.attempt == 1] == suggested
        own, uncut = resumed.search.arms["arm"], whole.search.arms["arm"]
        assert (own.begun, own.refused, own.known) == (uncut.begun, uncut.refused, uncut.known)
        folded = Search(whole.search.spec, {}).fold(resumed.log)
        assert folded.is_finished
        assert folded.why_early("arm") == whole.search.why_early("arm")


def test_a_configuration_whose_part_of_the_ledger_is_lost_is_drawn_again() -> None:
    whole = clock(study(24), FEW)
    whole.run()
    lost = [event for event in whole.log if event.trial != "arm-00005"]
    resumed = clock(study(24), FEW)
    resumed.search.fold(lost)
    resumed.log = lost
    assert not resumed.search.is_finished
    resumed.run()
    assert dataclasses.asdict(resumed.search.trials["arm-00005"]) == dataclasses.asdict(whole.search.trials["arm-00005"])
