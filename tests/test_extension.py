"""Extension of a study: what may grow, what becomes of its trials, and that a fold follows."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import pytest

from sweeper.errors import InputError
from sweeper.ledger import tables
from sweeper.ledger.records import Event, Kind, Stage, Status
from sweeper.search import details, extension, repetition
from sweeper.search.study import Search
from sweeper.study.space import Choice, Float, Space
from sweeper.study.spec import ArmSpec, StudySpec
from tests.virtual_clock import VirtualClock, epoch_event

SPACE = Space(
    architecture="cnn",
    model={"dropout": Float(low=0.0, high=0.5, default=0.2)},
    training={"schedule": Choice("constant", "cosine", default="constant")},
)


def study(trials: int = 8, epochs: int = 9, arms: int = 2, sampler: str = "random", rule: str = "asha") -> StudySpec:
    return StudySpec.model_validate(
        {
            "name": "test",
            "dataset": {"name": "digits"},
            "arms": {f"arm{index}": {"architecture": "cnn", "space": "cnn"} for index in range(arms)},
            "budget": {"trials": trials, "max_epochs": epochs},
            "search": {"sampler": sampler},
            "stopping": {"rule": rule, "grace_epochs": 1, "reduction_factor": 3},
        }
    )


def grown(spec: StudySpec, **budget: int) -> StudySpec:
    return spec.model_copy(update={"budget": spec.budget.model_copy(update=budget)})


def curve(trial: str, epoch: int) -> float:
    """Better by number, better with time."""
    return (int(trial.split("-")[1]) + 1) / 100 * (1 - math.exp(-epoch / 5))


def clock(spec: StudySpec, slots: int = 2) -> VirtualClock:
    return VirtualClock(Search(spec, dict.fromkeys(spec.arms, SPACE)), slots, curve, lambda trial: 1.0)


def extend(driven: VirtualClock, wanted: StudySpec, **options: Any) -> extension.Extension:
    planned = extension.plan(driven.search, wanted, **options)
    assert planned is not None
    for event in extension.events(driven.search, planned):
        driven.record(event)
    return planned


def state(search: Search) -> tuple[Any, ...]:
    return (
        search.spec,
        search.trials,
        search.finished,
        {arm: dataclasses.asdict(rungs) for arm, rungs in search.rungs.items()},
        search.arms,
        list(search._waiting),
        search.planned,
    )


def refold(driven: VirtualClock, spec: StudySpec) -> Search:
    return Search(spec, dict.fromkeys(spec.arms, SPACE)).fold(driven.log)


def test_more_trials_go_on_as_if_they_had_been_asked_for_at_once() -> None:
    whole = clock(study(trials=12), slots=1)
    whole.run()
    first = clock(study(trials=8), slots=1)
    first.run()
    assert first.search.is_finished
    extend(first, grown(study(trials=8), trials=12))
    assert not first.search.is_finished
    first.run()
    suggested = [[(e.trial, e.configuration) for e in log if e.kind is Kind.SUGGESTED] for log in (whole.log, first.log)]
    assert suggested[0] == suggested[1]
    assert state(first.search)[1:] == state(whole.search)[1:]


@pytest.mark.parametrize(("sampler", "rule"), [("random", "asha"), ("tpe", "asha"), ("trees", "asha"), ("trees", "promote")])
def test_a_fold_follows_an_extension_and_goes_on_alike(sampler: str, rule: str) -> None:
    """With `trees`, rungs rank by fronts, also in hindsight."""
    spec = study(sampler=sampler, rule=rule)
    driven = clock(spec)
    driven.run()
    extend(driven, grown(spec, trials=10, max_epochs=27), repeats_decayed=True)
    assert state(refold(driven, spec)) == state(driven.search)
    driven.run(max_events=len(driven.log) + 25)
    again = VirtualClock(refold(driven, spec), 2, curve, lambda trial: 1.0, list(driven.log))
    assert state(again.search) == state(driven.search)
    for one in (driven, again):
        one.record(Event(kind=Kind.DRIVER_STARTED))
        one.run()
    assert again.log == driven.log
    assert driven.search.is_finished


def test_trials_with_a_constant_rate_go_on_from_where_they_were_and_others_keep_their_row() -> None:
    spec = study(rule="none")
    driven = clock(spec)
    driven.run()
    schedules = {name: trial.configuration["schedule"] for name, trial in driven.search.trials.items()}
    assert set(schedules.values()) == {"constant", "cosine"}
    planned = extend(driven, grown(spec, max_epochs=12))
    assert set(planned.lengthened) == {name for name, schedule in schedules.items() if schedule == "constant"}
    assert set(planned.kept) == {name for name, schedule in schedules.items() if schedule == "cosine"}
    before = len(driven.log)
    driven.run()
    new = driven.log[before:]
    assert {event.trial for event in new} == set(planned.lengthened)
    assert [event.attempt for event in new if event.kind is Kind.SUGGESTED] == [2] * len(planned.lengthened)
    assert sorted({event.epoch for event in new if event.epoch}) == [10, 11, 12], "nothing is trained twice"
    for name, trial in driven.search.trials.items():
        assert (trial.status, trial.epoch) == (Status.COMPLETED, 12 if schedules[name] == "constant" else 9)


def test_a_rung_at_the_old_end_lets_through_what_it_would_have_let_through() -> None:
    spec = study(trials=6, arms=1)
    spec = spec.model_copy(update={"arms": {"arm0": ArmSpec(architecture="cnn", space="cnn", fixed={"schedule": "constant"})}})
    driven = clock(spec, slots=6)
    driven.run()
    completed = [name for name, trial in driven.search.trials.items() if trial.status is Status.COMPLETED]
    stopped = [name for name, trial in driven.search.trials.items() if trial.status is Status.STOPPED]
    planned = extend(driven, grown(spec, max_epochs=27))
    assert 0 < len(planned.lengthened) < len(completed)
    assert planned.lengthened == tuple(completed[-len(planned.lengthened) :]), "the best, and curves rise with the number"
    assert set(driven.search.rungs["arm0"].recorded) == {1, 3, 9}
    assert set(driven.search.rungs["arm0"].recorded[9]) == set(completed)
    assert all(driven.search.trials[name].status is Status.STOPPED for name in stopped)


def test_decayed_trials_are_trained_anew_on_request_as_new_trials() -> None:
    spec = study(rule="none")
    driven = clock(spec)
    driven.run()
    planned = extend(driven, grown(spec, max_epochs=12), repeats_decayed=True)
    names = [one.trial for one in planned.repeated]
    assert names
    assert names == [f"{name}-e12" for name in planned.kept]
    assert not driven.search.is_searched
    driven.run()
    for name, parent in zip(names, planned.kept, strict=True):
        new, old = driven.search.trials[name], driven.search.trials[parent]
        assert (new.parent, new.stage, new.epoch, new.attempt) == (parent, Stage.SEARCH, 12, 1)
        assert (new.configuration, new.seed) == (old.configuration, old.seed)
        assert old.epoch == 9
    assert driven.search.is_finished
    assert {arm: own.begun for arm, own in driven.search.arms.items()} == {"arm0": 4, "arm1": 4}, "they are none of the budget"
    seeds = repetition.plan(driven.search, [names[0]], 1)
    assert [one.trial for one in seeds] == [f"{names[0]}-s1"]


def test_unfinished_trials_get_the_new_length_unless_their_rate_has_begun_to_decay() -> None:
    spec = study(trials=8, arms=1, rule="none")
    driven = clock(spec, slots=8)
    driven.run(max_events=40)
    driven.record(Event(kind=Kind.DRIVER_STARTED))
    planned = extend(driven, grown(spec, max_epochs=12))
    assert planned.kept == ()
    driven.run()
    for trial in driven.search.trials.values():
        is_constant = trial.configuration["schedule"] == "constant"
        assert (trial.status, trial.epoch) == (Status.COMPLETED, 12 if is_constant else 9)


def test_new_arms_get_their_share_first() -> None:
    spec = study(trials=8)
    driven = clock(spec)
    driven.run()
    wanted = grown(study(trials=8, arms=3), trials=12)
    assert extension.refusals(spec, wanted) == []
    extend(driven, wanted)
    driven.run()
    assert {trial.arm for trial in driven.search.trials.values()} == {"arm0", "arm1", "arm2"}
    assert len(driven.search.trials) == 12
    assert state(refold(driven, spec))[1] == driven.search.trials


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        (study(trials=7), r"budget\.trials: 8 -> 7 \(it can only grow\)"),
        (study(epochs=3), r"budget\.max_epochs: 9 -> 3"),
        (study(arms=1), r"arms\.arm1\.architecture: cnn -> \(absent\)"),
        (study(sampler="tpe"), r"search\.sampler: random -> tpe"),
        (study(trials=9, arms=3), r"arms of the study fewer trials than they have, because arm2 gets a share; 12 are enough"),
        (study(rule="none"), r"stopping\.rule: asha -> none"),
    ],
)
def test_what_may_not_change_is_named(wanted: StudySpec, fault: str) -> None:
    assert re.search(fault, "\n".join(extension.refusals(study(), wanted)))


def test_nothing_to_extend() -> None:
    driven = clock(study())
    driven.run()
    assert extension.plan(driven.search, study()) is None
    assert extension.plan(driven.search, study(), repeats_decayed=True) is None


def test_decayed_trials_may_be_trained_anew_later_and_asking_again_changes_nothing() -> None:
    spec = study(rule="none")
    driven = clock(spec)
    driven.run()
    longer = grown(spec, max_epochs=12)
    kept = extend(driven, longer).kept
    assert len(kept) > 1
    planned = extension.plan(driven.search, longer, repeats_decayed=True)
    assert planned is not None
    assert ([one.parent for one in planned.repeated], planned.lengthened) == ([*kept], ())
    assert extension.words(driven.search.spec, planned) == (
        f"extending study 'test'; trained anew because their learning rate decays: {len(kept)}"
    )
    extend(driven, longer, repeats_decayed=True)
    assert extension.plan(driven.search, longer, repeats_decayed=True) is None, "while they wait"
    driven.run()
    assert extension.plan(driven.search, longer, repeats_decayed=True) is None, "once they have ended"
    assert state(refold(driven, spec)) == state(driven.search)


def test_what_was_trained_anew_is_not_trained_anew_beside_its_parent() -> None:
    spec = study(rule="none")
    driven = clock(spec)
    driven.run()
    extend(driven, grown(spec, max_epochs=12), repeats_decayed=True)
    driven.run()
    planned = extend(driven, grown(spec, max_epochs=15), repeats_decayed=True)
    trained = [(one.arm, one.seed, str(one.configuration)) for one in planned.repeated]
    assert len(trained) == len(set(trained)) == len(planned.kept) > 0
    driven.run()
    assert driven.search.is_finished


def test_trials_left_count_those_trained_anew() -> None:
    spec = study(rule="none")
    driven = clock(spec)
    driven.run()
    planned = extend(driven, grown(spec, max_epochs=12), repeats_decayed=True)
    left = len(planned.lengthened) + len(planned.repeated)
    with pytest.raises(InputError, match=f"has {left} trials of its search left"):
        repetition.plan(driven.search, ["arm0-00000"], 1)
    while left:
        driven.run(max_events=len(driven.log) + 1)
        driven.record(Event(kind=Kind.DRIVER_STARTED))
        left = sum(not trial.status.is_final for trial in driven.search.trials.values()) + len(driven.search.planned)
        assert driven.search.num_left == left
    assert driven.search.is_searched


def test_what_follows_a_lost_extension_is_passed_over_and_done_again() -> None:
    spec = study(trials=8)
    driven = clock(spec)
    driven.run()
    wanted = grown(study(trials=8, arms=3), trials=12)
    extend(driven, wanted)
    driven.run()
    left = [event for event in driven.log if event.kind is not Kind.EXTENDED]
    again = VirtualClock(Search(spec, dict.fromkeys(spec.arms, SPACE)).fold(left), 2, curve, lambda trial: 1.0, left)
    assert set(again.search.trials) == {trial for trial in driven.search.trials if not trial.startswith("arm2")}
    assert again.search.is_finished
    extend(again, wanted)
    again.run()
    assert again.search.is_finished
    assert set(again.search.trials) == set(driven.search.trials)
    assert state(refold(again, spec)) == state(again.search)


def test_a_fold_needs_no_search_space_of_a_new_arm() -> None:
    spec = study(trials=8)
    driven = clock(spec)
    driven.run()
    arms = spec.arms | {"arm2": ArmSpec(architecture="cnn", space="gone")}
    extend(driven, grown(spec.model_copy(update={"arms": arms}), trials=12))
    assert Search(spec, {}).fold(driven.log).spec.arms == arms


def test_repetitions_of_one_trial_are_of_one_length() -> None:
    spec = study(rule="none")
    driven = clock(spec)
    driven.run()
    repeated = "arm0-00000"
    assert driven.search.trials[repeated].configuration["schedule"] == "constant"
    driven.record(details.planned_event(repetition.plan(driven.search, [repeated], 2)))
    driven.run()
    extend(driven, grown(spec, max_epochs=12))
    driven.run()
    assert driven.search.trials[repeated].epoch == 12
    more = repetition.plan(driven.search, [repeated, "arm1-00000"], 3)
    assert {one.trial: one.max_epochs for one in more} == {
        "arm0-00000-s3": 9,
        **{f"arm1-00000-s{seed}": driven.search.trials["arm1-00000"].epoch for seed in (1, 2, 3)},
    }


def test_tables_say_which_trials_go_on() -> None:
    spec = study(rule="none")
    driven = clock(spec)
    driven.run()
    planned = extend(driven, grown(spec, max_epochs=12))
    trials = {row["trial"]: row for row in tables.tables(driven.log)[0].to_pylist()}
    for name in planned.lengthened:
        assert (trials[name]["status"], trials[name]["max_epochs"], trials[name]["epoch"]) == ("interrupted", 12, 9)
    for name in planned.kept:
        assert (trials[name]["status"], trials[name]["max_epochs"]) == ("completed", 9)


def test_the_newest_extension_is_the_study() -> None:
    first = study()
    driven = clock(first)
    driven.run()
    assert driven.search.spec == first == Search(first, {}).fold(driven.log).spec
    extend(driven, grown(first, trials=10))
    extend(driven, grown(first, trials=10, max_epochs=27))
    assert Search(first, {}).fold(driven.log).spec == grown(first, trials=10, max_epochs=27)


def test_samplers_are_told_of_reopened_trials_once() -> None:
    spec = study(sampler="tpe", trials=24, arms=1)
    driven = clock(spec)
    driven.run()
    extend(driven, grown(spec, trials=36, max_epochs=12))
    driven.run()
    finished = driven.search.finished["arm0"]
    assert sorted(finished) == sorted(set(finished)) == sorted(driven.search.trials)


def test_rows_of_a_lengthened_trial_are_judged_by_its_new_length() -> None:
    spec = study(trials=1, arms=1, rule="none")
    driven = clock(spec)
    driven.run()
    extend(driven, grown(spec, max_epochs=11))
    proposed = driven.search.propose()
    assert proposed is not None
    assert (proposed.trial, proposed.attempt, proposed.max_epochs) == ("arm0-00000", 2, 11)
    driven.record(proposed)
    judged = driven.search.judge(epoch_event(driven.search, "arm0-00000", 10, 0.5))
    assert judged.status is Status.RUNNING


# ---------------------------------------------------------------------------------------------------- the stored study
