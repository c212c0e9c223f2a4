"""A trial as both peers train it: our network, compiled and fitted as the documentation of Keras shows."""

from __future__ import annotations

import math
import time
from typing import Any

import keras
from workloads import Data, Point

from sweeper import catalog
from sweeper.study.space import TRAINING


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """How far a trial has come; make it before the network is built.

    `epochs` are those trained to their end. `train_s` are the seconds in the batches of these epochs; the first one includes
    tracing the training function. `trial_s` also counts building the network, validation and whatever else `fit` does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs, self.train_s, self._started = 0, 0.0, time.perf_counter()

    @property
    def trial_s(self) -> float:
        """Seconds since the trial began."""
        return time.perf_counter() - self._started

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """An epoch begins."""
        self._epoch_started = time.perf_counter()

    def on_test_begin(self, logs: Any = None) -> None:
        """Its training is over; validation begins."""
        self.train_s += time.perf_counter() - self._epoch_started
        self.epochs += 1


def set_threads(intra: int, inter: int) -> None:
    """Set the threads of TensorFlow; no effect in a process that has used it before."""
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(intra)
        tf.config.threading.set_inter_op_parallelism_threads(inter)
    except RuntimeError:
        return


def network_of(point: Point, data: Data) -> Any:
    """The compiled network."""
    knobs = {name: value for name, value in point.configuration.items() if name not in TRAINING}
    shape, num_classes = data.x_train.shape[1:], data.y_train.shape[1]
    network = catalog.load("architecture", point.arm)(shape, num_classes, **knobs)
    smoothing = point.configuration["label_smoothing"]
    network.compile(
        optimizer=optimizer_of(point),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
        metrics=["accuracy"],
    )
    return network


def optimizer_of(point: Point) -> Any:
    """The optimizer of Keras that a configuration names; weight decay and momentum exist only where they have a meaning."""
    configuration = point.configuration
    rate = configuration["learning_rate"]
    if configuration["optimizer"] == "sgd":
        return keras.optimizers.SGD(rate, momentum=configuration["momentum"], nesterov=True)
    if configuration["optimizer"] == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=configuration["weight_decay"])
    return keras.optimizers.Adam(rate)


def fit(point: Point, data: Data, epochs: int, clock: Clock, *callbacks: Any) -> float:
    """Train a network; the validation accuracy of its last epoch."""
    schedule = []
    if point.configuration["schedule"] == "cosine":
        peak = float(point.configuration["learning_rate"])
        cosine = lambda epoch, rate: peak * 0.5 * (1 + math.cos(math.pi * epoch / epochs))  # noqa: E731
        schedule = [keras.callbacks.LearningRateScheduler(cosine)]
    history = network_of(point, data).fit(
        data.x_train,
        data.y_train,
        batch_size=point.configuration["batch_size"],
        epochs=epochs,
        validation_data=(data.x_validation, data.y_validation),
        callbacks=[clock, *schedule, *callbacks],
        verbose=0,
    )
    return float(history.history["val_accuracy"][-1])


def set_seed(point: Point) -> None:
    """Seed Python, NumPy and Keras, as the documentation of Keras shows."""
    if point.seed is not None:
        keras.utils.set_random_seed(point.seed % 2**32)
