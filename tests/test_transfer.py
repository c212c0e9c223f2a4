"""Trials that begin with weights of ImageNet: what an arm may ask for, what a network is given and sees, what is trained.

Most of it is tried with a network in miniature and a file of random weights; see `tests/weights.py`.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from sweeper import catalog, requests, runner, transfer
from sweeper.datasets import Split
from sweeper.errors import InputError, KnobError, SweeperError
from sweeper.records import METRICS, Status
from sweeper.space import Choice, Float, Int, Space
from sweeper.spec import ResourcesSpec, StudySpec, TrainingSpec, parse
from sweeper.storage import place
from sweeper.store import StudyStore
from sweeper.training import applications, devices, measure, weight_files
from sweeper.training.applications import APPLICATIONS, Application
from sweeper.training.checkpoint import snapshot
from sweeper.training.pretrained import TRAINING_ONLY, Asking, Pretrained, check_trained, weights_in_order
from sweeper.training.program import Programs, Task, build
from sweeper.training.trial import Assignment, Worker
from tests import weights as tiny
from tests.conftest import Run
from tests.tiny_study import rows_of

pytestmark = pytest.mark.usefixtures("framework")

Array = np.ndarray[Any, Any]

FAMILIES = {entry.architecture: entry for entry in reversed(APPLICATIONS)}
"""The first network of each architecture."""

EPOCHS = 4
SHAPE = (16, 16, 3)

GREY = (16, 16, 1)


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Application:
    tiny.in_this_process(monkeypatch)
    return tiny.install(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path, entry: Application) -> Path:
    """A folder with the file of the miniature network."""
    tiny.write(tmp_path / "weights", entry)
    return tmp_path / "weights"


def asking(name: str = "arm", architecture: str = "resnet", space: str | None = None, **fixed: Any) -> Asking:
    return Asking(name=name, architecture=architecture, space=space, recipe=None, fixed=fixed)


def find(*arms: Asking, folder: Path | None, shape: tuple[int, int, int] = SHAPE, **options: Any) -> weight_files.Found:
    return weight_files.find(arms, shape, 3, folder=folder and str(folder), **options)


def loaded(folder: Path, shape: tuple[int, int, int] = SHAPE) -> Pretrained:
    found = find(asking(**tiny.FIXED), folder=folder, shape=shape)
    assert found.faults == []
    return found.networks[tiny.FILE]


def task_of(shape: tuple[int, int, int], image_dtype: str = "uint8") -> Task:
    channels = shape[2]
    return Task(
        input_shape=shape, num_classes=3, image_dtype=image_dtype, mean=(0.3,) * channels, deviation=(0.2,) * channels,
        class_counts=(8, 8, 8), num_validation=8,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------ fields of the recipe


def test_what_is_trained_is_a_knob_only_where_there_are_weights() -> None:
    choice = Choice("none", "imagenet")
    trained = Choice("all", "head").when(weights="imagenet")
    space = Space(architecture="resnet", training={"weights": choice, "trained": trained})
    assert space.default() == {"weights": "none"}
    assert space.default({"weights": "imagenet"}) == {"weights": "imagenet", "trained": "all"}
    assert space.problems({"weights": "none", "trained": "head"}) == ["'trained' exists only when 'weights' is imagenet."]
    with pytest.raises(KnobError, match="it has no meaning with weights='none'"):
        Space(architecture="resnet", training={"trained": Choice("all", "head")})


def test_a_study_file_knows_the_fields() -> None:
    text = "name: a\ndataset: {name: digits}\nbudget: {trials: 1, max_epochs: 1}\narms: {cnn: {fixed: {FIXED}}}\n"
    assert parse(text.replace("FIXED", "weights: imagenet, trained: last-2")).arms["cnn"].fixed["trained"] == "last-2"
    with pytest.raises(InputError, match="'weights' is imagenet; this space leaves it at none"):
        parse(text.replace("FIXED", "trained: head"))
    with pytest.raises(InputError, match="here 'weights' is fixed to none"):
        parse(text.replace("FIXED", "weights: none, trained: head"))
    with pytest.raises(InputError, match="'last-9' is not one of its options; allowed: all, head, last-1"):
        parse(text.replace("FIXED", "weights: imagenet, trained: last-9"))


def test_a_study_without_a_folder_of_weights_is_the_study_it_was() -> None:
    text = "name: a\ndataset: {name: digits}\nbudget: {trials: 1, max_epochs: 1}\narms: {cnn: {}}\n"
    plain, with_folder = parse(text), parse(text + "training: {weights_folder: weights}\n")
    assert "weights_folder" not in plain.canonical() + plain.to_yaml()
    assert plain.study_id == "c9b3bd9c928ffbe4"
    assert parse(with_folder.to_yaml()) == with_folder
    assert with_folder.study_id != plain.study_id
    for wrong in ("''", "3", "[a]"):
        with pytest.raises(InputError, match=r"training\.weights_folder"):
            parse(text + f"training: {{weights_folder: {wrong}}}\n")


# ------------------------------------------------------------------------------------------------- what an arm may ask for


def test_which_arms_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
name: a
dataset: {name: digits}
budget: {trials: 3, max_epochs: 1}
arms:
  plain: {architecture: cnn}
  none: {architecture: cnn, fixed: {weights: none}}
  fixed: {architecture: densenet, space: densenet_published, fixed: {variant: "121", weights: imagenet, trained: head}}
"""
    study = parse(text)
    assert [arm.name for arm in transfer.asking(study)] == ["fixed"]
    searched = Space(architecture="cnn", training={"weights": Choice("none", "imagenet")})
    monkeypatch.setattr(StudySpec, "space_of", lambda self, arm: searched)
    assert [arm.name for arm in transfer.asking(study)] == ["plain", "fixed"]


