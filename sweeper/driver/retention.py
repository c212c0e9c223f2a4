"""Which checkpoints of a study are still needed, and the removal of the others.

A trial that has not ended needs its newest ones, to go on. A stopped or failed trial needs none. Of the completed trials the best
of each arm keep their last one: to predict with, and to train on if the study gets more epochs. Those of the confirm
stage all keep it: their models are the study's result.
"""

from __future__ import annotations

from sweeper.ledger.records import Stage, Status
from sweeper.search.study import Search
from sweeper.storage import Where, place
from sweeper.training import checkpoint

KEEP_BEST = 3
"""Completed trials of each arm that keep their last checkpoint."""

BYTES_KEPT = 12
"""Of a parameter in a checkpoint: itself, and two more of the optimizer."""


class CheckpointRetention:
    """Removes what is no longer needed, once the events that make it so are durable.

    Args:
        folder: The study's checkpoints.
        search: The study's search.
        keep_best: Completed trials of each arm, and of each stage, that keep their last checkpoint.
    """

    def __init__(self, folder: Where, search: Search, keep_best: int = KEEP_BEST):
        self._folder = place(folder)
        self._search = search
        self._keep_best = keep_best
        self._stored = set(self._folder.names())
        # A driver killed after its last commit may not have removed those of trials that ended before.
        self._ended = [trial for trial in self._stored if trial in search.trials]
        # Trials that the ledger no longer knows, because a part of it was lost. A worker must not remove their checkpoints as it
        # begins a trial: a late worker would remove what the next attempt has written.
        self._unknown = [trial for trial in self._stored if trial not in search.trials]

    def begins(self, trial: str) -> None:
        """A trial is about to run, and may write checkpoints."""
        self._stored.add(trial)

    def ends(self, trial: str) -> None:
        """A trial is over; its checkpoints are judged at the next `clean`."""
        self._ended.append(trial)

    def clean(self) -> None:
        """Remove what is of no use: call it only when everything the search knows is durable."""
        groups = set()
        for name in self._ended:
            trial = self._search.trials[name]
            if trial.status is Status.COMPLETED:
                checkpoint.remove(self._folder / name, keep_newest=True)
                groups.add((trial.arm, trial.stage))
            elif trial.status.is_final:
                self._remove(name)
        self._ended.clear()
        for name in self._unknown:
            self._remove(name)
        self._unknown.clear()
        for arm, stage in groups:
            for name in self._losers(arm, stage):
                self._remove(name)

    def _losers(self, arm: str, stage: Stage) -> list[str]:
        """Completed trials with a checkpoint that others of their arm and stage have beaten; of equals the first stays."""
        if stage is Stage.CONFIRM:
            return []
        completed = [
            trial
            for trial in self._search.of_stage(stage)
            if trial.arm == arm and trial.status is Status.COMPLETED and trial.trial in self._stored
        ]
        ranked = sorted(completed, key=lambda trial: -trial.scores[-1])
        return [trial.trial for trial in ranked[self._keep_best :]]

    def _remove(self, trial: str) -> None:
        checkpoint.remove(self._folder / trial, keep_newest=False)
        self._stored.discard(trial)
