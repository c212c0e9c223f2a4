"""The search of a Pareto front: what a candidate promises, which trials are better, and what trials cost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.ledger.records import Event, Kind
from sweeper.search import front
from sweeper.search.costs import Columns
from sweeper.search.history import Finished
from sweeper.search.promotion import Promotion
from sweeper.search.ranking import beats, best_first
from sweeper.search.stopping import Rungs
from sweeper.search.study import Search
from sweeper.search.table import Table
from sweeper.search.trees import TreesSampler
from sweeper.study.space import Choice, Configuration, Float, Space
from tests.test_search import SPACE, study
from tests.virtual_clock import VirtualClock

NOTHING: Any = np.empty((0, 0))
few = st.integers(0, 4)

# -------------------------------------------------------------------------------------------------------- the improvement


def hypervolume(values: Any, costs: Any, worst: float, most: float) -> float:
    """The area below the front, right of the costs and left of `most`, above `worst`."""
    order = np.argsort(costs)
    heights = np.maximum(np.maximum.accumulate(values[order]) - worst, 0)
    return float((heights * np.diff(np.append(costs[order], most))).sum())


def test_the_promise_is_the_area_that_the_front_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a Monte-Carlo estimate, which knows nothing of thresholds."""
    monkeypatch.setattr(front, "THRESHOLDS", 2000)
    luck = np.random.default_rng(0)
    known, worth = np.sort(luck.uniform(0, 4, 12)), np.sort(luck.normal(size=12))[luck.permutation(12)]
    known[0], known[-1] = 0.0, 4.0
    mean, spread, costs = luck.normal(0.5, 0.5, 5), luck.uniform(0.2, 1, 5), luck.uniform(0.2, 3.8, 5)
    told = front.improvement(mean, spread, costs[:, None], worth, known[:, None])
    least = np.sort(worth)[5]
    before = hypervolume(worth, known, least, 4.0)
    for place in range(5):
        drawn = luck.normal(mean[place], spread[place], 1000)
        gains = [hypervolume(np.append(worth, one), np.append(known, costs[place]), least, 4.0) for one in drawn]
        assert told[place] == pytest.approx(np.mean(gains) - before, rel=0.1, abs=0.02)


def test_without_costs_it_is_the_expected_improvement_over_the_best() -> None:
    mean, spread, worth = np.array([0.0, 1.0, 2.5]), np.array([0.5, 2.0, 0.1]), np.array([-1.0, 2.0, 0.3])
    told = front.improvement(mean, spread, np.empty((3, 0)), worth, np.empty((3, 0)))
    drawn = np.random.default_rng(0).normal(size=(200_000, 1)) * spread + mean
    assert told == pytest.approx(np.maximum(drawn - 2.0, 0).mean(axis=0), abs=0.01)


def test_of_two_costs_each_must_be_kept() -> None:
    known, worth = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0.0, 1.0])
    costs = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    told = front.improvement(np.full(4, 0.8), np.full(4, 0.1), costs, worth, known)
    assert told[1] == pytest.approx(told[2])
    assert told[0] > told[1] > told[3]


def test_a_cost_that_all_have_alike_does_not_matter() -> None:
    mean, spread, worth = np.array([0.0, 1.0, 2.5]), np.full(3, 0.5), np.array([-1.0, 2.0, 0.3])
    alone = front.improvement(mean, spread, np.empty((3, 0)), worth, np.empty((3, 0)))
    assert front.improvement(mean, spread, np.ones((3, 1)), worth, np.ones((3, 1))) == pytest.approx(alone)
    sizes = np.array([[0.0], [1.0], [2.0]])
    beside = front.improvement(mean, spread, np.hstack([sizes, np.ones((3, 1))]), worth, np.hstack([sizes, np.ones((3, 1))]))
    assert beside[2] > 0


