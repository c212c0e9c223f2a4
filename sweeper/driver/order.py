"""What a driver is asked to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sweeper.ledger.records import Event
from sweeper.search.details import Repetition
from sweeper.search.study import Search
from sweeper.storage import Where
from sweeper.study.spec import StudySpec

if TYPE_CHECKING:
    from sweeper.training.trial import TrialWorker


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """What `sweeper.driver.launch.launch` was called with; its arguments are described there."""

    spec: StudySpec
    results_folder: Where
    cluster: str
    cluster_options: dict[str, Any]
    max_concurrent: int | None
    watch: Callable[[Search, Event | None], None]
    tell: Callable[[str], None]
    repeat: Callable[[Search], Sequence[Repetition]]
    repeats_decayed: bool
    keep_best: int
    checkpoint_every_s: float
    seeds_together: int
    worker: Callable[..., TrialWorker] | None
