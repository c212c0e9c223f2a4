"""What may befall a sweep from outside its trials: a worker that hangs, a node that dies, data and disk that are gone."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from sweeper.driver import inputs, launch, session, tune
from sweeper.errors import DatasetError, SweeperError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Kind, Reason, Status
from sweeper.training.trial import Assignment
from tests.tiny_study import check_whole, rows_of, study

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Row:
    """A worker that trains nothing: an epoch is a row. What else happens is said by subclasses."""

    def __init__(self, *, checkpoints: Path, **context: Any):
        self.checkpoints = checkpoints

    def start(self, assignment: Assignment) -> None:
        self.assignment, self.epoch = assignment, assignment.known_epochs

    def step(self) -> dict[str, Any]:
        self.epoch += 1
        self.befall()
        row = {"epoch": self.epoch, "attempt": self.assignment.attempt, "train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5}
        return {"rows": [row]}

    def befall(self) -> None:
        """What happens to the worker in this epoch."""


class Hangs(Row):
    def befall(self) -> None:
        if self.epoch == 3 and self.assignment.attempt == 1 and self.assignment.trial == "cnn-00001":
            time.sleep(600)


class HangsAlways(Row):
    def befall(self) -> None:
        if self.epoch == 3:
            time.sleep(600)


class FullDisk(Row):
    def step(self) -> dict[str, Any]:
        return {"fault": f"{self.checkpoints}: {os.strerror(errno.ENOSPC)}"}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_ready")
class TestOnOneRay:
    """What can share one Ray session."""

    def test_a_worker_that_hangs_is_killed_and_its_trial_goes_on(
        self,
        data: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(session, "HANG_LEAST_S", 2.0)
        monkeypatch.setattr(session, "HANG_FACTOR", 1.5)
        spec = study(data, trials=3, epochs=4)
        outcome = launch.launch(spec, tmp_path, worker=Hangs)
        check_whole(outcome.folder, spec)
        trials, epochs = rows_of(outcome.folder)
        assert [trial["status"] for trial in trials] == [Status.COMPLETED] * 3
        assert [row["attempt"] for row in epochs if row["trial"] == "cnn-00001"] == [1, 1, 2, 2]
        ended = [event for event in StudyFolder(outcome.folder).read() if event.kind is Kind.ATTEMPT_ENDED]
        assert [(event.trial, event.status, event.reason) for event in ended] == [
            ("cnn-00001", Status.INTERRUPTED, Reason.TIMEOUT)
        ]

    @pytest.mark.long
    def test_a_trial_that_always_hangs_fails_in_the_end(
        self,
        data: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(session, "HANG_LEAST_S", 2.0)
        monkeypatch.setattr(session, "HANG_FACTOR", 1.0)
        outcome = launch.launch(study(data, trials=1, epochs=5), tmp_path, worker=HangsAlways)
        trials, _ = rows_of(outcome.folder)
        assert [(trial["status"], trial["reason"], trial["attempt"]) for trial in trials] == [(Status.FAILED, Reason.TIMEOUT, 3)]

    def test_a_full_disk_ends_the_sweep_and_costs_no_trial(self, data: Path, tmp_path: Path) -> None:
        spec = study(data, trials=2)
        with pytest.raises(SweeperError, match="No space left on device"):
            launch.launch(spec, tmp_path, worker=FullDisk)
        trials, _ = rows_of(tmp_path / "tiny")
        assert {trial["status"] for trial in trials} == {Status.INTERRUPTED}
        check_whole(launch.launch(spec, tmp_path, worker=Row).folder, spec)


def test_a_study_whose_data_are_gone_says_so_and_loses_nothing(data: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.npz"
    own.write_bytes(data.read_bytes())
    spec = study(own)
    store = StudyFolder(tmp_path / "tiny")
    store.create(spec.to_yaml())
    with store.drive():
        pass
    own.unlink()
    before = store.read()
    with pytest.raises(DatasetError, match=r"own\.npz"):
        launch.launch(spec, tmp_path)
    assert store.read() == before
    assert store.owner is None


def test_a_fault_of_the_data_found_while_ray_starts_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_starting = threading.Event()
    steps: list[str] = []

    @contextlib.contextmanager
    def connected(*_: Any) -> Iterator[bool]:
        is_starting.set()
        steps.append("started")
        try:
            yield True
        finally:
            steps.append("ended")

    def damaged(spec: Any) -> Any:
        if spec.name == "late":
            assert is_starting.wait(60)
        raise DatasetError("an image is damaged")

    monkeypatch.setattr(launch, "connected", connected)
    monkeypatch.setattr(inputs, "load_dataset", damaged)
    monkeypatch.setattr(launch, "FAULT_SHOWS_S", 60.0)
    with pytest.raises(DatasetError, match="an image is damaged"):
        launch.launch(study(data, "early"), tmp_path)
    assert steps == [], "Ray is not started for data that are not there"
    monkeypatch.setattr(launch, "FAULT_SHOWS_S", 0.0)
    with pytest.raises(DatasetError, match="an image is damaged"):
        launch.launch(study(data, "late"), tmp_path)
    assert steps == ["started", "ended"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ray.exceptions.OutOfMemoryError("the node ran out of memory"), Reason.OUT_OF_MEMORY),
        (ray.exceptions.NodeDiedError("gone"), Reason.NODE_LOST),
        (ray.exceptions.ActorUnavailableError("Socket closed", None), Reason.NODE_LOST),
        (ray.exceptions.RayActorError("id", "preempted by the provider", False, True), Reason.NODE_LOST),
        (
            ray.exceptions.RayActorError("id", "The actor died because its node has died. Node Id: 1", False, False),
            Reason.NODE_LOST,
        ),
        (ray.exceptions.RayActorError("id", "the worker died: SIGKILL", False, False), Reason.DIED),
        (RuntimeError("anything"), Reason.DIED),
        (None, Reason.DIED),
    ],
)
def test_deaths_are_told_apart(error: Exception | None, reason: Reason) -> None:
    assert tune.cause_of_death(error) is reason
