"""The tree-structured Parzen estimator: Optuna's densities over a history that is kept as arrays.

Optuna's own sampler reads every finished trial anew, group by group, for every suggestion; of a thousand trials that takes most
of the time. Here each trial is read once. What is suggested is what `optuna.samplers.TPESampler` suggests, number for number; the
tests compare the two.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweeper.search.history import Finished
from sweeper.search.prior import SHARE, Prior
from sweeper.study.space import Choice, Configuration, Float, Int, Knob, Space, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

STARTUP_TRIALS = 5
"""Finished trials of an arm before ``tpe`` stops drawing at random: few, because a budget is split over arms."""

CANDIDATES = 24
"""Points drawn where good trials lie, of which the one is taken that lies best between good and others: Optuna's default."""


class TpeSampler:
    """Tree-structured Parzen estimator over the arm's finished trials; trials stopped early count by how far they came.

    Running trials are ignored: each suggestion has its own seed, so parallel suggestions differ. With a prior, a part of the
    suggestions are drawn from it.

    Args:
        space: The search space.
        fixed: Values that are not searched, by name.
        prior: Where good configurations are expected; None for anywhere.

    Source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"; Optuna's multivariate form with groups, which
    follows conditional knobs.
    """

    def __init__(self, space: Space, fixed: Mapping[str, Value], prior: Prior | None = None):
        self.prior = prior
        self._space = space
        self._fixed = fixed
        self._distributions = {name: distribution_of(knob) for name, knob in space.knobs.items() if name not in fixed}
        self._columns = {name: column for column, name in enumerate(self._distributions)}
        self._points = np.empty((64, len(self._columns)))
        """One row per trial, in Optuna's numbers; NaN where it has no such knob. The rows from `_told` on are free."""
        self._told = 0
        self._ranked: list[tuple[Any, ...]] = []
        """Best first; the last entry is the trial's row."""
        self._groups: list[set[str]] = []
        """Knobs that exist together or not at all, as far as the history shows."""

    def suggest(self, history: Sequence[Finished], *, number: int, seed: int) -> Configuration:
        """As `Sampler.suggest`; `number` does not matter."""
        from optuna.samplers import RandomSampler

        for trial in history[self._told :]:
            self._learn(trial)
        if self.prior and np.random.default_rng(seed).random() < self._share(self.prior, history):
            return self.prior.draw(seed)
        values: dict[str, Value] = {}
        generator = np.random.RandomState(seed)
        if self._told >= STARTUP_TRIALS:
            for group in self._groups:
                values.update(self._sample(sorted(group), generator))
        at_random = RandomSampler(seed=seed)

        def value(name: str, knob: Knob) -> Value:
            distribution = self._distributions[name]
            if distribution.single():
                return knob.default
            if name not in values and self._told >= STARTUP_TRIALS:
                values.update(self._sample([name], generator))
            return values[name] if name in values else _independent(at_random, name, distribution)

        return self._space.fill(self._fixed, value)

    def scores(
        self, history: Sequence[Finished], candidates: Sequence[Configuration], *, number: int, seed: int
    ) -> NDArray[Any] | None:
        """How much better each candidate fits good trials than others; None while all is drawn at random.

        Args:
            history: As for `suggest`.
            candidates: Configurations.
            number: Does not matter.
            seed: Does not matter.
        """
        for trial in history[self._told :]:
            self._learn(trial)
        if self._told < STARTUP_TRIALS:
            return None
        found = np.zeros(len(candidates))
        for group in self._groups:
            space, good, others = self._densities(sorted(group))
            rows = [row for row, one in enumerate(candidates) if all(name in one for name in space)]
            if space and rows:
                points = {name: [kind.to_internal_repr(candidates[row][name]) for row in rows] for name, kind in space.items()}
                samples = {name: np.array(values, float) for name, values in points.items()}
                found[rows] += good.log_pdf(samples) - others.log_pdf(samples)
        return found

    def _share(self, prior: Prior, history: Sequence[Finished]) -> float:
        """Part of the draws that come from the prior."""
        return SHARE if self._told < STARTUP_TRIALS else SHARE / 2 * min(prior.weight(history), 1.0)

    def _learn(self, trial: Finished) -> None:
        """Add a trial to the points, the ranking and the groups."""
        # A space may have been edited since the trial ran: what it says about knobs and values that still exist is kept.
        known = {
            name: self._distributions[name].to_internal_repr(trial.configuration[name])
            for name, knob in self._space.active(trial.configuration).items()
            if name in self._distributions and knob.problem(trial.configuration.get(name)) is None
        }
        row = self._told
        if row == len(self._points):
            self._points = np.concatenate([self._points, np.empty_like(self._points)])
        self._points[row] = [known.get(name, math.nan) for name in self._columns]
        bisect.insort(self._ranked, (*_rank(trial), row))
        self._groups = _split(self._groups, set(known))
        self._told += 1

    def _sample(self, names: Sequence[str], generator: np.random.RandomState) -> dict[str, Value]:
        """Values of some knobs: of points from the density of good trials the one where it exceeds that of the others most."""
        space, good, others = self._densities(names)
        if not space:
            return {}
        samples = good.sample(generator, CANDIDATES)
        best = np.argmax(good.log_pdf(samples) - others.log_pdf(samples))
        return {name: space[name].to_external_repr(values[best].item()) for name, values in samples.items()}

    def _densities(self, names: Sequence[str]) -> tuple[dict[str, BaseDistribution], Any, Any]:
        """Those of the knobs that have a choice, and the densities of good trials and of the others over them."""
        from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
        from optuna.samplers._tpe.sampler import default_gamma, default_weights

        space = {name: self._distributions[name] for name in names if not self._distributions[name].single()}
        if not space:
            return {}, None, None
        is_good = np.zeros(self._told, bool)
        is_good[[entry[-1] for entry in self._ranked[: default_gamma(self._told)]]] = True
        points = self._points[: self._told, [self._columns[name] for name in space]]
        is_there = ~np.isnan(points).any(axis=1)
        settings = _ParzenEstimatorParameters(
            prior_weight=1.0, consider_magic_clip=True, consider_endpoints=False, weights=default_weights, multivariate=True
        )
        good, others = (
            _ParzenEstimator(dict(zip(space, points[is_there & chosen].T, strict=True)), space, settings)
            for chosen in (is_good, ~is_good)
        )
        return space, good, others


