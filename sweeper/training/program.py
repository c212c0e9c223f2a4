"""Build and compile once, then train many trials with it.

Tracing and compiling a network costs more than an epoch of a small one. Two configurations of the same structure differ only in
values: the weights they start from and the learning rate. So a program is compiled once per structure and given new values for
every trial: those of an uncompiled build under the trial's seed. A reused program therefore trains bit for bit as a fresh one.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sweeper import catalog
from sweeper.errors import InputError
from sweeper.study.space import TRAINING, Value
from sweeper.training.augmentation import augment
from sweeper.training.checkpoint import Arrays, assign, snapshot
from sweeper.training.measuring import measure
from sweeper.training.recipe import Recipe
from sweeper.training.weights.pretrained import Pretrained, wants_weights

KEPT = 4
"""Compiled programs a worker keeps; the least recently used one is dropped first."""

AUXILIARY_WEIGHT = 0.3
"""Weight of the loss of each auxiliary head: Szegedy et al., Going Deeper with Convolutions, arXiv:1409.4842, section 5."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What every program of a study has in common: the shape and scale of the data.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        image_dtype: ``uint8`` or ``float32``.
        mean: Per channel, of the training images as float from 0 to 1.
        deviation: Per channel, standard deviation of the same; 1 for a channel that never changes.
        class_counts: Training images of each class; every class has some.
        num_validation: Validation images.
    """

    input_shape: tuple[int, int, int]
    num_classes: int
    image_dtype: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    class_counts: tuple[int, ...]
    num_validation: int

    @property
    def num_train(self) -> int:
        """Training images."""
        return sum(self.class_counts)

    @property
    def largest(self) -> float:
        """Largest value an image can have."""
        return 255.0 if self.image_dtype == "uint8" else 1.0


@dataclasses.dataclass
class Program:
    """A compiled model, with the values its optimizer starts from.

    The model takes [images, targets] and gives (batch, 2 x classes): logits, then the targets to compare them with, which differ
    from those given where augmentation mixes them. The logits of auxiliary heads follow, if the network has any. `parameters` and
    `macs` are those of the network without auxiliary heads.
    """

    model: Any
    optimizer_start: Arrays
    parameters: int
    macs: int


def seed_network(seed: int) -> None:
    """Call before a network is built: its weights, the states of its random layers and all names then follow from the seed."""
    from keras.src.utils.naming import reset_uids

    # Keras names layers by counting those made before in this process, and TensorFlow adds the terms of a sum in the order of
    # names. With three or more terms, as behind a tensor that goes into three branches, another order rounds differently. So the
    # count starts again. Keras has had this function since 3.0, but does not export it.
    reset_uids()
    # Keras draws the default seeds of initialisers and layers from Python's generator.
    random.seed(seed)


def build(
    architecture: str,
    configuration: Mapping[str, Value],
    task: Task,
    *,
    init_seed: int,
    augmentation_seed: int,
    pretrained: Pretrained | None = None,
) -> tuple[Any, Any]:
    """The model on raw images and targets (see `Program`), and the network inside it; neither compiled.

    Args:
        architecture: Name in the catalog.
        configuration: All knobs.
        task: Shape and scale of the data.
        init_seed: All weights and the states of all seeded layers of the network follow from it.
        augmentation_seed: The states of all augmentation layers follow from it.
        pretrained: The weights it begins with, all but the head's. Images are then standardised as for the network these come
            from, grey ones as three equal channels. Nothing is frozen yet.
    """
    import keras

    *size, channels = task.input_shape
    seed_network(init_seed)
    network = catalog.load("architecture", architecture)(
        (*size, 3 if pretrained else channels), task.num_classes, **_of_model(configuration)
    )
    if pretrained:
        pretrained.give(network)
    raw = keras.Input(task.input_shape, dtype=task.image_dtype, name="images")
    labels = keras.Input((task.num_classes,), dtype="float32", name="targets")
    images, targets = augment(raw, labels, Recipe.of(configuration), mean=task.mean, largest=task.largest, seed=augmentation_seed)
    if pretrained and channels == 1:
        images = keras.layers.Concatenate(name="repeat")([images] * 3)
    means, deviations = (pretrained.mean, pretrained.deviation) if pretrained else (task.mean, task.deviation)
    scale = [1 / (task.largest * deviation) for deviation in deviations]
    offset = [-mean / deviation for mean, deviation in zip(means, deviations, strict=True)]
    images = keras.layers.Rescaling(scale, offset, name="standardise")(images)
    if pretrained and pretrained.is_bgr:
        images = keras.ops.flip(images, axis=-1)
    outputs = network(images)
    logits, *auxiliary = outputs if isinstance(outputs, list) else [outputs]
    packed = keras.layers.Concatenate(dtype="float32", name="logits_and_targets")([logits, targets, *auxiliary])
    return keras.Model([raw, labels], packed, name="trial"), network


def loss_of(recipe: Recipe, class_counts: tuple[int, ...]) -> Callable[[Any, Any], Any]:
    """The loss of each image: cross-entropy, smoothed and weighted as the recipe says.

    The cross-entropy of each auxiliary head is added, with `AUXILIARY_WEIGHT` and otherwise alike.

    Balanced weights are (images / classes) / (images of the class), so they are 1 on average over the training images; an image
    with mixed labels has the weights mixed in the same shares.
    """
    import keras

    balanced = [sum(class_counts) / len(class_counts) / max(count, 1) for count in class_counts]
    entropy_of = functools.partial(
        keras.losses.categorical_crossentropy, from_logits=True, label_smoothing=recipe.label_smoothing
    )

    def loss(_: Any, packed: Any) -> Any:
        logits, targets, *auxiliary = _unpacked(packed, len(class_counts))
        entropy = entropy_of(targets, logits)
        for others in auxiliary:
            entropy = entropy + AUXILIARY_WEIGHT * entropy_of(targets, others)
        if recipe.class_weights == "none":
            return entropy
        return entropy * keras.ops.sum(targets * keras.ops.convert_to_tensor(balanced, "float32"), axis=-1)

    return loss


def accuracy(given: Any, packed: Any) -> Any:
    """Whether the largest logit of each image is that of its (largest) target; `given` says how many classes there are."""
    import keras

    logits, targets, *_ = _unpacked(packed, given.shape[-1])
    return keras.metrics.categorical_accuracy(targets, logits)


def cross_entropy(given: Any, packed: Any) -> Any:
    """Cross-entropy of each image, in nats, neither smoothed nor weighted nor with auxiliary heads; `given` as above."""
    import keras

    logits, targets, *_ = _unpacked(packed, given.shape[-1])
    return keras.losses.categorical_crossentropy(targets, logits, from_logits=True)


def _unpacked(packed: Any, num_classes: int) -> list[Any]:
    """What a program gives: logits, targets, logits of auxiliary heads, each (batch, classes)."""
    import keras

    return list(keras.ops.split(packed, packed.shape[-1] // num_classes, axis=-1))


class Programs:
    """The compiled programs of one worker.

    Args:
        task: What they have in common.
        pretrained: The weights there are, by file; see `sweeper.driver.weights`.
    """

    def __init__(self, task: Task, pretrained: Mapping[str, Pretrained] | None = None):
        self._task = task
        self._pretrained = pretrained or {}
        self._programs: collections.OrderedDict[str, Program] = collections.OrderedDict()

    def prepare(
        self, architecture: str, configuration: Mapping[str, Value], *, init_seed: int, augmentation_seed: int
    ) -> tuple[Program, bool]:
        """A program with fresh values for one trial, and whether it had been compiled before.

        Args:
            architecture: Name in the catalog.
            configuration: All knobs of the trial.
            init_seed: Of the initial weights and the network's random layers.
            augmentation_seed: Of the augmentation.
        """
        recipe = Recipe.of(configuration)
        key = structure_key(architecture, configuration)
        pretrained = self.weights_of(architecture, configuration)
        seeds = {"init_seed": init_seed, "augmentation_seed": augmentation_seed}
        model, network = build(architecture, configuration, self._task, **seeds, pretrained=pretrained)
        start = snapshot(model.variables)
        is_reused = key in self._programs
        if not is_reused:
            self._make_room()
            self._programs[key] = self._compile(model, network, recipe, pretrained)
        program = self._programs[key]
        self._programs.move_to_end(key)
        assign(program.model.variables, start)
        assign(program.model.optimizer.variables, program.optimizer_start)
        return program, is_reused

    def weights_of(self, architecture: str, configuration: Mapping[str, Value]) -> Pretrained | None:
        """The weights a trial begins with; None when it begins without.

        Raises:
            InputError: They are missing.
        """
        if not wants_weights(configuration):
            return None
        from sweeper.training.weights.applications import matching

        application = matching(architecture, _of_model(configuration))
        if application is None or application.file not in self._pretrained:
            raise InputError(f"there are no weights for this {architecture}: the driver that started this run loaded none.")
        return self._pretrained[application.file]

    def _compile(self, model: Any, network: Any, recipe: Recipe, pretrained: Pretrained | None) -> Program:
        # Counted before anything is frozen, as papers do: a trial is as large as its network, whatever part of it is trained.
        counted = measure.inference_network(network)
        parameters = measure.trainable_parameters(counted)
        if pretrained:
            pretrained.freeze(network, recipe.trained)
        optimizer = recipe.build_optimizer()
        # Before mixed precision wraps it: built inside the wrapper, its own variables (Nadam's) would be in no list, so they
        # would neither be in a checkpoint nor be reset for the next trial.
        optimizer.build(model.trainable_variables)
        model.compile(
            optimizer=optimizer,
            loss=loss_of(recipe, self._task.class_counts),
            metrics=[accuracy, cross_entropy],
        )
        model.optimizer.build(model.trainable_variables)
        optimizer_start = snapshot(model.optimizer.variables)
        self._warm_up(model, recipe.batch_size)
        return Program(
            model=model,
            optimizer_start=optimizer_start,
            parameters=parameters,
            macs=measure.count_macs(counted),
        )

    def _warm_up(self, model: Any, batch_size: int) -> None:
        """Trace and compile now, so that no epoch's training time contains it; the values it changes are set afterwards."""
        task = self._task
        for run, count in ((model.fit, task.num_train), (model.evaluate, task.num_validation)):
            # One whole batch and the shorter last one: the two shapes an epoch has.
            rows = min(count, batch_size + count % batch_size)
            images = np.zeros((rows, *task.input_shape), task.image_dtype)
            labels = np.zeros((rows, task.num_classes), np.float32)
            labels[:, 0] = 1
            options = {"epochs": 1, "shuffle": False} if run == model.fit else {}
            run([images, labels], labels, batch_size=batch_size, verbose=0, **options)

    def _make_room(self) -> None:
        # No clear_session here: it would put the precision back to float32 and make TensorFlow optimise every kept graph again.
        while len(self._programs) >= KEPT:
            self._programs.popitem(last=False)


def structure_key(architecture: str, configuration: Mapping[str, Value]) -> str:
    """What two trials must share to run on one compiled program: everything but seeds and learning rate."""
    return json.dumps([architecture, _of_model(configuration), Recipe.of(configuration).graph_key], sort_keys=True)


def _of_model(configuration: Mapping[str, Value]) -> dict[str, Value]:
    """The arguments of the architecture."""
    return {name: value for name, value in configuration.items() if name not in TRAINING}
