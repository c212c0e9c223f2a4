"""Build and compile once, then train many trials with it.

Tracing and compiling a network costs more than an epoch of a small one. Two configurations of the same structure differ only in
values: the weights they start from, the learning rate, and the numbers of `sweeper.training.values`. So a program is compiled
once per structure and given new values for every trial: those of an uncompiled build under the trial's seed. A reused program
therefore trains bit for bit as a fresh one.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper import catalog
from sweeper.errors import InputError
from sweeper.garbage import uncollected
from sweeper.study.space import TRAINING, Value
from sweeper.training import built
from sweeper.training.augmentation import augment
from sweeper.training.checkpoint import Arrays, assign, snapshot
from sweeper.training.limits import sizes_of
from sweeper.training.loop import new_loop
from sweeper.training.loop.base import Images, Loop, Parts
from sweeper.training.optimizer import JoinedOptimizer, build_optimizer
from sweeper.training.recipe import Recipe
from sweeper.training.scaling import standardised
from sweeper.training.task import Task
from sweeper.training.values import Values
from sweeper.training.weights.pretrained import Pretrained, wants_weights

KEPT = 4
"""Compiled programs a worker keeps; the least recently used one is dropped first."""


@dataclasses.dataclass
class Program:
    """A compiled program with the values of one trial.

    Args:
        loop: Trains and validates.
        vector: The trial's numbers, see `sweeper.training.values`.
        parameters: Trained parameters of the network without auxiliary heads.
        macs: Multiply-accumulates of the same.
    """

    loop: Loop
    vector: NDArray[np.float32]
    parameters: int
    macs: int

    @property
    def model(self) -> Any:
        """As `build` makes it."""
        return self.loop.parts.model

    @property
    def optimizer(self) -> JoinedOptimizer:
        """Of the model's trained variables."""
        return self.loop.parts.optimizer

    def train(self, order: NDArray[Any], learning_rate: float) -> dict[str, float]:
        """An epoch, as `Loop.train`."""
        self.optimizer.outer.learning_rate = learning_rate
        return self.loop.train(order, self.vector)

    def validate(self) -> dict[str, float]:
        """As `Loop.validate`, with the moving average of the weights in their place where the recipe asks for one."""
        with self._averaged():
            return self.loop.validate()

    def predict(self, images: Images | None = None) -> tuple[dict[str, float], NDArray[np.float32]]:
        """As `Loop.predict`, with the weights of `validate`."""
        with self._averaged():
            return self.loop.predict(images)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        if not self.loop.parts.recipe.ema_momentum:
            yield
            return
        kept = snapshot(self.optimizer.trained)
        self.optimizer.put_average()
        yield
        assign(self.optimizer.trained, kept)

    def state(self) -> tuple[Arrays, Arrays]:
        """The values of the model's variables and of the optimizer's, in the order of Keras."""
        return snapshot(self.model.variables), self.optimizer.snapshot()

    def set_state(self, model: Arrays, optimizer: Arrays) -> None:
        """Set what `state` gives.

        Raises:
            ValueError: Number or shapes differ.
        """
        assign(self.model.variables, model)
        self.optimizer.assign(optimizer)


