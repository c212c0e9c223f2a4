"""The JSON Schema of the study file: accepts what the reader accepts, refuses what it can refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sweeper import catalog
from sweeper.study.schema import study_schema

GOOD: dict[str, Any] = {
    "name": "a",
    "dataset": {"name": "digits", "size": 16},
    "arms": {"cnn": None, "mine": {"architecture": "resnet", "fixed": {"width": 16}, "points": [{"learning_rate": 0.01}]}},
    "budget": {"trials": 4, "max_epochs": 2},
}


def problems(study: dict[str, Any]) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(study_schema()).iter_errors(study)]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(study_schema())


@pytest.mark.parametrize("path", sorted(Path("studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_ready_studies_fit(path: Path) -> None:
    assert problems(yaml.safe_load(path.read_text())) == []


def test_a_small_study_fits() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    "search",
    [
        {"sampler": "qmc"},
        {"sampler": "grid"},
        {"sampler": "grid", "grid_points": 2},
        {"grid_points": None},
        {"learn_from": ["results/old"]},
        {"sampler": "trees", "learn_from": ["s3://bucket/results/old"]},
        {"learn_from": None},
    ],
)
def test_samplers_fit_and_a_grid_has_points_and_others_learn(search: dict[str, Any]) -> None:
    assert problems({**GOOD, "search": search}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"budget": {"trials": 0, "max_epochs": 2}},
        {"budget": {"trials": 4}},
        {"arms": {}},
        {"arms": {"a": {"architecture": "nonsense"}}},
        {"arms": {"cnn": {"points": {"width": 16}}}},
        {"dataset": {"name": "nonsense"}},
        {"dataset": {"name": "digits", "sise": 8}},
        {"dataset": {"name": "arrays"}},
        {"objectives": ["max parameters"]},
        {"search": {"sampler": "guess"}},
        {"search": {"sampler": "grid", "grid_points": 1}},
        {"search": {"sampler": "random", "grid_points": 3}},
        {"search": {"grid_points": 3}},
        {"search": {"sampler": "random", "learn_from": ["results/old"]}},
        {"search": {"learn_from": "results/old"}},
        {"name": "../a"},
    ],
)
def test_faults_are_found(change: dict[str, Any]) -> None:
    assert problems({**GOOD, **change})


def test_every_dataset_and_architecture_is_in_it() -> None:
    text = str(study_schema())
    assert all(f"'{name}'" in text for kind in ("architecture", "space", "dataset") for name in catalog.names(kind))
