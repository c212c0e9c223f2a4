"""The state of one trial of a search."""

from __future__ import annotations

import dataclasses

from sweeper.ledger.records import Reason, Stage, Status
from sweeper.search.costs import Costs
from sweeper.study.space import Configuration


@dataclasses.dataclass(kw_only=True)
class Trial:
    """The state of one trial.

    Args:
        trial: Its id.
        arm: Its arm.
        stage: What it is for.
        parent: The trial whose configuration it repeats; None for a trial of the budget.
        number: Its number in the arm.
        seed: Everything random in it follows from this.
        varies: Of a repetition, what alone its seed sets; None for all but the carve of the images, or outside the ablation.
        configuration: Its knobs.
        max_epochs: Epochs after which it is complete.
        attempt: The newest try, from 1.
        lost: Attempts whose worker died or hung.
        status: Its status.
        reason: Why it has that status.
        scores: The objective after each epoch, higher is better.
        costs: What it costs, after each epoch.
    """

    trial: str
    arm: str
    number: int
    seed: int
    stage: Stage = Stage.SEARCH
    parent: str | None = None
    varies: str | None = None
    configuration: Configuration
    max_epochs: int
    attempt: int = 0
    lost: int = 0
    status: Status = Status.PENDING
    reason: Reason | None = None
    scores: list[float] = dataclasses.field(default_factory=list)
    costs: list[Costs] = dataclasses.field(default_factory=list)

    @property
    def is_of_budget(self) -> bool:
        """Whether it is one of its arm's share of the budget, and no repetition."""
        return self.stage is Stage.SEARCH and self.parent is None

    @property
    def epoch(self) -> int:
        """Epochs known of it."""
        return len(self.scores)

    @property
    def is_at_rest(self) -> bool:
        """Whether it neither runs nor is to run; it may wait at a rung."""
        return self.status.is_final or self.status is Status.PAUSED

    def differs_in_seed(self, other: Trial) -> bool:
        """Whether both repeat one trial on the same images, so that only their seeds differ."""
        own, others = ((trial.parent, trial.stage, trial.varies) for trial in (self, other))
        return self.stage is Stage.ABLATION and self.varies not in ("split", "all") and own == others