class Member:
    """One of several trials that a program trains at once; `Programs.prepare_several` makes them.

    Args:
        program: Its loop is a `SeveralLoop`.
        number: Its place in that.
    """

    def __init__(self, program: Program, number: int):
        self.program, self._number = program, number
        self.parameters, self.macs = program.parameters, program.macs

    def state(self) -> tuple[Arrays, Arrays]:
        """As `Program.state`."""
        self._loop.take(self._number)
        return self.program.state()

    def set_state(self, model: Arrays, optimizer: Arrays) -> None:
        """As `Program.set_state`."""
        self.program.set_state(model, optimizer)
        self._loop.put(self._number)

    @property
    def _loop(self) -> Any:
        return self.program.loop


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
    """The model on raw images and targets (see `sweeper.training.objective`), and the network inside it; neither compiled.

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
    network = built.network(architecture, (*size, 3 if pretrained else channels), task.num_classes, _of_model(configuration))
    if pretrained:
        pretrained.give(network)
    raw = keras.Input(task.input_shape, dtype=task.image_dtype, name="images")
    labels = keras.Input((task.num_classes,), dtype="float32", name="targets")
    recipe = Recipe.of(configuration)
    images, targets = augment(raw, labels, recipe, mean=task.mean, largest=task.largest, seed=augmentation_seed)
    images = standardised(images, task, recipe, pretrained)
    outputs = network(images)
    logits, *auxiliary = outputs if isinstance(outputs, list) else [outputs]
    packed = keras.layers.Concatenate(dtype="float32", name="logits_and_targets")([logits, targets, *auxiliary])
    return keras.Model([raw, labels], packed, name="trial"), network


class Programs:
    """The compiled programs of one worker.

    Args:
        task: What they have in common.
        train: Training images.
        validation: Validation images.
        pretrained: The weights there are, by file; see `sweeper.driver.weights`.
        limits: The largest parameters and macs of a network, where the study has constraints.
    """

    def __init__(
        self,
        task: Task,
        train: Images,
        validation: Images,
        pretrained: Mapping[str, Pretrained] | None = None,
        limits: Mapping[str, int] | None = None,
    ):
        self._task, self._train, self._validation = task, train, validation
        self._pretrained, self._limits = pretrained or {}, limits or {}
        self._programs: collections.OrderedDict[str, tuple[Program, Arrays]] = collections.OrderedDict()

    def prepare(
        self,
        architecture: str,
        configuration: Mapping[str, Value],
        *,
        init_seed: int,
        augmentation_seed: int,
        images: tuple[Images, Images] | None = None,
    ) -> tuple[Program, bool]:
        """A program with fresh values for one trial, and whether it had been compiled before.

        Args:
            architecture: Name in the catalog.
            configuration: All knobs of the trial.
            init_seed: Of the initial weights and the network's random layers.
            augmentation_seed: Of the augmentation.
            images: Training and validation images of a trial that is to give probabilities; None for those of all others.

        Raises:
            LimitError: The network exceeds a constraint.
        """
        key = structure_key(architecture, configuration)
        if images is not None:
            key = f"with probabilities {key}"
        seeds = {"init_seed": init_seed, "augmentation_seed": augmentation_seed}
        program, [start], optimizer_start, is_reused = self._prepared(
            key, architecture, configuration, [seeds], new_loop, gives_probabilities=images is not None
        )
        if images is not None:
            for other, _ in self._programs.values():
                if other.loop.parts.gives_probabilities:  # also those that wait, so that images used before are let go of
                    other.loop.use(*images)
        program.set_state(start, optimizer_start)
        return program, is_reused

    def prepare_several(
        self, architecture: str, configuration: Mapping[str, Value], seeds: Sequence[Mapping[str, int]]
    ) -> tuple[list[Member], bool]:
        """A program for several trials of one configuration, as its members with fresh values, and whether it was there before.

        Args:
            architecture: Name in the catalog.
            configuration: All knobs of the trials.
            seeds: For each of them ``init_seed`` and ``augmentation_seed``, as of `prepare`.
        """
        from sweeper.training.loop.several import SeveralLoop

        count = len(seeds)
        key = f"{count} x {structure_key(architecture, configuration)}"
        program, starts, optimizer_start, is_reused = self._prepared(
            key, architecture, configuration, seeds, functools.partial(SeveralLoop, count=count)
        )
        members = [Member(program, number) for number in range(count)]
        for member, start in zip(members, starts, strict=True):
            member.set_state(start, optimizer_start)
        return members, is_reused

    def _prepared(
        self,
        key: str,
        architecture: str,
        configuration: Mapping[str, Value],
        seeds: Sequence[Mapping[str, int]],
        new: Callable[[Parts, Images, Images], Loop],
        *,
        gives_probabilities: bool = False,
    ) -> tuple[Program, list[Arrays], Arrays, bool]:
        """A program, fresh values of its model for all seeds and of its optimizer, and whether it was there before."""
        for program, _ in self._programs.values():
            program.loop.release()
        recipe, pretrained, starts = Recipe.of(configuration), self.weights_of(architecture, configuration), []
        for own in seeds:
            model, network = build(architecture, configuration, self._task, **own, pretrained=pretrained)
            starts.append(snapshot(model.variables))
        is_reused = key in self._programs
        if not is_reused:
            # Counted before anything is frozen, as papers do: a trial is as large as its network, whatever part of it is trained.
            sizes = sizes_of(network, self._limits)
            self._make_room()
            with uncollected():
                self._programs[key] = self._compile(model, network, sizes, recipe, pretrained, new, gives_probabilities)
        program, optimizer_start = self._programs[key]
        self._programs.move_to_end(key)
        program.vector = Values(model, build_optimizer(recipe), recipe, self._task.num_classes).vector
        return program, starts, optimizer_start, is_reused

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

    def _compile(
        self,
        model: Any,
        network: Any,
        sizes: Mapping[str, int],
        recipe: Recipe,
        pretrained: Pretrained | None,
        new: Callable[[Parts, Images, Images], Loop],
        gives_probabilities: bool,
    ) -> tuple[Program, Arrays]:
        if pretrained:
            pretrained.freeze(network, recipe.trained)
        optimizer = JoinedOptimizer(recipe, model.trainable_variables)
        values = Values(model, optimizer.inner, recipe, self._task.num_classes)
        parts = Parts(
            model=model,
            optimizer=optimizer,
            values=values,
            recipe=recipe,
            class_counts=self._task.class_counts,
            gives_probabilities=gives_probabilities,
        )
        loop = new(parts, self._train, self._validation)
        loop.compile()
        program = Program(loop=loop, vector=values.vector, parameters=sizes["parameters"], macs=sizes["macs"])
        return program, optimizer.snapshot()

    def _make_room(self) -> None:
        # No clear_session here: it would put the precision back to float32 and make TensorFlow optimise every kept graph again.
        while len(self._programs) >= KEPT:
            self._programs.popitem(last=False)


def structure_key(architecture: str, configuration: Mapping[str, Value]) -> str:
    """What two trials must share to run on one compiled program: not seeds, nor numbers that shape nothing.

    See `sweeper.training.values`; of these only whether they are 0 counts.
    """
    rates = catalog.load("architecture", architecture).rates
    knobs = {name: value > 0 if name in rates else value for name, value in _of_model(configuration).items()}  # type: ignore[operator]
    return json.dumps([architecture, knobs, Recipe.of(configuration).graph_key], sort_keys=True)


def _of_model(configuration: Mapping[str, Value]) -> dict[str, Value]:
    """The arguments of the architecture."""
    return {name: value for name, value in configuration.items() if name not in TRAINING}
