"""Forecasts of what is left of a study, by value."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from sweeper.ledger.records import Event, Kind, Stage, Status
from sweeper.search import confirmation, details, forecast
from sweeper.search.arm import Arm
from sweeper.search.promotion import Promotion
from sweeper.search.stopping import Rungs
from sweeper.search.study import Search
from sweeper.study.spec import ConfirmSpec, StudySpec
from tests.test_search import search_of, study
from tests.virtual_clock import VirtualClock


def epoch(trial: str, number: int, train_s: float, **columns: Any) -> Event:
    """An epoch row of a worker."""
    arm, _, _ = trial.rpartition("-")
    return Event(kind=Kind.EPOCH, trial=trial, arm=arm, epoch=number, train_s=train_s, status=Status.RUNNING, **columns)


def told(*events: Event, **given: Any) -> forecast.Pace:
    pace = forecast.Pace(**given)
    for event in events:
        pace.follow(event, 0.0)
    return pace


@pytest.mark.parametrize(("before", "share"), [(0, 1.0), (1, 1 / 2), (2, 4 / 9), (5, 7 / 18), (1e9, 1 / 3)])
def test_of_trials_that_are_alike_a_share_goes_on(before: float, share: float) -> None:
    assert forecast.passing(Rungs(1, 3, 9), before) == pytest.approx(share)


@pytest.mark.parametrize(("before", "share"), [(0, 1.0), (1, 1 / 2), (2, 1 / 3), (3, 1 / 4), (4, 2 / 5), (7, 3 / 8)])
def test_where_costs_count_the_share_is_of_whole_places(before: int, share: float) -> None:
    assert forecast.passing(Rungs(1, 3, 9), before, weighs_costs=True) == pytest.approx(share)


@pytest.mark.parametrize("costs", [(), (1.0,)])
@pytest.mark.parametrize("before", [1, 2, 5, 11])
def test_the_rule_lets_that_share_pass(before: int, costs: tuple[float, ...]) -> None:
    chance, passed = random.Random(0), 0
    for _ in range(2000):
        rungs = Rungs(1, 3, 9)
        for number in range(before):
            rungs.record(str(number), 1, chance.random(), costs)
        passed += not rungs.stops(1, chance.random(), costs)
    assert passed / 2000 == pytest.approx(forecast.passing(rungs, before, weighs_costs=bool(costs)), abs=0.04)


def test_epochs_to_come_under_early_stopping() -> None:
    arm = Arm.of(study(sampler="random"))  # rungs at 1 and 3 of 9 epochs
    assert forecast.epochs_to_come(arm, 9, 0) == 0
    assert forecast.epochs_to_come(arm, 9, 1) == 9  # nobody was there before
    assert forecast.epochs_to_come(arm, 9, 2) == 9 + (1 + 2 / 2 + 6 / 4)


def test_trials_that_passed_so_far_count_beside_the_rule() -> None:
    search = search_of(study(arms=1, trials=3, sampler="random"))
    VirtualClock(search, 1, lambda trial, epoch: float(trial[-1]), lambda trial: 1.0).run()
    arm = search.arms["arm0"]  # each better than the one before: all went on to the end
    assert [trial.epoch for trial in arm.trials] == [9, 9, 9]
    shares = [(2 + 6 * share) / 8 for share in (forecast.passing(arm.rungs, 3),)] * 2
    assert forecast.epochs_to_come(arm, 9, 1) == pytest.approx(1 + 2 * shares[0] + 6 * shares[0] * shares[1])


def test_epochs_under_promotion() -> None:
    search = search_of(study(arms=1, trials=9, sampler="random", rule="promote"))
    assert isinstance(search.arms["arm0"].rungs, Promotion)
    assert forecast.epochs_left(search) == 9 * 1 + 3 * 2 + 1 * 6
    clock = VirtualClock(search, 1, lambda trial, epoch: random.Random(trial).random(), lambda trial: 1.0)
    clock.run(max_events=6)
    assert 0 < forecast.epochs_left(search) < 21
    clock.run()
    assert forecast.epochs_left(search) == 0


def test_without_early_stopping_every_epoch_is_left() -> None:
    search = search_of(study(arms=2, trials=8, rule="none"))
    assert forecast.epochs_left(search) == 8 * 9
    clock = VirtualClock(search, 2, lambda trial, epoch: 0.5, lambda trial: 1.0)
    clock.run(max_events=1 + 2 + 5)
    assert forecast.epochs_left(search) == 8 * 9 - 5


def test_an_epoch_takes_what_the_trial_or_its_arm_or_any_arm_took() -> None:
    rows = [epoch("a-00000", 1, 9.0), *(epoch("a-00000", number, 2.0) for number in (2, 3)), epoch("a-00001", 1, 4.0)]
    pace = told(*rows, epoch("b-00000", 1, 1.0, evaluate_s=0.5, checkpoint_s=0.25, wait_s=0.25))
    assert pace.epoch_s("a", "a-00000") == 2
    assert pace.epoch_s("a", "a-00007") == pace.epoch_s("a") == 3
    assert pace.epoch_s("b") == 2
    assert pace.epoch_s("c") == 2.5
    assert told().epoch_s("a") is None
    assert pace.knows(["a", "b"])
    assert not pace.knows(["a", "c"])


def test_the_first_start_of_a_worker_tells_little_of_later_ones() -> None:
    first = [epoch(f"{arm}-00000", 1, 1.0, import_s=5.0, build_s=seconds) for arm, seconds in (("a", 8.0), ("b", 4.0))]
    assert [told(*first).start_s(arm) for arm in "abc"] == [4, 2, 3]  # half
    assert told(*first).enter_s == (13 + 9) / 2
    pace = told(*first, epoch("a-00001", 1, 1.0, build_s=1.5, wait_s=0.5))
    assert [pace.start_s(arm) for arm in "abc"] == [2, 1, 1.5]  # a quarter
    assert told().start_s("a") == 0


def test_what_is_left_ends_when_the_last_worker_is_free() -> None:
    search = search_of(study(arms=1, trials=3, epochs=2, rule="none"))
    pace = told(epoch("arm0-00000", 1, 10.0, build_s=1.0), workers=2)
    left = forecast.left(search, pace, now=0.0)
    assert left == forecast.Left(search_s=2 * (1 + 2 * 10))  # three trials on two workers
    assert forecast.left(search, told(), now=0.0) is None


def test_what_runs_has_done_a_part_of_its_epoch() -> None:
    search = search_of(study(arms=1, trials=1, epochs=3, rule="none"))
    event = search.propose()
    assert event is not None
    search.apply(event)
    row = search.judge(epoch("arm0-00000", 1, 10.0, val_accuracy=0.5))
    search.apply(row)
    pace = told(row)
    assert [getattr(forecast.left(search, pace, now=now), "total_s", None) for now in (0.0, 4.0, 60.0)] == [20, 16, 10]


def test_an_event_says_how_many_workers_there_are() -> None:
    pace = told(Event(kind=Kind.DRIVER_STARTED, detail=json.dumps({"workers": 3, "ray_s": 7.5})))
    assert (pace.workers, pace.ready_s) == (3, 7.5)
    pace.follow(Event(kind=Kind.DRIVER_STARTED, detail=json.dumps({"host": "one that times networks"})), 0.0)
    assert (pace.workers, pace.ready_s) == (3, 7.5)


def finished(spec: StudySpec) -> tuple[Search, list[Event]]:
    clock = VirtualClock(search_of(spec), 1, lambda trial, epoch: 0.5, lambda trial: 1.0)
    return clock.search, clock.run()


def test_confirmation_is_included_once() -> None:
    spec = study(arms=2, trials=2, epochs=4, rule="none")
    search, _ = finished(spec)
    asked = ConfirmSpec(seeds=3)
    first = epoch("arm0-00000", 1, 10.0, import_s=6.0, build_s=4.0)
    pace = told(first, epoch("arm1-00000", 1, 20.0, build_s=1.0), workers=1, ready_s=5.0)
    starts = [2.0, 1.0]  # of arm0 half of its first one
    left = forecast.left(search, pace, now=0.0, confirm=asked)
    assert left is not None
    assert left.search_s == 0
    # A worker, its framework, three seeds of each arm, each program once, two networks timed.
    assert left.confirm_s == pytest.approx(5 + 10 + 3 * 4 * (10 + 20) + sum(starts) + 2 * forecast.TIMING_S)
    search.apply(details.planned_event(confirmation.plan(search, per_arm=1, num_seeds=3)))
    assert all(trial.stage is Stage.CONFIRM for trial in search.planned)
    planned = forecast.left(search, pace, now=0.0, confirm=asked)
    assert planned == forecast.Left(search_s=pytest.approx(3 * 4 * (10 + 20) + 3 * sum(starts)))


def test_lengthened_trials_have_their_new_epochs_left() -> None:
    from tests import test_extension as extending

    spec = extending.study(rule="none")
    driven = extending.clock(spec)
    driven.run()
    assert forecast.epochs_left(driven.search) == 0
    planned = extending.extend(driven, extending.grown(spec, max_epochs=27), repeats_decayed=True)
    assert planned.lengthened
    assert planned.repeated
    assert forecast.epochs_left(driven.search) == 18 * len(planned.lengthened) + 27 * len(planned.repeated)
