"""Which checkpoints stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.driver import retention as keeper
from sweeper.driver.retention import CheckpointRetention
from sweeper.ledger.records import Event, Kind, Reason, Stage, Status
from sweeper.search.study import Search
from sweeper.search.trial import Trial
from sweeper.training import checkpoint
from sweeper.training.checkpoint import Checkpoint
from tests.test_extension import study
from tests.virtual_clock import VirtualClock


def search_of(*trials: tuple[str, Status, float]) -> Search:
    """A search with trials of arm0, by name, status and last score."""
    search = Search(study(arms=2), {})
    for number, (name, status, score) in enumerate(trials):
        search.trials[name] = Trial(
            trial=name,
            arm="arm1" if name.startswith("other") else "arm0",
            number=number,
            seed=0,
            stage=Stage.ABLATION if name.endswith("-s1") else Stage.SEARCH,
            configuration={},
            max_epochs=9,
            status=status,
            scores=[score],
        )
    return search


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def write(folder: Path, *trials: str) -> None:
    for trial in trials:
        for epoch in (1, 2):
            array = [np.zeros(1)]
            checkpoint.write(folder / trial, Checkpoint(epoch=epoch, attempt=1, rows=(), model=array, optimizer=array))


def kept(folder: Path) -> dict[str, int]:
    return {path.name: len(checkpoint.stored(path)) for path in sorted(folder.iterdir())}


def test_the_best_of_each_arm_and_stage_keep_their_last_one_and_losers_none(folder: Path) -> None:
    done = Status.COMPLETED
    trials = [("a", done, 0.3), ("b", done, 0.5), ("c", done, 0.5), ("d", done, 0.9), ("other-a", done, 0.1), ("a-s1", done, 0.2)]
    write(folder, *(name for name, _, _ in trials))
    CheckpointRetention(folder, search_of(*trials), keep_best=2).clean()
    assert kept(folder) == {"a-s1": 1, "b": 1, "d": 1, "other-a": 1}, "of equals the first stays"


def test_what_is_not_over_keeps_all_and_what_was_stopped_or_failed_none(folder: Path) -> None:
    trials = [
        ("a", Status.RUNNING, 0.1),
        ("b", Status.INTERRUPTED, 0.2),
        ("c", Status.STOPPED, 0.3),
        ("d", Status.FAILED, float("nan")),
        ("e", Status.COMPLETED, 0.1),
    ]
    write(folder, *(name for name, _, _ in trials), "unknown")
    CheckpointRetention(folder, search_of(*trials)).clean()
    assert kept(folder) == {"a": 2, "b": 2, "e": 1}, "nor does what the ledger knows nothing of"


def test_one_that_is_beaten_later_loses_its_checkpoint_then(folder: Path) -> None:
    search = search_of(("a", Status.COMPLETED, 0.1), ("b", Status.RUNNING, 0.2))
    keeping = CheckpointRetention(folder, search, keep_best=1)
    write(folder, "a", "b")
    keeping.begins("a")
    keeping.ends("a")
    keeping.clean()
    assert kept(folder) == {"a": 1, "b": 2}
    search.trials["b"].status = Status.COMPLETED
    keeping.begins("b")
    keeping.ends("b")
    assert kept(folder) == {"a": 1, "b": 2}, "its end is not durable yet"
    keeping.clean()
    assert kept(folder) == {"b": 1}


def test_none_may_be_kept(folder: Path) -> None:
    write(folder, "a")
    CheckpointRetention(folder, search_of(("a", Status.COMPLETED, 0.1)), keep_best=0).clean()
    assert kept(folder) == {}


def test_the_commands_default_is_the_keepers() -> None:
    from sweeper.cli import cli

    (option,) = [one for one in cli.commands["launch"].params if one.name == "keep_best"]
    assert option.default == keeper.KEEP_BEST


def test_a_lengthened_trial_keeps_what_it_goes_on_from(folder: Path) -> None:
    """It ended, and was reopened before the keeper came round."""
    driven = VirtualClock(Search(study(arms=1, trials=1, rule="none"), {}), 1, lambda trial, epoch: 0.5, lambda trial: 1.0)
    search = driven.search
    keeping: Any = CheckpointRetention(folder, search, keep_best=0)
    search.spaces["arm0"] = study().space_of("arm0")
    event = search.propose()
    assert event is not None
    search.apply(event)
    write(folder, event.trial or "")
    keeping.begins(event.trial)
    keeping.ends(event.trial)
    search.apply(search.judge(Event(kind=Kind.ATTEMPT_ENDED, trial=event.trial, attempt=1, reason=Reason.NODE_LOST)))
    keeping.clean()
    assert kept(folder) == {event.trial: 2}