@pytest.mark.parametrize("entry", APPLICATIONS, ids=lambda entry: entry.name)
def test_the_networks_of_the_table_are_recognised(entry: Application) -> None:
    known = {knob: value for knob, value in applications.resolved(entry.architecture, {}).items() if knob in TRAINING_ONLY}
    assert applications.matching(entry.architecture, {**entry.arguments, **dict.fromkeys(known, 0.123)}) == entry
    own = applications.resolved(entry.architecture, entry.arguments)
    for knob, value in own.items():
        if knob in TRAINING_ONLY:
            continue
        other = (not value) if isinstance(value, bool) else f"{value}x" if isinstance(value, str) else value + 1
        assert applications.matching(entry.architecture, {**entry.arguments, knob: other}) != entry, knob


@pytest.mark.parametrize("architecture", sorted({entry.architecture for entry in APPLICATIONS}))
def test_knobs_for_training_alone_change_neither_weights_nor_what_is_computed(architecture: str) -> None:
    function = catalog.load("architecture", architecture)
    images = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")
    knobs = [knob for knob in applications.resolved(architecture, {}) if knob in TRAINING_ONLY]
    random.seed(0)
    plain = tiny.randomise(function(SHAPE, 3, **{**function.tiny, **dict.fromkeys(knobs, 0.0)}))
    for knob in knobs:
        other = function(SHAPE, 3, **{**function.tiny, **dict.fromkeys(knobs, 0.0), knob: 0.3})
        for weight, same in zip(weights_in_order(other), weights_in_order(plain), strict=True):
            assert weight.path.rsplit("/", 1)[-1] == same.path.rsplit("/", 1)[-1]
            weight.assign(same)  # raises where shapes differ
        np.testing.assert_array_equal(np.asarray(other(images)), np.asarray(plain(images)))


