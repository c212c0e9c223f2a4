"""A recorded trial trained again: an identical one is said to be identical, and the smallest difference is found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sweeper.driver.retrain import Comparison, Failure, recorded, retrain
from sweeper.errors import NoDataError, SweeperError, UnknownNameError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Reason, Status
from sweeper.ledger.tables import tables
from sweeper.search.study import Search
from sweeper.study.spec import StudySpec
from sweeper.training.trial import Worker
from tests.retrain.recording import EPOCHS, broken, record, study, tamper, worker_of, write_data

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("framework")]


def once_more(stored: StudyFolder, tmp_path: Path, trial: str = "cnn-00000", **options: Any) -> Comparison:
    spec = StudySpec.model_validate(study_of(stored))
    return retrain(recorded(stored.read(), trial), worker_of(spec, tmp_path / "again"), **options)


def study_of(stored: StudyFolder) -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load(stored.study_yaml()))


def files(folder: Path) -> Mapping[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------------ what is compared


def test_a_trial_of_two_attempts_is_identical_to_one_uninterrupted_training(stored: StudyFolder, tmp_path: Path) -> None:
    before = files(Path(stored.folder))
    seen: list[int] = []
    comparison = once_more(stored, tmp_path, watch=lambda epoch: seen.append(epoch.epoch))
    assert [epoch.attempt for epoch in comparison.epochs] == [1, 1, 2, 2]
    assert seen == [1, 2, 3, 4]
    assert comparison.is_identical
    assert set(comparison.largest_difference.values()) == {0.0}
    assert files(Path(stored.folder)) == before, "nothing of the study is written"


@pytest.mark.parametrize("column", ["val_loss", "train_loss", "train_accuracy", "val_accuracy", "learning_rate"])
def test_the_smallest_difference_is_found(column: str, stored: StudyFolder, tmp_path: Path) -> None:
    def changed(event: Event) -> Event:
        value = getattr(event, column)
        return event.replace(**{column: math.nextafter(value, 10)}) if event.epoch == 2 else event

    tamper(stored, changed)
    comparison = once_more(stored, tmp_path, most_epochs=2)
    assert not comparison.is_identical
    first = comparison.first_difference
    assert first is not None
    assert (first.epoch, first.differing) == (2, (column,))
    assert 0 < comparison.largest_difference[column] < 1e-15


def test_another_seed_differs_in_the_first_epoch(stored: StudyFolder, tmp_path: Path) -> None:
    tamper(stored, lambda event: event.replace(seed=1) if event.kind is Kind.SUGGESTED else event)
    first = once_more(stored, tmp_path, most_epochs=1).first_difference
    assert first is not None
    assert first.epoch == 1


def test_the_row_the_search_acted_on_is_the_one_compared(stored: StudyFolder, tmp_path: Path) -> None:
    again = next(event for event in stored.read() if event.epoch == 1)
    with stored.drive() as ledger:
        ledger.append(again.replace(attempt=3, val_loss=9.0, device="another", time=None))
    record = recorded(stored.read(), "cnn-00000")
    _, epochs = tables(stored.read())
    assert [event.val_loss for event in record.epochs.values()] == epochs["val_loss"].to_pylist()
    assert record.circumstances["device"] == "cpu"


def test_a_trial_that_was_lengthened_is_trained_as_it_was_last_asked_for(stored: StudyFolder) -> None:
    suggested = next(event for event in stored.read() if event.kind is Kind.SUGGESTED)
    longer = suggested.replace(attempt=3, max_epochs=2 * EPOCHS)
    assert recorded([*stored.read(), longer], "cnn-00000").assignment.max_epochs == 2 * EPOCHS


def test_nan_equals_nan_and_nothing_else(tmp_path: Path) -> None:
    write_data(tmp_path / "data.npz")
    spec = study(tmp_path / "data.npz", optimizer="sgd", learning_rate=1e30, mix="none")
    stored = record(spec, tmp_path / "tiny", attempts=(1,))
    assert Search(spec).fold(stored.read()).trials["cnn-00000"].reason is Reason.NAN
    assert once_more(stored, tmp_path).is_identical
    tamper(stored, lambda event: event.replace(val_loss=1.0) if event.epoch == 1 else event)
    comparison = once_more(stored, tmp_path)
    assert not comparison.is_identical
    assert comparison.largest_difference["val_loss"] == math.inf


# ------------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("happens_again", [True, False])
def test_a_failure_happens_again_or_not(happens_again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data(tmp_path / "data.npz")
    stored = record(study(tmp_path / "data.npz"), tmp_path / "tiny", attempts=(3,), break_at=2)
    if happens_again:
        step = Worker.step
        monkeypatch.setattr(Worker, "step", lambda worker: broken() if len(worker._rows) == 1 else step(worker))
    comparison = once_more(stored, tmp_path)
    assert [epoch.differing for epoch in comparison.epochs] == [()]
    expected = Failure(reason=Reason.EXCEPTION, words="ValueError: broken")
    assert comparison.expected_failure == expected
    assert comparison.failure == (expected if happens_again else None)
    assert not comparison.is_identical


def test_a_trial_that_never_trained_fails_again_as_recorded(tmp_path: Path) -> None:
    write_data(tmp_path / "data.npz")
    stored = record(study(tmp_path / "data.npz", kernel_size=-1), tmp_path / "tiny", attempts=(1,))
    comparison = once_more(stored, tmp_path)
    assert comparison.epochs == ()
    assert comparison.failure == comparison.expected_failure
    assert comparison.failure is not None
    assert comparison.failure.reason is Reason.INFEASIBLE
    assert "kernel_size" in comparison.failure.words


def test_a_full_disk_is_no_difference(stored: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "step", lambda worker: {"fault": "no space left"})
    with pytest.raises(SweeperError, match="no space left"):
        once_more(stored, tmp_path)


# ---------------------------------------------------------------------------------------------------------- wrong input


def test_an_unknown_trial(stored: StudyFolder) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'cnn-00000'"):
        recorded(stored.read(), "cnn-0000")


def test_a_trial_without_an_epoch(stored: StudyFolder) -> None:
    events = [event for event in stored.read() if event.kind is not Kind.EPOCH]
    with pytest.raises(NoDataError, match="no epoch of trial cnn-00000"):
        recorded(events, "cnn-00000")
    lost = Event(kind=Kind.ATTEMPT_ENDED, trial="cnn-00000", attempt=2, status=Status.FAILED, reason=Reason.NODE_LOST)
    with pytest.raises(NoDataError, match="no epoch of trial cnn-00000"):
        recorded([*events, lost], "cnn-00000")


def test_a_trial_whose_suggestion_is_lost(stored: StudyFolder) -> None:
    with pytest.raises(NoDataError, match="configuration of trial cnn-00000 is lost"):
        recorded([event for event in stored.read() if event.kind is not Kind.SUGGESTED], "cnn-00000")
