"""The sampler `trees` for users of Optuna: a sampler of its own kind, for studies that sweeper does not run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import TrialState

from sweeper.errors import InputError
from sweeper.search.history import Finished
from sweeper.search.prior import Prior
from sweeper.search.tpe import distribution_of
from sweeper.search.trees import TreesSampler
from sweeper.streams import seed_of
from sweeper.study.space import Choice, Float, Int, Knob, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

NAME = "an Optuna study"
"""What its space is called: a space belongs to an architecture."""


class OptunaSampler(BaseSampler):
    """`trees` as a sampler of Optuna: ``optuna.create_study(direction="maximize", sampler=sweeper.OptunaSampler(seed=0))``.

    It learns from pruned trials too, by what they reported, and draws nothing beside a trial that still runs. It holds no state:
    a study that is loaded again goes on the same.

    Args:
        space: Knobs by name, with conditions and defaults: the first trial is the default, and early ones are near it. None: the
            parameters that all trials so far have in common, without a default; the others are drawn at random.
        seed: Of everything that is drawn; None for another one each time.

    Raises:
        InputError: When it is asked for a trial of a study with several objectives.
    """

    def __init__(self, space: Mapping[str, Knob] | None = None, *, seed: int | None = None):
        self._space = None if space is None else Space(architecture=NAME, model=dict(space))
        self.reseed_rng()
        if seed is not None:
            self._seed = seed
        self._common = IntersectionSearchSpace(include_pruned=True)

    def reseed_rng(self) -> None:
        """Take another seed, as Optuna asks of each of several processes."""
        import secrets

        self._seed = secrets.randbits(31)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that are sampled together."""
        if len(study.directions) != 1:
            raise InputError(
                "sweeper.OptunaSampler is for studies with one objective. For several take TPESampler or NSGAIISampler of Optuna."
            )
        if self._space is not None:
            return {name: distribution_of(knob) for name, knob in self._space.knobs.items()}
        return {name: kind for name, kind in self._common.calculate(study).items() if _knob_of(kind) is not None}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Values of those of them that exist together."""
        if not search_space:
            return {}
        space = self._space
        if space is not None and trial.number == 0:
            return space.default()
        if space is None:
            knobs = {name: knob for name, kind in search_space.items() if (knob := _knob_of(kind)) is not None}
            space = Space(architecture=NAME, model=knobs)
        sampler = TreesSampler(space, {}, None if self._space is None else Prior(space, {}))
        sign = 1.0 if study.direction is StudyDirection.MAXIMIZE else -1.0
        others = [one for one in study.get_trials(deepcopy=False) if one.number != trial.number]
        history = [_lesson(one, space, sign) for one in others if set(space.active(one.params)) <= set(one.params)]
        return sampler.suggest(history, number=trial.number, seed=seed_of(self._seed, trial.number, "suggest"))

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """The value of any other parameter, drawn at random."""
        at_random = RandomSampler(seed=seed_of(self._seed, trial.number, param_name))
        return at_random.sample_independent(study, trial, param_name, param_distribution)


def _lesson(trial: FrozenTrial, space: Space, sign: float) -> Finished:
    """What a trial of Optuna teaches."""
    values = [value for _, value in sorted(trial.intermediate_values.items())]
    is_complete = trial.state is TrialState.COMPLETE
    if is_complete and trial.value is not None and values[-1:] != [trial.value]:
        values.append(trial.value)
    return Finished(
        configuration={name: trial.params[name] for name in space.active(trial.params)},
        scores=() if trial.state is TrialState.FAIL else tuple(sign * value for value in values),
        is_complete=is_complete,
        is_running=not trial.state.is_finished(),
    )


def _knob_of(kind: BaseDistribution) -> Knob | None:
    """A distribution in our words; None for one that is left to chance: with one value, with steps, with odd choices."""
    if kind.single():
        return None
    if isinstance(kind, CategoricalDistribution):
        return _choice(kind.choices)
    if isinstance(kind, IntDistribution) and kind.step == 1:
        return Int(low=kind.low, high=kind.high, log=kind.log, default=kind.low)
    if isinstance(kind, FloatDistribution) and kind.step is None:
        return Float(low=kind.low, high=kind.high, log=kind.log, default=kind.low)
    return None


def _choice(options: Sequence[Any]) -> Choice | None:
    is_plain = all(
        isinstance(option, str | bool | int) or (isinstance(option, float) and math.isfinite(option)) for option in options
    )
    return Choice(*options) if is_plain else None
