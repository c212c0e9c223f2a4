"""Repetitions of trials with other seeds: paired, never stopped, apart from the search, and the same live and folded."""

from __future__ import annotations

import json

import pytest

from sweeper.errors import InputError, UnknownNameError
from sweeper.ledger.records import Event, Kind, Reason, Stage, Status
from sweeper.ledger.tables import tables
from sweeper.search import details, repetition
from sweeper.search.study import Search
from tests.test_search import curve, search_of, seconds, study
from tests.virtual_clock import VirtualClock, epoch_event


def searched(trials: int = 8, **options: int) -> VirtualClock:
    """A search run to its end."""
    clock = VirtualClock(search_of(study(trials=trials, **options)), 2, curve(0), seconds(0))
    clock.run()
    return clock


def best(search: Search) -> list[str]:
    """The best completed trial of each arm."""
    done = [trial for trial in search.of_stage(Stage.SEARCH) if trial.status is Status.COMPLETED]
    return [
        max((trial for trial in done if trial.arm == arm), key=lambda trial: trial.scores[-1]).trial for arm in search.spec.arms
    ]


def test_trials_are_repeated_with_paired_seeds() -> None:
    clock = searched()
    parents = best(clock.search)
    planned = repetition.plan(clock.search, parents, 2)
    assert [(one.parent, one.seed) for one in planned] == [(parent, seed) for seed in (1, 2) for parent in parents]
    assert all(one.trial == f"{one.parent}-s{one.seed}" for one in planned)
    assert all(one.configuration == clock.search.trials[one.parent].configuration for one in planned)
    assert details.repetitions_in(details.planned_event(planned)) == planned


def test_defaults_and_named_trials() -> None:
    search = searched().search
    assert [one.parent for one in repetition.plan(search, ["defaults"], 1)] == ["arm0-00000", "arm1-00000"]
    assert [one.trial for one in repetition.plan(search, ["arm1-00002", "arm1-00000", "arm1-00002"], 1)] == [
        "arm1-00002-s1",
        "arm1-00000-s1",
    ]


def test_what_cannot_be_repeated_is_refused() -> None:
    search = searched().search
    with pytest.raises(UnknownNameError, match=r"unknown trial 'arm1-0002'\. Did you mean 'arm1-0000\d'"):
        repetition.plan(search, ["arm1-0002"], 1)
    unfinished = VirtualClock(search_of(study()), 2, curve(0), seconds(0))
    unfinished.run(max_events=9)
    with pytest.raises(InputError, match=r"has \d trials of its search left.*sweeper resume"):
        repetition.plan(unfinished.search, [], 1)
    failed = search_of(study(arms=1, trials=1))
    failed.apply(failed.propose())  # type: ignore[arg-type]
    failed.apply(failed.judge(Event(kind=Kind.ATTEMPT_ENDED, trial="arm0-00000", reason=Reason.EXCEPTION, attempt=1)))
    assert len(repetition.plan(failed, ["defaults"], 2)) == 2, "a configuration that failed may be tried with other seeds"


def test_repetitions_are_trained_to_their_end_and_the_search_does_not_know_of_them() -> None:
    clock = searched()
    before = Search(clock.search.spec, clock.search.spaces).fold(clock.log)
    clock.record(details.planned_event(repetition.plan(clock.search, [*best(clock.search), "arm0-00001"], 3)))
    assert not clock.search.is_finished
    assert clock.search.is_searched
    clock.run()
    assert clock.search.is_finished
    repeated = clock.search.of_stage(Stage.ABLATION)
    assert {trial.status for trial in repeated} == {Status.COMPLETED}
    assert {trial.epoch for trial in repeated} == {clock.search.spec.budget.max_epochs}
    assert sorted({trial.seed for trial in repeated}) == [1, 2, 3]
    assert clock.search.arms == before.arms
    suggested = [event for event in clock.log if event.kind is Kind.SUGGESTED and event.stage is Stage.ABLATION]
    assert all(event.parent and json.loads(event.configuration or "") for event in suggested)


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_cut_ablation_goes_on_with_what_is_left_and_nothing_twice(cut: int) -> None:
    whole = searched(epochs=4)
    planned = details.planned_event(repetition.plan(whole.search, best(whole.search), 2))
    num_before = len(whole.log)
    whole.record(planned)
    whole.run()
    part = searched(epochs=4)
    part.record(planned)
    part.run(max_events=num_before + 1 + cut)
    again = VirtualClock(search_of(whole.search.spec).fold(part.log), 2, curve(0), seconds(0), log=list(part.log))
    assert repetition.plan(again.search, best(whole.search), 2) == [], "what is asked for already is not asked for again"
    again.record(Event(kind=Kind.DRIVER_STARTED))
    again.run()
    assert {name: trial.scores for name, trial in again.search.trials.items()} == {
        name: trial.scores for name, trial in whole.search.trials.items()
    }
    assert len(repetition.plan(again.search, best(whole.search), 5)) == 2 * 3, "more seeds are added to those there are"


def test_a_repetition_that_diverges_is_a_row() -> None:
    clock = searched(trials=2)
    clock.record(details.planned_event(repetition.plan(clock.search, ["defaults"], 1)))
    event = clock.search.propose()
    assert event is not None
    clock.record(event)
    ended = clock.search.judge(epoch_event(clock.search, "arm0-00000-s1", 1, float("nan")))
    assert (ended.status, ended.reason) == (Status.FAILED, Reason.NAN)


def test_the_table_says_what_each_repeats() -> None:
    clock = searched(trials=2, epochs=2)
    clock.record(details.planned_event(repetition.plan(clock.search, ["defaults"], 2)))
    clock.run()
    trials, epochs = tables(clock.log)
    rows = {row["trial"]: row for row in trials.to_pylist()}
    assert rows["arm1-00000-s2"]["parent"] == "arm1-00000"
    assert rows["arm1-00000-s2"]["seed"] == 2
    assert rows["arm1-00000-s2"]["stage"] == "ablation"
    assert rows["arm1-00000"]["stage"] == "search"
    assert epochs.num_rows == (2 + 4) * 2
