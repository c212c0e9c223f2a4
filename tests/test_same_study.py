"""Whether a stored study is the one asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.driver.extending import extended, extension_to
from sweeper.driver.opened import OpenedStudy, open_study
from sweeper.errors import InputError
from sweeper.ledger.ledger import StudyFolder
from sweeper.search import extension
from sweeper.study.spec import DatasetSpec, StudySpec, parse

STUDY = parse("name: a\ndataset: {name: digits, size: 16}\narms: {cnn: {}}\nbudget: {trials: 1, max_epochs: 1}\n")


def stored(folder: Path, spec: StudySpec) -> OpenedStudy:
    files = StudyFolder(folder / "a")
    files.create(spec.to_yaml())
    return open_study(files)


def with_dataset(**options: object) -> StudySpec:
    return STUDY.model_copy(update={"dataset": DatasetSpec(**options)})  # type: ignore[arg-type]


def test_options_of_a_dataset_that_are_newer_than_a_study_are_at_their_defaults(tmp_path: Path) -> None:
    older = with_dataset(name="digits", size=16)
    assert older.study_id != STUDY.study_id
    assert extension_to(stored(tmp_path, older), STUDY) is None
    assert extension_to(stored(tmp_path / "new", STUDY), older) is None


def test_another_value_is_another_study(tmp_path: Path) -> None:
    smaller = with_dataset(name="digits", size=8)
    with pytest.raises(InputError, match=r"dataset\.size: 8 -> 16"):
        extension_to(stored(tmp_path, smaller), STUDY)


def test_a_dataset_that_is_gone_can_still_be_told_to_be_the_same(tmp_path: Path) -> None:
    gone = with_dataset(name="lost", path="x")
    assert extension_to(stored(tmp_path, gone), gone) is None


GRID = parse(
    """
name: a
dataset: {name: digits, size: 8}
arms: {cnn: {fixed: {schedule: constant}}}
budget: {trials: 2, max_epochs: 2}
search: {sampler: grid, grid_points: 2}
"""
)


def test_a_budget_no_study_can_have_is_refused() -> None:
    assert extended(GRID, trials=3).budget.trials == 3
    with pytest.raises(InputError, match=r"2 trials of 999999999 epochs: budget\.max_epochs"):
        extended(GRID, max_epochs=999999999)
    with pytest.raises(InputError, match=r"--trials 1: study 'a' has 2 already"):
        extended(GRID, trials=1)


def test_the_file_a_study_began_with_may_be_launched_again_after_an_extension(tmp_path: Path) -> None:
    study = stored(tmp_path, GRID)
    wanted = extended(GRID, trials=3)
    with study.files.drive() as ledger:
        study.follow(ledger.started)
        planned = extension_to(study, wanted)
        assert planned is not None
        for event in extension.events(study.search, planned):
            study.follow(ledger.append(event))
    again = open_study(study.files)
    assert again.spec == study.spec == wanted
    assert extension_to(again, GRID) is None, "as it began"
    assert extension_to(again, GRID, repeats_decayed=True) is None, "with nothing to train anew"
    assert extension_to(again, wanted) is None, "as it is"
    shorter = wanted.model_copy(update={"budget": GRID.budget.model_copy(update={"max_epochs": 3})})
    with pytest.raises(InputError, match="it can only grow"):
        extension_to(again, shorter)
