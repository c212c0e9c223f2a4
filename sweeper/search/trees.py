"""A surrogate of randomised trees: where do the trials so far say that a better one may be?

Trees take choices, conditional knobs and knobs of any scale as they are. Each of them says what a configuration may come to;
their mean and how far they differ give the improvement to be expected over the best trial, or of the Pareto front (see
`sweeper.search.front`). Of many candidates the best one is suggested.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.search import front
from sweeper.search.costs import Columns
from sweeper.search.history import Finished
from sweeper.search.points import share_of, value_at
from sweeper.search.prior import SHARE, Prior
from sweeper.search.ranking import beats
from sweeper.study.space import Choice, Configuration, Knob, Space, Value

STARTUP_TRIALS = 5
"""Trials of an arm that have a score, before trees say anything."""

TREES = 40
"""Trees; more than some thirty find no better trials (recorded curves)."""

LEARNED_FROM = 400
"""Trials that trees grow over, half of them the best, the others the newest: a suggestion takes a tenth of a second."""

COST_TREES = 10
"""Trees that say what a candidate costs, for each cost."""

DRAWN, NEAR = 400, 100
"""Candidates drawn from the whole space, and near the best trials."""

BEST = 5
"""Trials near which candidates are drawn."""

STEP = 0.1
"""Standard deviation of a step from a number of one of them, as a part of the knob's range."""

LEAST_DOUBT = 0.05
"""Standard deviation of the logarithm of a cost where trees agree on it."""

LEAST_VARIANCE = 1e-3
"""Of what trees say, in squared standard deviations of all trials: where trees agree something is left to chance all the same."""