def test_a_search_may_go_over_whatever_has_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    arm = asking(architecture="densenet", space="densenet_published", weights="imagenet")
    found = find(arm, folder=None, may_download=False)
    assert found.faults == []
    assert [file.partition("_")[0] for file in found.files["arm"]] == ["densenet121", "densenet169", "densenet201"]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"width": Int(low=4, high=8, default=4)}, "it has width searched"),
        ({"width": Choice(4, 8)}, "it has width 8, not 4"),
        ({"attention": Choice("none", "se")}, "it has attention se, not none"),
        ({"dropout": Float(low=0.0, high=0.5, default=0.0)}, ""),
    ],
)
def test_what_is_searched_must_have_weights(
    space: dict[str, Any], said: str, entry: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = {name: value for name, value in tiny.FIXED.items() if name not in space}
    monkeypatch.setattr(weight_files, "_space", lambda arm: Space(architecture="resnet", model=space))
    found = find(asking(space="resnet", **fixed), folder=None, may_download=False)
    assert bool(found.faults) == bool(said)
    assert all(said in fault for fault in found.faults)


def test_a_network_without_weights_is_told_which_have_some() -> None:
    arms = [
        asking("small", "cnn", weights="imagenet"),
        asking("own", "resnet", "resnet", weights="imagenet"),
        asking("near", "resnet", "resnet_published", variant="50", stem="small", weights="imagenet"),
    ]
    found = find(*arms, folder=None, may_download=False)
    small, own, near = found.faults
    assert small.startswith("arms.small: there are no weights of ImageNet for cnn. Allowed: ")
    assert "densenet 121, 169, 201" in small
    assert own.startswith("arms.own: there are no weights of ImageNet for this network: it has ")
    assert 'Allowed: space: resnet_published, fixed: {variant: "50", stride_on: conv1x1}' in own
    assert "it has stride_on conv3x3, not conv1x1, stem small, not large." in near
    assert 'Allowed: fixed: {variant: "50", stride_on: conv1x1}' in near
    assert "Other networks with weights: densenet 121" in near


# ---------------------------------------------------------------------------------------------------------------- files


@pytest.mark.slow
@pytest.mark.parametrize("entry", APPLICATIONS, ids=lambda entry: entry.name)
def test_files_have_the_names_that_keras_gives_them(entry: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras.src.utils import file_utils

    class AskedError(Exception):
        pass

    def get_file(fname: str, *arguments: Any, **options: Any) -> str:
        raise AskedError(fname)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(AskedError, match=f"^{entry.file}$"):
        entry.build_body(weights="imagenet", input_shape=weight_files.STAGE_SHAPE)


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
        body = entry.build_body(weights=None, input_shape=weight_files.THEIR_SHAPE)
        first = body.layers[1]
        config = {**body.get_config()}
        for layer in config["layers"]:
            if layer["config"]["name"] == first.name:
                layer["config"]["kernel_size"] = [5, 5]
        keras.Model.from_config(config).save(path)
    elif kind == "nan":
        body = entry.build_body(weights=None, input_shape=weight_files.THEIR_SHAPE)
        body.layers[2].set_weights([weight * np.nan for weight in body.layers[2].get_weights()])
        body.save(path)


@pytest.mark.parametrize("kind", ["absent", "cut", "text", "other", "shapes", "nan"])
def test_a_file_that_cannot_be_used_is_named_with_both_ways_to_have_it(kind: str, folder: Path, entry: Application) -> None:
    damaged(kind, folder, entry)
    (fault,) = find(asking(**tiny.FIXED), folder=folder).faults
    assert fault.startswith("arms.arm: the weights of TinyNet, tiny_notop.h5, cannot be had: ")
    assert str(folder) in fault
    assert "name the folder in training.weights_folder" in fault
    assert "where Keras can fetch the file" in fault
    assert "\n" not in fault


def test_a_file_that_keras_cannot_fetch_is_named(entry: Application) -> None:
    (fault,) = find(asking(**tiny.FIXED), folder=None).faults
    assert "tiny_notop.h5, cannot be had: Keras cannot fetch it: URL fetch failure on https://example.org/tiny_notop.h5" in fault
    assert "name the folder in training.weights_folder" in fault


def test_all_files_that_keras_cannot_fetch_are_named_but_none_is_fetched_in_vain(
    entry: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = dataclasses.replace(entry, arguments={**tiny.KNOBS, "width": 8}, weights="wide_notop.h5")
    monkeypatch.setattr(applications, "APPLICATIONS", (entry, wide))
    arms = [asking("a", **tiny.FIXED), asking("b", **{**tiny.FIXED, "width": 8}), asking("c", **tiny.FIXED)]
    first, second = find(*arms, folder=None).faults
    assert first.startswith("arms.a: the weights of TinyNet, tiny_notop.h5, cannot be had")
    assert second.startswith("arms.b: the weights of TinyNet, wide_notop.h5, cannot be had")
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


# ------------------------------------------------------------------------------------------------------ what a network sees


def logits(given: Pretrained, configuration: dict[str, Any], images: Array, head: list[Array], architecture: str) -> Array:
    """What our program gives for raw images, its head replaced."""
    shape = images.shape[1:]
    model, network = build(
        architecture, configuration, task_of(shape, str(images.dtype)), init_seed=1, augmentation_seed=2, pretrained=given
    )
    network.layers[-1].set_weights(head)
    return np.asarray(model([images, np.zeros((len(images), 3), "float32")]))[:, :3]


def expected(body: keras.Model, seen: Array, head: list[Array]) -> Array:
    features = np.asarray(body(seen)).mean(axis=(1, 2))
    result: Array = features @ head[0] + head[1]
    return result


def head_of(channels: int) -> list[Array]:
    draw = np.random.default_rng(5)
    return [draw.normal(size=(channels, 3)) / np.sqrt(channels), draw.normal(size=3)]


def pixels(shape: tuple[int, int, int], count: int = 6) -> Array:
    return np.random.default_rng(4).integers(0, 256, (count, *shape)).astype("uint8")


@pytest.fixture
def double_precision() -> Iterator[None]:
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(previous)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("preprocess", [tiny.CAFFE, tiny.TORCH, tiny.TF], ids=["caffe", "torch", "tf"])
@pytest.mark.parametrize("has_statistics", [False, True])
@pytest.mark.parametrize("kind", ["uint8", "float32", "grey"])
def test_a_network_sees_what_it_saw_when_it_was_trained(
    preprocess: Any, has_statistics: bool, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tiny.install(monkeypatch, preprocess, has_statistics=has_statistics)
    tiny.write(tmp_path, entry)
    shape = GREY if kind == "grey" else SHAPE
    raw = pixels(shape)
    given = loaded(tmp_path, shape)
    assert given.is_bgr == (preprocess is tiny.CAFFE)
    colour = raw.repeat(3, axis=-1) if kind == "grey" else raw
    theirs = entry.build_body(weights=None, input_shape=SHAPE)
    theirs.load_weights(tmp_path / entry.file)
    seen = preprocess(colour.astype("float64"))
    images = (raw / 255).astype("float32") if kind == "float32" else raw
    head = head_of(16)
    ours = logits(given, tiny.FIXED, images, head, "resnet")
    assert ours.std() > 0.1
    np.testing.assert_allclose(ours, expected(theirs, seen, head), atol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("double_precision")
@pytest.mark.filterwarnings("ignore:.input_shape. is undefined")  # of images for which there is no file of their own
@pytest.mark.parametrize("entry", FAMILIES.values(), ids=lambda entry: entry.name)
def test_published_networks_see_what_keras_shows_them(
    entry: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against Keras's own network with its weights of ImageNet, which come from a file of ours."""
    from keras.src.utils import file_utils

    from tests.test_equality import randomize

    name = entry.name
    module = next(part for part in vars(keras.applications).values() if hasattr(part, name) and hasattr(part, "preprocess_input"))
    shape = (64, 64, 3)
    raw = pixels(shape, count=16)
    seen = module.preprocess_input(raw.astype("float64"))
    random.seed(0)
    body = entry.build_body(weights=None, input_shape=shape)
    for layer in body.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:  # their file has deviations in the place of variances
            layer.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(1)])
            layer.finalize_state()
    body.save(tmp_path / entry.file)
    monkeypatch.setattr(file_utils, "get_file", lambda fname, *arguments, **options: str(tmp_path / fname))
    theirs = entry.build_body(weights="imagenet", pooling="avg", input_shape=shape)
    randomize(theirs, seen, np.random.default_rng(0))
    theirs.save(tmp_path / entry.file)
    arm = asking(architecture=entry.architecture, **entry.arguments, weights="imagenet")
    found = find(arm, folder=tmp_path, shape=shape)
    assert found.faults == []
    given = found.networks[entry.file]
    if sum(array is None for array in given.arrays) != 2:
        pytest.skip("its head is more than one layer")
    channels = theirs.output.shape[-1]
    head = head_of(channels)
    wanted = np.asarray(theirs(seen)) @ head[0] + head[1]
    spread = wanted.std(axis=0).mean()
    assert spread > 0.01
    ours = logits(given, dict(arm.fixed), raw, head, entry.architecture)
    np.testing.assert_allclose(ours / spread, wanted / spread, atol=1e-4)


# ---------------------------------------------------------------------------------------------------------- what is trained


@pytest.fixture(scope="module")
def splits() -> tuple[Split, Split]:
    draw = np.random.default_rng(0)
    labels = np.arange(48) % 3
    images = (draw.integers(0, 120, (48, *GREY)) + 60 * labels[:, None, None, None]).clip(0, 255).astype("uint8")
    return Split(images[:32], labels[:32]), Split(images[32:], labels[32:])


def worker_of(splits: tuple[Split, Split], folder: Path, given: Pretrained, patch: pytest.MonkeyPatch) -> Worker:
    patch.setattr(devices, "configure", lambda training, resources: "cpu")
    return Worker(
        train=splits[0],
        validation=splits[1],
        num_classes=3,
        training=TrainingSpec(),
        resources=ResourcesSpec(),
        checkpoints=folder / "checkpoints",  # type: ignore[arg-type]
        pretrained={given.file: given},
    )


def assignment(trial: str = "t", attempt: int = 1, known: int = 0, **knobs: Any) -> Assignment:
    return Assignment(
        trial=trial, arm="arm", architecture="resnet", attempt=attempt, configuration={**tiny.FIXED, **knobs}, seed=3,
        max_epochs=EPOCHS, known_epochs=known,
    )  # fmt: skip


def trained(worker: Worker, task: Assignment, epochs: int = EPOCHS) -> list[dict[str, Any]]:
    worker.start(task)
    rows: list[dict[str, Any]] = []
    for _ in range(epochs):
        news = worker.step()
        assert "rows" in news, news
        rows += news["rows"]
    return rows


def metrics(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [[row["epoch"], *(row[name] for name in METRICS)] for row in rows]


@pytest.mark.parametrize(
    ("what", "deepest"),
    [
        ("head", 0),
        ("last-2", 2),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("all", 4), ("last-1", 1), ("last-4", 4))),
    ],
)
def test_exactly_what_is_to_be_trained_changes(what: str, deepest: int, folder: Path) -> None:
    given = loaded(folder, GREY)
    programs = Programs(task_of(GREY), {given.file: given})
    configuration = {**tiny.FIXED, "trained": what}
    program, _ = programs.prepare("resnet", configuration, init_seed=1, augmentation_seed=2)
    network = next(layer for layer in program.model.layers if isinstance(layer, keras.Model))
    before = snapshot(weights_in_order(network))
    for array, weight in zip(given.arrays, before, strict=True):
        assert array is None or array.tobytes() == weight.tobytes()
    targets = np.eye(3, dtype="float32")[np.arange(24) % 3]
    program.model.fit([pixels(GREY, 24), targets], targets, batch_size=8, shuffle=False, verbose=0)
    changed = [
        first.tobytes() != second.tobytes() for first, second in zip(before, snapshot(weights_in_order(network)), strict=True)
    ]
    assert changed == [stage <= deepest for stage in given.stages]
    # What a table compares arms by is the size of the network, whatever is trained of it.
    fresh = catalog.load("architecture", "resnet")(SHAPE, 3, **tiny.KNOBS)
    assert program.parameters == measure.trainable_parameters(fresh)
    assert (measure.trainable_parameters(network) == program.parameters) == (what == "all" or deepest == 4)


def test_the_head_begins_at_random_and_follows_the_seed(folder: Path) -> None:
    given = loaded(folder, GREY)
    programs = Programs(task_of(GREY), {given.file: given})
    heads = []
    for seed in (1, 2, 1):
        program, is_reused = programs.prepare("resnet", {**tiny.FIXED, "trained": "head"}, init_seed=seed, augmentation_seed=2)
        network = next(layer for layer in program.model.layers if isinstance(layer, keras.Model))
        heads.append(np.asarray(network.weights[-2]).tobytes())
    assert is_reused
    assert heads[0] != heads[1]
    assert heads[0] == heads[2]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["all", "head", "last-2"])
def test_going_on_and_a_reused_program_are_bit_for_bit_the_same(
    what: str, folder: Path, splits: tuple[Split, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = loaded(folder, GREY)
    knobs = {"trained": what, "dropout": 0.2, "ema_momentum": 0.5}
    first = worker_of(splits, tmp_path / "a", given, monkeypatch)
    whole = trained(first, assignment(**knobs))
    assert whole[-1]["val_loss"] != whole[0]["val_loss"]
    reused = trained(first, assignment("again", **knobs))
    assert reused[0]["is_program_reused"]
    assert metrics(reused) == metrics(whole)
    trained(worker_of(splits, tmp_path / "b", given, monkeypatch), assignment(**knobs), epochs=2)
    rest = trained(worker_of(splits, tmp_path / "b", given, monkeypatch), assignment(attempt=2, known=2, **knobs), epochs=2)
    assert metrics(rest) == metrics(whole[2:])


def test_a_row_says_which_file_its_trial_began_with(
    folder: Path, splits: tuple[Split, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = loaded(folder, GREY)
    worker = worker_of(splits, tmp_path, given, monkeypatch)
    (row,) = trained(worker, assignment(trained="head"), epochs=1)
    assert json.loads(row["versions"])["weights"] == given.label
    (row,) = trained(worker, assignment("plain", weights="none"), epochs=1)
    assert "weights" not in json.loads(row["versions"])


def test_weights_that_no_driver_read_fail_the_trial(
    splits: tuple[Split, Split], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_of(splits, tmp_path, dataclasses.replace(loaded(folder, GREY), file="other"), monkeypatch)
    worker.start(assignment())
    assert "there are no weights for this resnet" in worker.step()["failure"]["detail"]


# --------------------------------------------------------------------------------------------------------- the whole product


def study_of(data: Path, folder: Path | None, **fixed: Any) -> StudySpec:
    return StudySpec.model_validate(
        {
            "name": "tiny",
            "dataset": {"name": "arrays", "path": str(data)},
            "arms": {"net": {"architecture": "resnet", "space": "resnet_published", "fixed": fixed}},
            "budget": {"trials": 1, "max_epochs": 1},
            "search": {"sampler": "random"},
            "stopping": {"rule": "none"},
            "training": {"weights_folder": str(folder)} if folder else {},
        }
    )


def write_study(path: Path, data: Path, arms: str, training: str = "") -> Path:
    path.write_text(
        f"name: tiny\ndataset: {{name: arrays, path: {data}}}\nbudget: {{trials: 2, max_epochs: 1}}\n"
        f"arms: {arms}\ntraining: {{{training}}}\n"
    )
    return path


ABSENT = (
    'a: {architecture: resnet, space: resnet_published, fixed: {variant: "50", stride_on: conv1x1, weights: imagenet}}',
    "b: {architecture: cnn, fixed: {weights: imagenet}}",
)


@pytest.mark.parametrize("command", ["launch", "check"])
def test_a_study_that_cannot_have_its_weights_is_refused_and_leaves_nothing(
    command: str, run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.in_this_process(monkeypatch)
    file = write_study(tmp_path / "study.yaml", data, f"{{{', '.join(ABSENT)}}}", "weights_folder: none")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run(command, file)
    assert code == 2
    assert out == ""
    assert "arms.b: there are no weights of ImageNet for cnn" in err
    assert "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5, cannot be had: there is no such file" in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["launch", "check"])
def test_a_folder_that_nothing_needs_is_a_fault(command: str, run: Run, data: Path, tmp_path: Path) -> None:
    file = write_study(tmp_path / "study.yaml", data, "{cnn: {}}", "weights_folder: weights")
    code, _, err = run(command, file)
    assert code == 2
    assert "training.weights_folder: no arm begins with weights. Leave it out" in err


def test_check_says_which_files_are_needed(run: Run, data: Path, tmp_path: Path) -> None:
    dense = "{architecture: densenet, space: densenet_published, fixed: {variant: '121', weights: imagenet}}"
    file = write_study(tmp_path / "study.yaml", data, f"{{plain: {{architecture: cnn}}, d: {dense}}}")
    code, out, _ = run("check", file)
    assert code == 0
    assert "weights are fetched by Keras at launch" in out
    code, out, _ = run("check", file, "--json")
    plain, large = json.loads(out)["arms"]
    assert large["weights"] == "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert "weights" not in plain
    assert large["parameters"] == 6_964_106  # of images with three channels


def test_a_driver_takes_no_new_arm_whose_weights_it_has_not_read(data: Path, tmp_path: Path) -> None:
    first = study_of(data, None, variant="18")
    arms = {**first.arms, "late": first.arms["net"].model_copy(update={"fixed": {"variant": "50", "weights": "imagenet"}})}
    budget = first.budget.model_copy(update={"trials": 2})
    stored = StudyStore(tmp_path / "tiny")
    stored.create(first.to_yaml())
    from sweeper.search.study import Search

    class Session:
        search = Search(first)
        have_weights: frozenset[str] = frozenset()

        def record(self, event: Any) -> None:
            raise AssertionError(event)

    wanted = first.model_copy(update={"arms": arms, "budget": budget})
    with pytest.raises(InputError, match="weights for late were not read when this driver started"):
        runner._extend(Session(), stored, wanted, repeats_decayed=False)  # type: ignore[arg-type]


def test_what_waits_in_the_folder_is_read_for_too_unless_it_cannot_be(
    data: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StudySpec, "space_of", lambda self, arm: Space(architecture="resnet"))
    monkeypatch.setattr(weight_files, "_space", lambda arm: Space(architecture="resnet"))
    spec = study_of(data, folder, **tiny.FIXED).model_copy(update={"arms": {}})
    net = study_of(data, folder, **tiny.FIXED).arms["net"]
    dataset = runner.load_dataset(spec)

    def weights() -> set[str]:
        return runner._weights(spec.model_copy(update={"arms": {"net": net}}), spec, place(tmp_path), dataset)[1]

    assert weights() == {"net"}
    requests.post(tmp_path, spec.model_copy(update={"arms": {"more": net}}), repeats_decayed=False)
    assert weights() == {"net", "more"}
    wrong = net.model_copy(update={"fixed": {**net.fixed, "width": 8}})
    requests.post(tmp_path, spec.model_copy(update={"arms": {"wrong": wrong}}), repeats_decayed=False)
    assert weights() == {"net"}


@pytest.mark.slow
def test_a_process_that_breaks_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text("{")
    with pytest.raises(SweeperError, match=r"(?s)the weights could not be read: the process that does it ended with 1.*JSON"):
        transfer.run(tmp_path, TrainingSpec())


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_ready")
def test_a_study_with_weights_is_launched_and_trained_again(
    data: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = next(entry for entry in APPLICATIONS if entry.name == "ResNet50")
    weights = tmp_path / "weights"
    weights.mkdir()
    random.seed(0)
    entry.build_body(weights=None, input_shape=weight_files.THEIR_SHAPE).save(weights / entry.file)
    fixed = {**entry.arguments, "dropout": 0.1, "weights": "imagenet", "trained": "head", "batch_size": 64, "learning_rate": 1e-4}
    spec = study_of(data, weights, **fixed)
    outcome = runner.launch(spec, tmp_path / "results")
    trials, epochs = rows_of(outcome.folder)
    (trial,), (epoch,) = trials, epochs
    assert trial["status"] == Status.COMPLETED, trial["detail"]
    assert trial["parameters"] == 23_528_522  # of all layers, 10 classes
    recorded = json.loads(trial["versions"])["weights"]
    assert recorded.startswith(f"{entry.file} sha256:")
    assert json.loads(trial["configuration"])["trained"] == "head"
    assert np.isfinite(epoch["val_loss"])

    monkeypatch.setattr(devices, "configure", lambda training, resources: "cpu")
    monkeypatch.setattr(devices, "environment", lambda training, resources, keras_home: {"KERAS_HOME": keras_home})
    code, out, err = run("retrain", outcome.folder, "net-00000")
    assert code == 0, out + err
    assert "1 of 1 epoch is identical bit for bit" in out
    entry.build_body(weights=None, input_shape=weight_files.THEIR_SHAPE).save(weights / entry.file)
    code, out, err = run("retrain", outcome.folder, "net-00000")
    assert code == 1
    assert f"the weights it began with have changed, so the trial will not come out the same: recorded {recorded}, now " in err
    assert f"weights: recorded {recorded}, now" in out
