"""What samplers learn from: the finished trials of an arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sweeper.search.costs import Costs
from sweeper.study.space import Value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
    """What a sampler learns from one finished trial.

    Args:
        configuration: All knobs, fixed ones included.
        scores: The objective after each epoch, higher is better; NaN where it diverged. Empty when no epoch was trained.
        is_complete: Whether it trained to the end; otherwise it was stopped early or failed, or goes on.
        is_running: Whether it has not ended.
        costs: What it costs, see `sweeper.search.costs`; empty where nothing is known.
    """

    configuration: Mapping[str, Value]
    scores: tuple[float, ...]
    is_complete: bool
    is_running: bool = False
    costs: Costs = ()
