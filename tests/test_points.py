"""Points of an arm are its first trials behind the default one; then its sampler goes on as if there were none."""

from __future__ import annotations

from typing import Any

import pytest

from sweeper.ledger.records import Event, Kind, Reason
from sweeper.search.sampler import SAMPLERS
from sweeper.search.study import Search
from sweeper.study.space import Choice, Configuration, Float, Space
from sweeper.study.spec import StudySpec
from tests.virtual_clock import VirtualClock

SPACE = Space(
    architecture="cnn",
    model={"size": Choice(1, 2, 4, 8)},
    training={
        "optimizer": Choice("adam", "sgd"),
        "learning_rate": Float(low=1e-4, high=1e-1, log=True, default=1e-3),
        "momentum": Float(low=0.8, high=0.99, default=0.9).when(optimizer="sgd"),
    },
)
POINTS = [{"size": 4}, {"optimizer": "sgd", "learning_rate": 0.05}]
FIRST: list[Configuration] = [
    {"size": 1, "optimizer": "adam", "learning_rate": 1e-3},
    {"size": 4, "optimizer": "adam", "learning_rate": 1e-3},
    {"size": 1, "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9},
]


def study(sampler: str, points: list[dict[str, Any]] | None = POINTS, trials: int = 14, rule: str = "asha") -> StudySpec:
    arm = {"architecture": "cnn", "space": "cnn"} | ({} if points is None else {"points": points})
    return StudySpec.model_validate(
        {
            "name": "test",
            "dataset": {"name": "digits"},
            "arms": {"arm": arm},
            "budget": {"trials": trials, "max_epochs": 4},
            "search": {"sampler": sampler, "repeats": False},
            "stopping": {"rule": rule, "grace_epochs": 1, "reduction_factor": 2},
        }
    )


def clock(spec: StudySpec, **options: Any) -> VirtualClock:
    search = Search(spec, dict.fromkeys(spec.arms, SPACE))
    return VirtualClock(search, 2, lambda trial, epoch: epoch * (1 + hash_of(trial)), lambda trial: 1.0, **options)


def hash_of(trial: str) -> float:
    return int(trial[-2:]) * 7 % 11 / 11


def given(search: Search) -> list[Configuration]:
    return [search.trials[name].configuration for name in sorted(search.trials)]


@pytest.mark.parametrize("rule", ["asha", "promote"])
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_the_default_comes_first_then_the_points_also_in_a_search_that_was_cut(sampler: str, rule: str) -> None:
    spec = study(sampler, rule=rule)
    whole = clock(spec)
    whole.run()
    assert given(whole.search)[:3] == FIRST
    assert len({str(one) for one in given(whole.search)}) == 14, "and none comes again"
    for cut in (3, 12):
        resumed = clock(spec)
        resumed.log = whole.log[:cut]
        resumed.search.fold(resumed.log)
        resumed.record(Event(kind=Kind.DRIVER_STARTED))
        resumed.run()
        assert given(resumed.search)[:3] == FIRST
    assert given(Search(spec, {}).fold(whole.log)) == given(whole.search), "a fold needs no space"


def test_points_take_none_of_those_that_a_sampler_laid_out() -> None:
    without, driven = clock(study("qmc", None)), clock(study("qmc", trials=16))
    without.run()
    driven.run()
    assert given(driven.search)[3:] == given(without.search)[1:]


def test_a_point_that_its_network_refuses_costs_no_trial() -> None:
    driven = clock(study("random", trials=6), refuses=lambda one: one["size"] == 4 and one["learning_rate"] == 1e-3)
    driven.run()
    refused = [event.trial for event in driven.log if event.reason is Reason.INFEASIBLE]
    assert refused == ["arm-00001"]
    assert given(driven.search)[:3] == FIRST
    assert len(driven.search.trials) == 7
