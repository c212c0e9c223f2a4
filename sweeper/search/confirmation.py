"""Confirmation: the best configurations of each arm, trained again on fresh seeds that no choice was made by.

The best of many trials is lucky besides being good, because it was chosen for its score. So what a study says of its arms comes
from other seeds: 1001, 1002, ... (an ablation has 1, 2, ...). The design is **paired**: one seed carves training and validation
anew, where validation was carved from train, and fixes order and augmentation, the same for all arms; the initial weights follow
from the seed and the arm. Nothing is stopped early, and the search learns nothing from these trials.

**Racing.** After two seeds an arm may be left out that cannot win any more. With `s` the standard deviation of a score once the
means of arms and of seeds are taken away (its degrees of freedom are one less than the configurations), one is left out if it
lies behind the best by more than `s` times Student's quantile of ``1 - 0.05 / (configurations - 1)``. If scores are normal and
vary alike, the truly best one is left out in at most 5 % of studies (Bonferroni). Scores are those of validation: the test split
decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from sweeper.ledger.records import Stage, Status
from sweeper.search.details import Repetition
from sweeper.search.repetition import check_searched, lengths_of
from sweeper.search.study import Search
from sweeper.search.trial import Trial

FIRST_SEED = 1001
"""Seeds of an ablation lie below."""

LOOKED_AT = 2
"""Seeds after which a race is looked at."""

ERROR = 0.05
"""How often the best may be left out of a race."""

Scores = Mapping[str, tuple[float, ...]]
"""By trial of the search, the scores of its seeds, the same seeds for all."""


def plan(search: Search, *, per_arm: int, num_seeds: int, is_racing: bool = False) -> list[Repetition]:
    """The trials that are asked for and not known yet, seed by seed.

    In a race those of later seeds come with a second call, once the first ones have ended.

    Args:
        search: The search, every trial of its budget ended.
        per_arm: Configurations of each arm.
        num_seeds: Seeds for each.
        is_racing: Whether configurations that cannot win are left out after `LOOKED_AT` seeds.

    Raises:
        InputError: The search is not finished.
    """
    check_searched(search)
    parents = [trial for arm in search.spec.arms for trial in best(search, arm)[:per_arm]]
    lengths = lengths_of(search, Stage.CONFIRM)
    if is_racing and num_seeds > LOOKED_AT:
        first = _asked(parents, range(LOOKED_AT), lengths)
        if not all(_has_ended(search, one.trial) for one in first):
            return [one for one in first if not search.knows(one.trial)]
        left_out = behind(scores_of(search, parents))
        parents = [trial for trial in parents if trial.trial not in left_out]
    return [one for one in _asked(parents, range(num_seeds), lengths) if not search.knows(one.trial)]


def best(search: Search, arm: str) -> list[Trial]:
    """The completed trials of an arm's search, best first: by their last score, then by what they cost, then by number."""
    found = [
        trial
        for trial in search.of_stage(Stage.SEARCH)
        if trial.arm == arm and trial.status is Status.COMPLETED and math.isfinite(trial.scores[-1])
    ]
    return sorted(found, key=lambda trial: (-trial.scores[-1], trial.costs[-1] if trial.costs else (), trial.number))


def scores_of(search: Search, parents: list[Trial]) -> dict[str, tuple[float, ...]]:
    """The last scores of the first seeds of each of these, as far as all of its seeds have one."""
    found = {}
    for parent in parents:
        trials = [search.trials.get(one.trial) for one in _asked([parent], range(LOOKED_AT), {})]
        scores = tuple(trial.scores[-1] for trial in trials if trial is not None and trial.status is Status.COMPLETED)
        if len(scores) == LOOKED_AT:
            found[parent.trial] = scores
    return found


def behind(scores: Scores) -> dict[str, float]:
    """Those that cannot become the best any more, each with how far it lies behind the best, in the unit of the scores."""
    if len(scores) < 2:
        return {}
    from scipy.special import stdtrit

    count, seeds = len(scores), LOOKED_AT
    means = {name: math.fsum(own) / seeds for name, own in scores.items()}
    of_seeds = [math.fsum(column) / count for column in zip(*scores.values(), strict=True)]
    total = math.fsum(means.values()) / count
    freedom = (count - 1) * (seeds - 1)
    residuals = (
        value - means[name] - of_seed + total
        for name, own in scores.items()
        for value, of_seed in zip(own, of_seeds, strict=True)
    )
    sd = math.sqrt(math.fsum(residual**2 for residual in residuals) / freedom)
    most = float(stdtrit(freedom, 1 - ERROR / (count - 1))) * sd * math.sqrt(2 / seeds)
    top = max(means.values())
    return {name: top - mean for name, mean in means.items() if sd > 0 and top - mean > most}


def _asked(parents: list[Trial], seeds: range, lengths: Mapping[str | None, int]) -> list[Repetition]:
    return [
        Repetition.of(
            parent,
            f"s{FIRST_SEED + number}",
            seed=FIRST_SEED + number,
            max_epochs=lengths.get(parent.trial, parent.max_epochs),
            stage=Stage.CONFIRM,
        )
        for number in seeds
        for parent in parents
    ]


def _has_ended(search: Search, trial: str) -> bool:
    return trial in search.trials and search.trials[trial].status.is_final
