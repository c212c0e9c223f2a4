"""Files of weights: their names, what is read of them, and what is said when they are not available."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from sweeper.errors import KnobError
from sweeper.training.weights import applications, files
from sweeper.training.weights.applications import APPLICATIONS, Application
from sweeper.training.weights.pretrained import Pretrained, check_trained
from tests.weights import miniature as tiny
from tests.weights.miniature import asking, find, loaded

pytestmark = pytest.mark.usefixtures("framework")

Array = np.ndarray[Any, Any]


@pytest.mark.long
@pytest.mark.parametrize("entry", APPLICATIONS, ids=lambda entry: entry.name)
@pytest.mark.usefixtures("shapes_alone")
def test_files_have_the_names_that_keras_gives_them(entry: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras.src.utils import file_utils

    class AskedError(Exception):
        pass

    def get_file(fname: str, *arguments: Any, **options: Any) -> str:
        raise AskedError(fname)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(AskedError, match=f"^{entry.file}$"):
        entry.build_body(weights="imagenet", input_shape=files.STAGE_SHAPE)


@pytest.mark.long
def test_all_weights_but_the_heads_are_those_of_the_file(folder: Path, entry: Application) -> None:
    given = loaded(folder)
    body = tiny.write(folder, entry)
    theirs = sorted(array.tobytes() for array in body.get_weights())
    assert sorted(array.tobytes() for array in given.arrays if array is not None) == theirs
    assert [array is None for array in given.arrays] == [False] * (len(given.arrays) - 2) + [True] * 2
    assert max(given.stages) == 4  # a stem and three stages
    assert given.stages[-3:] == (1, 0, 0)
    assert given.stages == loaded(folder, (64, 64, 3)).stages == loaded(folder, (4, 4, 3)).stages


def test_what_travels_between_processes_is_what_was_read(folder: Path, tmp_path: Path) -> None:
    given = loaded(folder)
    given.save(tmp_path)
    read = Pretrained.read(tmp_path)
    for field in dataclasses.fields(Pretrained):
        if field.name != "arrays":
            assert getattr(read, field.name) == getattr(given, field.name)
    for first, second in zip(read.arrays, given.arrays, strict=True):
        assert (first is None and second is None) or first.tobytes() == second.tobytes()  # type: ignore[union-attr]


def damaged(kind: str, folder: Path, entry: Application) -> None:
    path = folder / entry.file
    if kind == "absent":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif kind == "text":
        path.write_text("weights")
    elif kind == "other":
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    elif kind == "shapes":
        body = entry.build_body(weights=None, input_shape=files.THEIR_SHAPE)
        first = body.layers[1]
        config = {**body.get_config()}
        for layer in config["layers"]:
            if layer["config"]["name"] == first.name:
                layer["config"]["kernel_size"] = [5, 5]
        keras.Model.from_config(config).save(path)
    elif kind == "nan":
        body = entry.build_body(weights=None, input_shape=files.THEIR_SHAPE)
        body.layers[2].set_weights([weight * np.nan for weight in body.layers[2].get_weights()])
        body.save(path)


@pytest.mark.parametrize("kind", ["absent", "cut", "text", "other", "shapes", "nan"])
def test_a_file_that_cannot_be_used_is_named_with_both_ways_to_have_it(kind: str, folder: Path, entry: Application) -> None:
    damaged(kind, folder, entry)
    (fault,) = find(asking(**tiny.FIXED), folder=folder).faults
    assert fault.startswith("arms.arm: the weights of TinyNet, tiny_notop.h5, are not available: ")
    assert str(folder) in fault
    assert "name the folder in training.weights_folder" in fault
    assert "where Keras can fetch the file" in fault
    assert "\n" not in fault


def test_a_file_that_keras_cannot_fetch_is_named(entry: Application) -> None:
    (fault,) = find(asking(**tiny.FIXED), folder=None).faults
    assert "are not available: Keras cannot fetch it: URL fetch failure on https://example.org/tiny_notop.h5" in fault
    assert "name the folder in training.weights_folder" in fault


def test_all_files_that_keras_cannot_fetch_are_named_but_none_is_fetched_in_vain(
    entry: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = dataclasses.replace(entry, arguments={**tiny.KNOBS, "width": 8}, weights="wide_notop.h5")
    monkeypatch.setattr(applications, "APPLICATIONS", (entry, wide))
    arms = [asking("a", **tiny.FIXED), asking("b", **{**tiny.FIXED, "width": 8}), asking("c", **tiny.FIXED)]
    first, second = find(*arms, folder=None).faults
    assert first.startswith("arms.a: the weights of TinyNet, tiny_notop.h5, are not available")
    assert second.startswith("arms.b: the weights of TinyNet, wide_notop.h5, are not available")
    (only,) = find(*arms, asking("d", "cnn", weights="imagenet"), folder=None).faults
    assert only.startswith("arms.d")


def test_a_file_that_keras_has_fetched_is_used(
    folder: Path, entry: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    folder.rename(tmp_path / "models")
    monkeypatch.setattr(keras.applications, "TinyNet", lambda weights, **options: tiny.tiny_net(**options))
    found = find(asking(**tiny.FIXED), folder=None)
    assert found.faults == []
    assert found.networks[tiny.FILE].label.startswith("tiny_notop.h5 sha256:")


def test_all_that_is_wrong_is_said_at_once(folder: Path, entry: Application) -> None:
    (folder / entry.file).unlink()
    arms = [asking("a", **tiny.FIXED), asking("b", "cnn", weights="imagenet"), asking("c", **{**tiny.FIXED, "width": 8})]
    found = find(*arms, folder=folder, shape=(16, 16, 4))
    said = ["dataset: its images have 4 channels", "arms.b", "arms.c", "arms.a"]
    assert [fault.startswith(text) for fault, text in zip(found.faults, said, strict=True)] == [True] * 4


def test_more_stages_than_there_are_is_a_fault(folder: Path) -> None:
    assert find(asking(**tiny.FIXED, trained="last-4"), folder=folder).faults == []
    with pytest.raises(KnobError, match="has 2 stages in front of its head; allowed: all, head, last-1, last-2"):
        check_trained("last-3", (2, 1, 0))