def test_costs_of_nothing_and_unknown_ones_have_logarithms() -> None:
    told = front.logarithms([(0.0, 1.0, 5.0), (), (math.inf, math.e, 1.0)], 2)
    assert told.tolist() == [[math.log(front.LEAST), 0.0], [math.inf, math.inf], [math.inf, 1.0]]


# ------------------------------------------------------------------------------------------------------------------ ranks


@given(st.lists(st.tuples(few, few, few), max_size=12))
def test_one_beats_another_by_being_nowhere_worse_and_somewhere_better(points: list[tuple[int, ...]]) -> None:
    told = beats(np.array(points, float).reshape(-1, 3))
    for row, one in enumerate(points):
        for column, other in enumerate(points):
            assert told[row, column] == (one != other and all(a <= b for a, b in zip(one, other, strict=True)))


@given(st.lists(st.tuples(few, few), min_size=1, max_size=12))
def test_the_best_come_first_front_by_front_and_by_score_within_one(drawn: list[tuple[int, int]]) -> None:
    scores = {f"t{number}": float(score) for number, (score, _) in enumerate(drawn)}
    costs = {f"t{number}": (float(cost),) for number, (_, cost) in enumerate(drawn)}
    expected: list[str] = []
    left = dict(scores)
    while left:
        points = np.array([[-left[name], *costs[name]] for name in left])
        unbeaten = [name for name, is_beaten in zip(left, beats(points).any(axis=0), strict=True) if not is_beaten]
        expected += sorted(unbeaten, key=lambda name: -scores[name])
        left = {name: score for name, score in left.items() if name not in unbeaten}
    assert best_first(scores, costs) == expected
    assert best_first(scores, {}) == best_first(scores, dict.fromkeys(scores, (1.0,))) == sorted(scores, key=lambda n: -scores[n])


# ------------------------------------------------------------------------------------------------------------------ rungs


def test_a_small_trial_goes_on_at_a_rung_where_it_is_not_the_best() -> None:
    rungs = Rungs(1, 3, 9)
    for number in range(6):
        rungs.record(f"t{number}", 1, 0.9 - number / 100, (5e6 + number,))
    assert rungs.stops(1, 0.86, (4e6,)) is False, "none is smaller, and one front lies before no other"
    assert rungs.stops(1, 0.86, (6e6,)), "larger and worse than some"
    assert rungs.stops(1, 0.86), "by its score alone it would be stopped"


@pytest.mark.parametrize("place", range(7))
def test_at_a_rung_one_in_a_factor_may_come_before_a_trial(place: int) -> None:
    rungs = Rungs(1, 3, 9)
    for number in range(7):
        rungs.record(f"t{number}", 1, float(-number), (1e6,))
    assert rungs.stops(1, 0.5 - place, (1e6,)) == (place > 2)


def test_the_front_is_promoted_and_not_the_best_scores() -> None:
    promotion = Promotion(1, 3, 9)
    for trial, score, cost in (("large", 0.9, 9.0), ("small", 0.7, 1.0), ("second", 0.8, 9.5), ("d", 0.1, 9.0), ("e", 0.1, 9.0)):
        promotion.record(trial, 1, score, (cost,), is_complete=False)
        promotion.settle(trial, 1, is_paused=True)
    promoted = []
    promotion.record("f", 1, 0.0, (9.0,), is_complete=False)
    while (name := promotion.next_promoted(is_over=False)) is not None:
        promoted.append(name)
        promotion.settle(name, 1, is_paused=False)
    assert promoted == ["large", "small"]


# ------------------------------------------------------------------------------------------------------------------ costs