def _rank(trial: Finished) -> tuple[float, ...]:
    """What sorts the best trial first: complete ones by score, then the others by how far they came, then by score."""
    if not trial.scores:
        return (1.0, 1.0, 0.0)
    score = trial.scores[-1]
    if trial.is_complete and math.isfinite(score):
        return (0.0, -score, 0.0)
    return (1.0, -float(len(trial.scores)), math.inf if math.isnan(score) else -score)


def _split(groups: Sequence[set[str]], names: set[str]) -> list[set[str]]:
    """Groups, each in two where only a part of it is among `names`, and one more of the names that are in none."""
    parts = [part for group in groups for part in (group & names, group - names)]
    return [part for part in (*parts, names.difference(*groups)) if part]


def _independent(sampler: Any, name: str, distribution: BaseDistribution) -> Value:
    value: Value = sampler.sample_independent(None, None, name, distribution)
    return value


def distribution_of(knob: Knob) -> BaseDistribution:
    """A knob in Optuna's words."""
    from optuna import distributions

    if isinstance(knob, Choice):
        return distributions.CategoricalDistribution(knob.options)
    if isinstance(knob, Int):
        return distributions.IntDistribution(knob.low, knob.high, log=knob.log)
    assert isinstance(knob, Float)
    return distributions.FloatDistribution(knob.low, knob.high, log=knob.log)
