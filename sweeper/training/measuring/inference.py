"""How fast a network predicts: inference time, throughput and memory of an architecture on this machine."""

from __future__ import annotations

import dataclasses
import resource
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from sweeper.errors import KnobError, SweeperError, first_line
from sweeper.training import built
from sweeper.training.measuring import measure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inference:
    """One architecture's inference on this machine.

    Args:
        architecture: Its name.
        batch: Images at once.
        runs: Timed forward passes.
        median_ms: Median of a forward pass of one batch, result on the host, in ms.
        low_ms: Its 10th percentile.
        high_ms: Its 90th percentile.
        iqr_ms: Its interquartile range.
        images_per_s: Images a second at the median.
        parameters: Trainable parameters.
        macs: Multiply-accumulates of one image.
        weights_mb: Memory of all weights, in MB.
        peak_memory_mb: Largest resident memory of the process, framework included, in MB.
        device: What it ran on.
    """

    architecture: str
    batch: int
    runs: int
    median_ms: float
    low_ms: float
    high_ms: float
    iqr_ms: float
    images_per_s: float
    parameters: int
    macs: int
    weights_mb: float
    peak_memory_mb: float
    device: str


def measure_inference(
    architecture: str, arguments: Mapping[str, Any], input_shape: tuple[int, int, int], num_classes: int, batch: int, runs: int
) -> Inference:
    """Build an architecture and time its forward pass; call it in a process of its own: memory is that of the process.

    Auxiliary heads, which only training uses, are left out. Passes before the timed ones compile and warm caches and are not
    counted.

    Args:
        architecture: Name in the catalog.
        arguments: Its knobs.
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        batch: Images at once.
        runs: Timed passes, at least 1.

    Raises:
        KnobError: It cannot be built or run with these sizes.
    """
    import keras

    try:
        model = measure.inference_network(built.network(architecture, input_shape, num_classes, arguments))
        images = np.random.default_rng(0).standard_normal((batch, *input_shape), dtype=np.float32)
        for _ in range(max(3, runs // 10)):
            model.predict_on_batch(images)
    except SweeperError:
        raise
    except Exception as error:
        # Sizes that no check covers raise errors of any class in the framework, most of them for lack of memory.
        size = "x".join(map(str, input_shape))
        raise KnobError(
            f"{architecture} cannot be run on {batch} images of {size}: {type(error).__name__}: {first_line(error, 200)}. "
            "Choose fewer images at once, or a smaller --input-shape."
        ) from None
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        model.predict_on_batch(images)
        seconds.append(time.perf_counter() - started)
    low, quarter, median, most, high = (float(value) * 1000 for value in np.percentile(seconds, [10, 25, 50, 75, 90]))
    return Inference(
        architecture=architecture,
        batch=batch,
        runs=runs,
        median_ms=median,
        low_ms=low,
        high_ms=high,
        iqr_ms=most - quarter,
        images_per_s=batch / median * 1000,
        parameters=measure.trainable_parameters(model),
        macs=measure.count_macs(model),
        weights_mb=measure.weights_mb(model),
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        device=f"{keras.backend.backend()} on {_device()}",
    )


def _device() -> str:
    import os
    import platform

    import keras

    if gpus := keras.distribution.list_devices("gpu"):
        return ", ".join(gpus)
    return f"{platform.machine()} CPU, {len(os.sched_getaffinity(0))} cores"
