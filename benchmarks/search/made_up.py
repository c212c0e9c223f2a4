"""Tasks that are made up: two worlds in which early epochs say nothing, and everything, about the end of a training.

Both have 300 configurations of 4 knobs, trained for 27 epochs. The last value is a smooth function of the knobs, with its peak
anywhere, plus a little noise. An epoch takes 1 to 2 s, as the first knob says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweeper.replay.curves import Task
from sweeper.streams import generator
from sweeper.study.space import Float, Space

TASKS = 6
"""Of each set."""

CONFIGURATIONS = 300
EPOCHS = 27
KNOBS = 4
BLIND = 14
"""The first epoch that says something, where early ones are noise."""


def noise() -> list[Task]:
    """Tasks where every epoch before `BLIND` is independent noise, below any later value. Later ones are the last one."""
    return [_noise(number) for number in range(TASKS)]


def perfect() -> list[Task]:
    """Tasks where the order of the configurations is the same after every epoch."""
    return [_perfect(number) for number in range(TASKS)]


def _noise(number: int) -> Task:
    draw = generator("noise", number)
    knobs, ends = _ends(draw)
    values = np.repeat(ends[:, np.newaxis], EPOCHS, axis=1)
    values[:, : BLIND - 1] = 0.1 * draw.random((CONFIGURATIONS, BLIND - 1))
    return _task(f"noise {number}", knobs, values)


def _perfect(number: int) -> Task:
    knobs, ends = _ends(generator("perfect", number))
    return _task(f"perfect {number}", knobs, ends[:, np.newaxis] * (1 - 0.8 ** np.arange(1, EPOCHS + 1)))


def _ends(draw: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Knobs, and the last value of each configuration, from 0.1 to 1."""
    knobs, peak, weights = draw.random((CONFIGURATIONS, KNOBS)), draw.random(KNOBS), draw.uniform(0.5, 4.0, KNOBS)
    smooth = np.exp(-(weights * (knobs - peak) ** 2).sum(axis=1))
    return knobs, np.clip(0.15 + 0.8 * smooth + 0.01 * draw.normal(size=CONFIGURATIONS), 0.1, 1.0)


def _task(name: str, knobs: NDArray[np.float64], values: NDArray[np.float64]) -> Task:
    names = [f"hp_{number}" for number in range(KNOBS)]
    return Task(
        name=name,
        space=Space(architecture=name, model={knob: Float(low=0.0, high=1.0, default=0.5) for knob in names}),
        ids=list(range(CONFIGURATIONS)),
        configurations=[dict(zip(names, row, strict=True)) for row in knobs.tolist()],
        values=list(values),
        times=[(1 + own) * np.arange(1, EPOCHS + 1) for own in knobs[:, 0]],
        is_cut=[False] * CONFIGURATIONS,
    )