class TreesSampler:
    """Expected improvement by extra trees over all trials of the arm, as far as they came.

    Scores are compared by rank, so neither their scale nor an outlier matters. A trial that failed counts as the worst. One
    without a score yet counts as what the trees expect of it, so that others are not drawn beside it.

    What a candidate costs is what other trees expect, grown over the costs of the trials.

    Args:
        space: The search space.
        fixed: Values that are not searched, by name.
        prior: Where the best scores are expected; None for anywhere.
        costs: What matters beside the score; None for nothing.

    Source: Geurts et al. 2006, "Extremely randomized trees"; Hutter et al. 2011, "Sequential Model-Based Optimization for General
    Algorithm Configuration": expected improvement by trees.
    """

    def __init__(self, space: Space, fixed: Mapping[str, Value], prior: Prior | None = None, costs: Columns | None = None):
        self._space, self._fixed, self._costs = space, fixed, costs or Columns()
        self.prior = prior
        self._knobs = {name: knob for name, knob in space.knobs.items() if name not in fixed}

    def suggest(
        self, history: Sequence[Finished], *, number: int, seed: int, others: Sequence[Configuration] = ()
    ) -> Configuration:
        """As `Sampler.suggest`; the history has running trials too, and `others` are candidates."""
        generator = np.random.default_rng(seed)
        candidates = [self._drawn(generator) for _ in range(DRAWN)] + list(others)
        if self.prior:
            nearby = [self.prior.draw(int(own)) for own in generator.integers(2**31, size=NEAR)]
            candidates = nearby + candidates if generator.random() < SHARE else candidates + nearby
        best = self._best(history, number)
        candidates += [self._near(best[place % len(best)].configuration, generator) for place in range(NEAR if best else 0)]
        known = {frozenset(one.configuration.items()) for one in history}
        candidates = [one for one in candidates if frozenset(one.items()) not in known] or candidates[:1]
        scores = self.scores(history, candidates, number=number, seed=seed)
        return candidates[0 if scores is None else int(np.argmax(scores))]

    def scores(
        self, history: Sequence[Finished], candidates: Sequence[Configuration], *, number: int, seed: int
    ) -> NDArray[Any] | None:
        """How much each candidate promises; None while there are too few trials to say.

        Args:
            history: The arm's trials, running ones included.
            candidates: Configurations.
            number: The trial's number in its arm; those with an odd one are for the score alone.
            seed: Of the trees.
        """
        from scipy.stats import norm, rankdata

        # What exceeds a constraint was never trained, and says nothing of scores.
        seen = [one for one in history if one.scores or not (one.is_running or self._costs.exceeds(one.costs))]
        if len(seen) < STARTUP_TRIALS:
            if not self._costs.limits:
                return None
            # Any that is small enough, as far as trials say that already.
            _, costs, doubt = self._priced([], history, self._encoded(candidates), 0, seed)
            return front.feasibility(costs, doubt, self._costs.limits).round()
        begun = [one for one in history if not one.scores and one.is_running]
        seen = _told_most(seen)
        ranks = rankdata([_rankable(one.scores) for one in seen])
        worth = norm.ppf((ranks - 0.375) / (len(ranks) + 0.25))  # normal scores, after Blom
        points = self._encoded([one.configuration for one in seen])
        forest = _grown(points, worth, seed)
        if begun:
            others = self._encoded([one.configuration for one in begun])
            points, worth = np.vstack([points, others]), np.concatenate([worth, _said(forest, others).mean(axis=0)])
            forest = _grown(points, worth, seed)
        at = self._encoded(candidates)
        said = _said(forest, at)
        spread = np.sqrt(said.var(axis=0) + LEAST_VARIANCE)
        weighed = self._num_weighed(number)
        known, costs, doubt = self._priced([*seen, *begun], history, at, weighed, seed)
        promise = front.improvement(said.mean(axis=0), spread, costs[:, :weighed], worth, known[:, :weighed])
        promise *= front.feasibility(costs, doubt, self._costs.limits)
        if self.prior is None or weighed:
            return promise
        return np.log(promise + 1e-300) + self.prior.weight(history) * self.prior.log_density(candidates)

    # --------------------------------------------------------------------------------------------------------- details

    def _drawn(self, generator: np.random.Generator) -> Configuration:
        return self._space.fill(self._fixed, lambda _, knob: value_at(knob, generator.random()))

    def _priced(
        self, trials: Sequence[Finished], history: Sequence[Finished], at: NDArray[np.float32], weighed: int, seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Logarithms of costs, of those trials and of candidates, and how uncertain the latter are: (number, costs) each.

        What is not known is what trees expect, grown over the costs of all trials.
        """
        num_costs = len(self._costs.goals) if self._costs.limits else weighed
        history = history[-LEARNED_FROM:]
        points, wanted = (self._encoded([one.configuration for one in some]) for some in (history, trials))
        told, known = (front.logarithms([one.costs for one in some], num_costs) for some in (history, trials))
        costs, doubt = np.zeros((len(at), num_costs)), np.ones((len(at), num_costs))
        for column in range(num_costs):
            is_told, is_known = np.isfinite(told[:, column]), np.isfinite(known[:, column])
            if is_told.any():
                forest = _grown(points[is_told], told[is_told, column], seed, COST_TREES)
                known[~is_known, column] = _said(forest, wanted[~is_known]).mean(axis=0)
                said = _said(forest, at)
                costs[:, column], doubt[:, column] = said.mean(axis=0), said.std(axis=0) + LEAST_DOUBT
            else:
                known[:, column] = 0.0
        return known, costs, doubt

    def _num_weighed(self, number: int) -> int:
        """Costs that are weighed against the score: for every second trial none, so that the best score is found as well."""
        return 0 if number % 2 else self._costs.num_weighed

    def _best(self, history: Sequence[Finished], number: int) -> list[Finished]:
        """The trials near which a better one is looked for: those on the front, or those of the best scores."""
        scored = sorted((one for one in history if one.scores), key=lambda one: -_rankable(one.scores))
        num_costs = self._num_weighed(number)
        if not num_costs:
            return scored[:BEST]
        losses = np.array([-_rankable(one.scores) for one in scored])
        points = np.column_stack([losses, front.logarithms([one.costs for one in scored], num_costs)])
        return [scored[place] for place in np.flatnonzero(~beats(points).any(axis=0) & np.isfinite(losses))]

    def _near(self, configuration: Mapping[str, Value], generator: np.random.Generator) -> Configuration:
        """One like it: every second knob, or so, is moved a little, and some are drawn anew."""

        def value(name: str, knob: Knob) -> Value:
            luck = generator.random()
            if name not in configuration or knob.problem(configuration[name]) is not None or luck < 0.1:
                return value_at(knob, generator.random())
            if luck < 0.5 or isinstance(knob, Choice):
                return configuration[name]
            share = share_of(knob, configuration[name]) + STEP * generator.standard_normal()
            return value_at(knob, min(max(share, 0.0), math.nextafter(1.0, 0.0)))

        return self._space.fill(self._fixed, value)

    def _encoded(self, configurations: Sequence[Mapping[str, Value]]) -> NDArray[np.float32]:
        """One row each: numbers as a part of their range, options as a column each, -1 for a knob that does not exist."""
        columns = [column for name, knob in self._knobs.items() for column in _columns(name, knob, configurations)]
        return np.array(columns or [[0.0] * len(configurations)], np.float32).T.copy()


def _told_most(trials: Sequence[Finished]) -> list[Finished]:
    """Of more trials than `LEARNED_FROM` the best and the newest, in their order."""
    if len(trials) <= LEARNED_FROM:
        return list(trials)
    by_score = sorted(range(len(trials)), key=lambda place: -_rankable(trials[place].scores))
    kept = set(by_score[: LEARNED_FROM // 2])
    newest = (place for place in reversed(range(len(trials))) if place not in kept)
    kept.update(itertools.islice(newest, LEARNED_FROM - len(kept)))
    return [trials[place] for place in sorted(kept)]


def _grown(points: NDArray[np.float32], worth: NDArray[np.float64], seed: int, count: int = TREES) -> list[Any]:
    """Trees with their own random splits; those of `sklearn.ensemble.ExtraTreesRegressor`, which takes twice as long."""
    from sklearn.tree import ExtraTreeRegressor

    seeds = np.random.default_rng(seed).integers(2**31, size=count).tolist()
    return [ExtraTreeRegressor(max_features=1.0, random_state=own).fit(points, worth, check_input=False) for own in seeds]


def _said(forest: Sequence[Any], points: NDArray[np.float32]) -> NDArray[np.float64]:
    """What each tree says of each point."""
    return np.stack([tree.tree_.predict(points)[:, 0] for tree in forest])


def _rankable(scores: Sequence[float]) -> float:
    """The last score; the worst of all where a trial diverged, or failed before it had one."""
    return scores[-1] if scores and math.isfinite(scores[-1]) else -math.inf


def _columns(name: str, knob: Knob, configurations: Sequence[Mapping[str, Value]]) -> list[list[float]]:
    if not isinstance(knob, Choice):
        return [[share_of(knob, one[name]) if name in one else -1.0 for one in configurations]]
    options = knob.options if len(knob.options) > 2 else knob.options[1:]
    return [[float(one[name] == option) if name in one else -1.0 for one in configurations] for option in options]
