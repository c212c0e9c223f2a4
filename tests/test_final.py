"""What a worker does in the confirm stage, and with seeds that vary one source of chance alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.datasets import Split
from sweeper.ledger import predictions
from sweeper.ledger.records import SOURCES, Stage
from sweeper.storage import place
from sweeper.training import checkpoint
from sweeper.training.predicting import probabilities as probabilities_of
from sweeper.training.predicting import restored
from sweeper.training.task import Task
from sweeper.training.trial import Assignment
from tests.test_training import assignment, make, metrics, splits, train  # noqa: F401  # fixtures among them

pytestmark = pytest.mark.usefixtures("framework")


def confirmed(seed: int, **changes: Any) -> Assignment:
    task = assignment("cnn", f"cnn-00000-s{seed}", seed=seed)
    return dataclasses.replace(task, stage=Stage.CONFIRM, max_epochs=2, **changes)


def test_a_confirmed_trial_is_tested_once_and_its_predictions_stay(
    make: Any,  # noqa: F811
    splits: tuple[Split, Split],  # noqa: F811
    tmp_path: Path,
) -> None:
    test = Split(splits[0].images[:45], splits[0].labels[:45])
    options = {"test": test, "class_names": tuple("0123456789"), "predictions": place(tmp_path / "predictions")}
    worker = make(is_carved=True, **options)
    first, second = train(worker, confirmed(1001), 2), train(worker, confirmed(1002), 2)
    assert "test_accuracy" not in first[0], "before its end nothing is tested"
    assert second[0]["is_program_reused"], "other images of the same number need no other program"
    assert [json.loads(rows[0]["versions"])["carved anew"] for rows in (first, second)] == [
        json.loads(rows[-1]["versions"])["carved anew"] for rows in (first, second)
    ]
    table, names = predictions.read(place(tmp_path))
    assert table is not None
    assert len(names) == 10
    frame = table.to_pandas()
    pool = np.concatenate([splits[0].labels, splits[1].labels])
    for trial, rows in (("cnn-00000-s1001", first), ("cnn-00000-s1002", second)):
        for split, column, labels in (("test", "test", test.labels), ("validation", "val", pool)):
            own = frame[(frame["trial"] == trial) & (frame["split"] == split)]
            assert np.array_equal(labels[own["row"]], own["label"])
            probabilities = np.stack(own["probabilities"].to_list())
            assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
            assert np.mean(probabilities.argmax(axis=1) == own["label"]) == pytest.approx(rows[-1][f"{column}_accuracy"])
            loss = -np.log(probabilities[np.arange(len(own)), own["label"]]).mean()
            assert loss == pytest.approx(rows[-1][f"{column}_loss"], rel=1e-4)
    stored = checkpoint.newest(tmp_path / "checkpoints" / "cnn-00000-s1001")
    assert stored is not None
    again, _ = restored("cnn", confirmed(1001).configuration, Task.of(splits[0], 10), stored)
    own = frame[(frame["trial"] == "cnn-00000-s1001") & (frame["split"] == "test")]
    assert np.allclose(probabilities_of(again, test.images, 10), np.stack(own["probabilities"].to_list()), atol=1e-5)
    chosen = [frame[(frame["trial"] == trial) & (frame["split"] == "validation")]["row"] for trial in frame["trial"].unique()]
    assert len(chosen[0]) == len(splits[1])
    assert set(chosen[0]) != set(chosen[1])


def test_without_a_carve_or_a_test_split_it_trains_as_any_other(make: Any) -> None:  # noqa: F811
    task = confirmed(1001)
    alone = train(make(), task, 2)
    assert metrics(alone) == metrics(train(make(), dataclasses.replace(task, stage=Stage.ABLATION), 2))
    assert not {"test_accuracy", "test_loss"} & alone[-1].keys()


@pytest.mark.long
@pytest.mark.parametrize("source", SOURCES)
def test_a_seed_may_set_one_source_alone(source: str, make: Any) -> None:  # noqa: F811
    worker = make(is_carved=True)
    base = dataclasses.replace(
        assignment("cnn", seed=3, flip="horizontal", dropout=0.0, dense_dropout=0.0), stage=Stage.ABLATION, max_epochs=1
    )
    parent = metrics(train(worker, base, 1))
    same = dataclasses.replace(base, trial="same", seed=3, varies=source, parent_seed=3)
    other = dataclasses.replace(base, trial="other", seed=4, varies=source, parent_seed=3)
    again = metrics(train(worker, dataclasses.replace(other, trial="again"), 1))
    assert metrics(train(worker, other, 1)) == again
    assert again != parent
    if source != "split":  # whose carve is not that of the study
        assert metrics(train(worker, same, 1)) == parent
