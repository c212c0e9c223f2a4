"""What an arm may ask for, and what it is told when there are no weights for it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from sweeper import catalog
from sweeper.driver import weights as transfer
from sweeper.errors import InputError, KnobError
from sweeper.study.space import Choice, Float, Int, Space
from sweeper.study.spec import SearchSpec, StudySpec, parse
from sweeper.training.weights import applications, files
from sweeper.training.weights.applications import APPLICATIONS, Application
from sweeper.training.weights.pretrained import TRAINING_ONLY, weights_in_order
from tests.weights import miniature as tiny
from tests.weights.miniature import SHAPE, asking, find

pytestmark = pytest.mark.usefixtures("framework")

Array = np.ndarray[Any, Any]


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
    before = plain.model_copy(update={"search": SearchSpec(sampler="tpe", repeats=False)})
    assert before.study_id == "38a3e8a0e9b3f480", "so were studies before there was a prior"
    assert parse(with_folder.to_yaml()) == with_folder
    assert with_folder.study_id != plain.study_id
    for wrong in ("''", "3", "[a]"):
        with pytest.raises(InputError, match=r"training\.weights_folder"):
            parse(text + f"training: {{weights_folder: {wrong}}}\n")


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


@pytest.mark.long
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


@pytest.mark.long
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
    monkeypatch.setattr(files, "_space", lambda arm: Space(architecture="resnet", model=space))
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