def test_costs_are_those_of_the_rows() -> None:
    goals = (("min", "parameters"), ("min", "train_s"), ("max", "train_accuracy"), ("min", "peak_memory_mb"))
    columns, costs = Columns(goals=goals), ()
    row = Event(kind=Kind.EPOCH, train_s=4.0, train_accuracy=0.75, peak_memory_mb=300.0)
    costs = columns.after(row.replace(parameters=7), costs, 1)
    assert costs == (7.0, 4.0, 0.25, 300.0)
    costs = columns.after(row.replace(train_s=1.0, train_accuracy=math.nan, peak_memory_mb=200.0), costs, 2)
    assert costs == (7.0, 2.5, 0.25, 300.0), "seconds are a mean, memory is the largest, what is not known stays"
    assert columns.after(Event(kind=Kind.EPOCH), (), 1) == (math.inf,) * 4


@pytest.mark.parametrize(("sampler", "num_costs"), [("trees", 1), ("tpe", 0), ("random", 0)])
def test_costs_count_where_the_front_is_searched(sampler: str, num_costs: int) -> None:
    search = Search(study(arms=1, trials=2, sampler=sampler, rule="none"), {"arm0": SPACE})
    VirtualClock(search, 1, lambda trial, epoch: 0.5, lambda trial: 1.0).run()
    for trial in search.trials.values():
        assert [len(costs) for costs in trial.costs] == [num_costs] * trial.epoch


# ----------------------------------------------------------------------------------------------------------------- search

WIDTHS = Space(architecture="any", model={name: Choice(0, 1, 2, 3) for name in ("a", "b", "c", "d")})
"""Each step costs the same; those of a and b help, and help less and less."""
ROWS = [{"a": n & 3, "b": n >> 2 & 3, "c": n >> 4 & 3, "d": n >> 6} for n in range(256)]


def outcome(one: Configuration) -> tuple[float, float]:
    a, b, c, d = (float(one[name]) for name in "abcd")
    return 1 - 0.5 ** (a + b), 2.0 ** (a + b + c + d)


def share_of_front(num_costs: int, seed: int, trials: int = 24) -> float:
    """The share of the best hypervolume that is found, of scores above 0.6."""
    columns = Columns(goals=(("min", "parameters"),), num_weighed=num_costs)
    sampler, table, history = TreesSampler(WIDTHS, {}, costs=columns), Table(ROWS), []
    known: set[Any] = set()
    for number in range(trials):
        scorer = None if num_costs < 0 else sampler
        chosen = table.pick(scorer, history, known, number=2 * number, seed=1000 * seed + number)
        known.add(next(key for key, place in table.place.items() if ROWS[place] == chosen))
        score, cost = outcome(chosen)
        history.append(Finished(configuration=chosen, scores=(score,), is_complete=True, costs=(cost,)))

    def area(rows: list[Configuration]) -> float:
        values, costs = np.array([outcome(one) for one in rows]).T
        return hypervolume(values, np.log(costs), 0.6, math.log(2.0**12))

    return area([dict(one.configuration) for one in history]) / area(ROWS)


def test_the_front_is_found_sooner_than_at_random() -> None:
    found, at_random = (np.mean([share_of_front(num_costs, seed) for seed in range(3)]) for num_costs in (1, -1))
    assert found > 0.92
    assert found > at_random + 0.05


def test_every_second_trial_is_for_the_best_score_and_the_others_are_for_the_front() -> None:
    """The wider the better, and the larger: the best score is at one end, the front goes from one end to the other."""
    space = Space(architecture="any", model={"width": Float(low=0.0, high=1.0, default=0.1)})
    sampler = TreesSampler(space, {}, costs=Columns(goals=(("min", "parameters"),), num_weighed=1))
    history = [
        Finished(configuration={"width": width}, scores=(width,), is_complete=True, costs=(10 ** (5 + width),))
        for width in (0.01, 0.3, 0.35, 0.4, 0.8, 0.9, 0.99)
    ]
    widths = {
        number: [float(sampler.suggest(history, number=number, seed=seed)["width"]) for seed in range(6)] for number in (10, 11)
    }
    assert min(widths[11]) > 0.8
    assert max(widths[10]) < 0.8, "in a gap of the front"
