"""What a short piece of training says of a study: the arithmetic by value, and one piece for real."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.datasets import Dataset, Split
from sweeper.driver import rehearsal
from sweeper.driver.rehearsal import Piece
from sweeper.errors import InputError
from sweeper.search import forecast
from sweeper.study.spec import parse
from tests.conftest import Run

ARMS = "{cnn: {fixed: {num_blocks: 2, width: 16, batch_size: 32}}, lenet: {}}"

STUDY = f"""
name: tiny
dataset: {{name: digits}}
arms: {ARMS}
budget: {{trials: 4, max_epochs: 6}}
stopping: {{rule: none}}
"""

MINE = """
import keras

def mine(input_shape, num_classes):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)])
"""


def data(num_train: int = 1000, num_validation: int = 2000) -> Dataset:
    def split(count: int) -> Split:
        return Split(np.zeros((count, 8, 8, 1), np.uint8), np.arange(count) % 10)

    train, validation = split(num_train), split(num_validation)
    return Dataset(
        name="digits", train=train, validation=validation, read_test=lambda: validation, class_names=tuple("0123456789")
    )


def piece(arm: str, epoch_s: float, start_s: float, import_s: float | None = None) -> Piece:
    return Piece(arm=arm, epoch_s=epoch_s, start_s=start_s, import_s=import_s, memory_mb=500.0, parameters=1_000_000)


def test_rows_of_a_piece_become_those_of_whole_epochs() -> None:
    rows: list[dict[str, Any]] = [
        {"train_s": train_s, "evaluate_s": 0.5, "checkpoint_s": None, "build_s": 3.0, "import_s": 5.0}
        | {"peak_memory_mb": memory, "parameters": 70}
        for train_s, memory in ((9.0, 400.0), (0.8, 401.0), (0.7, 402.0))
    ]
    found = rehearsal.piece_of(parse(STUDY), "cnn", data(), rows)
    # 31 steps of 32 in an epoch, 8 in a piece; 2,000 images validated, 512 in a piece.
    assert found.epoch_s == pytest.approx(0.8 * 31 / 8 + 0.5 * 2000 / 512)
    assert (found.start_s, found.import_s, found.memory_mb, found.parameters) == (3.0, 5.0, 402.0, 70)


def test_few_images_are_a_whole_epoch() -> None:
    rows = [{"train_s": 0.8, "evaluate_s": 0.5, "checkpoint_s": 0.1, "build_s": 3.0, "import_s": None}] * 3
    rows = [{**row, "peak_memory_mb": 400.0, "parameters": 70} for row in rows]
    assert rehearsal.piece_of(parse(STUDY), "cnn", data(100, 50), rows).epoch_s == pytest.approx(0.8 + 0.5 + 0.1)


def test_a_study_takes_its_epochs_over_its_workers() -> None:
    study, pieces = parse(STUDY), [piece("cnn", 2.0, 4.0, 10.0), piece("lenet", 1.0, 3.0)]
    found = rehearsal.forecast_of(study, pieces, 1, data())
    starts = 2 * (0.5 * 4.0) + 2 * 3.0  # the first start of a worker tells half
    assert found.seconds.expected == pytest.approx(rehearsal.READY_S + (10 + 4) + 2 * 6 * (2 + 1) + starts)
    assert (found.epochs, found.most_epochs, found.confirm_s) == (24, 24, 0)
    assert found.seconds.low == found.seconds.expected / rehearsal.SPREAD
    assert found.seconds.high == found.seconds.expected * rehearsal.SPREAD
    assert rehearsal.forecast_of(study, pieces, 2, data()).seconds.expected < found.seconds.expected
    for range_ in (found.memory_mb, found.disk_mb):
        assert 0 < range_.low <= range_.expected <= range_.high


def test_early_stopping_and_confirmation_are_in_the_forecast() -> None:
    stopped = STUDY.replace("{rule: none}", "{rule: asha, grace_epochs: 2}\nconfirm: {seeds: 3}")
    study, pieces = parse(stopped), [piece("cnn", 2.0, 4.0, 10.0), piece("lenet", 1.0, 3.0)]
    found = rehearsal.forecast_of(study, pieces, 1, data())
    # One rung, at 2 of 6 epochs: the first trial of an arm goes on, of the second one in two.
    assert found.epochs == 2 * (6 + 2 + 4 / 2)
    again = rehearsal.READY_S + (10 + 4)
    assert found.confirm_s == pytest.approx(again + 3 * 6 * (2 + 1) + 0.5 * 4 + 3 + 2 * forecast.TIMING_S)
    assert found.disk_mb.expected == pytest.approx(12 * (2 * 2 + 2 * 3 + 1) + 0.002 * (found.epochs + 4))


@pytest.mark.long
def test_a_piece_of_own_code_is_trained_for_real(run: Run, tmp_path: Path) -> None:
    network = tmp_path / "my_code" / "architectures" / "mine.py"
    network.parent.mkdir(parents=True)
    network.write_text(MINE)
    file = tmp_path / "tiny.yaml"
    file.write_text(STUDY.replace(ARMS, "{mine: {fixed: {batch_size: 32}}}"))
    code, out, err = run("check", file, "--measure", "--json", "--code", tmp_path / "my_code")
    assert (code, err) == (0, "")
    found = json.loads(out)
    (measured,) = found["measured"]
    assert measured["arm"] == "mine"
    assert measured["parameters"] == found["arms"][0]["parameters"]
    assert min(measured["epoch_s"], measured["start_s"], measured["import_s"]) > 0
    assert found["forecast"]["seconds"]["low"] < found["forecast"]["seconds"]["high"]
    assert "forecast" not in json.loads(run("check", file, "--json", "--code", tmp_path / "my_code")[1])


@pytest.mark.long
def test_a_default_configuration_that_cannot_be_trained_is_named() -> None:
    images = data(40, 20)
    flat = Split(images.train.images[..., 0], images.train.labels)  # without channels
    with pytest.raises(InputError, match=r"default configurations cannot be trained:\n  - arms\.cnn: "):
        rehearsal.rehearse(parse(STUDY.replace(", lenet: {}", "")), dataclasses.replace(images, train=flat), 1)
