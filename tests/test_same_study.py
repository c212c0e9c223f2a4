"""Whether a stored study is the one asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.errors import InputError
from sweeper.search.study import Search
from sweeper.spec import DatasetSpec, StudySpec, parse
from sweeper.store import StudyStore
from sweeper.stored import extension_to

STUDY = parse("name: a\ndataset: {name: digits, size: 16}\narms: {cnn: {}}\nbudget: {trials: 1, max_epochs: 1}\n")


def stored(folder: Path, spec: StudySpec) -> StudyStore:
    study = StudyStore(folder / "a")
    study.create(spec.to_yaml())
    return study


def with_dataset(**options: object) -> StudySpec:
    return STUDY.model_copy(update={"dataset": DatasetSpec(**options)})  # type: ignore[arg-type]


def test_options_of_a_dataset_that_are_newer_than_a_study_are_at_their_defaults(tmp_path: Path) -> None:
    older = with_dataset(name="digits", size=16)
    assert older.study_id != STUDY.study_id
    assert extension_to(Search(older), STUDY, stored(tmp_path, older)) is None
    assert extension_to(Search(STUDY), older, stored(tmp_path / "new", STUDY)) is None


def test_another_value_is_another_study(tmp_path: Path) -> None:
    smaller = with_dataset(name="digits", size=8)
    with pytest.raises(InputError, match=r"dataset\.size: 8 -> 16"):
        extension_to(Search(smaller), STUDY, stored(tmp_path, smaller))


def test_a_dataset_that_is_gone_can_still_be_told_to_be_the_same(tmp_path: Path) -> None:
    gone = with_dataset(name="lost", path="x")
    assert extension_to(Search(gone), gone, stored(tmp_path, gone)) is None
