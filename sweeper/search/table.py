"""A finite space: configurations that were trained before, of which a search takes one after another.

It serves the replay of recorded trainings. Samplers score the configurations of the table themselves, where in a space they would
draw some; no configuration is taken twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sweeper.search.distinct import Key, key_of
from sweeper.search.history import Finished
from sweeper.search.prior import SHARE, Prior
from sweeper.study.space import Configuration


@runtime_checkable
class Scorer(Protocol):
    """A sampler that can say of given configurations how much they promise."""

    prior: Prior | None

    def scores(
        self, history: Sequence[Finished], candidates: Sequence[Configuration], *, number: int, seed: int
    ) -> NDArray[Any] | None:
        """Higher is better; None while it cannot say."""


class Table:
    """Configurations to choose from.

    Args:
        rows: All of them. Of equal ones the first counts.
        default: The one that an arm begins with; None for any.
    """

    def __init__(self, rows: Sequence[Configuration], default: Configuration | None = None):
        self.rows = list(rows)
        self.first = [] if default is None else [default]
        """What comes before anything is chosen."""
        self.place: dict[Key, int] = {}
        """Where a configuration stands."""
        for number, row in enumerate(self.rows):
            self.place.setdefault(key_of(row), number)

    def pick(
        self, scorer: Scorer | None, history: Sequence[Finished], known: Collection[Key], *, number: int, seed: int
    ) -> Configuration:
        """A configuration that is none of those known: the most promising one, or any while nothing is known.

        Args:
            scorer: Says what promises most; None for any.
            history: The arm's trials.
            known: Configurations taken before; some must be left.
            number: The trial's number in its arm.
            seed: Of this choice.
        """
        left = [number for key, number in self.place.items() if key not in known]
        candidates = [self.rows[number] for number in left]
        scores = None if scorer is None else scorer.scores(history, candidates, number=number, seed=seed)
        if scores is not None:
            return candidates[int(np.argmax(scores))]
        generator, prior = np.random.default_rng(seed), scorer.prior if scorer else None
        weights = None
        if prior and generator.random() < SHARE:
            weights = np.exp(prior.log_density(candidates))
            weights /= weights.sum()
        return candidates[int(generator.choice(len(left), p=weights))]
