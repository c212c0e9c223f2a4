"""Logits of every architecture, with weights and images that follow from a rule of numpy alone.

``python -m tests.architectures.golden`` writes those of the current backend to stdout. ``--accept`` makes those of TensorFlow
that are new or differ the golden ones, ``tests/golden/logits.json``. ``--compare`` says by how much those of the current backend
differ from these.
"""

from __future__ import annotations

import argparse
import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parents[1] / "golden" / "logits.json"
TOLERANCE = 1e-4
"""Largest difference of a logit between backends and machines."""

SHAPE, NUM_CLASSES, NUM_IMAGES = (12, 12, 3), 5, 2

Logits = dict[str, list[list[float]]]


def value(path: str, position: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """What a weight holds, from its place in the model and the end of its path; of a size that keeps activations near 1."""
    generator = np.random.default_rng([position, zlib.crc32(path.rsplit("/", 1)[-1].encode())])
    if "variance" in path:
        return generator.uniform(0.5, 1.5, shape)
    if "gamma" in path or "scale" in path:
        return generator.uniform(0.7, 1.3, shape)
    spread = 0.1 if len(shape) < 2 else 1 / math.sqrt(math.prod(shape[:-1]))
    return generator.normal(0.0, spread, shape)


def logits(name: str, knobs: dict[str, Any]) -> list[list[float]]:
    """What the smallest instance of an architecture, with some knobs changed, says of a few images, auxiliary heads as well."""
    import keras

    from sweeper.training.built import shapes_alone
    from tests.architectures.kit import build, outputs

    with shapes_alone():  # JAX compiles random initial values for every shape
        model = build(name, SHAPE, NUM_CLASSES, **knobs)
    for position, weight in enumerate(model.weights):
        if keras.backend.standardize_dtype(weight.dtype).startswith("float"):
            weight._initialize(value(weight.path, position, tuple(weight.shape)).astype("float32"))
    images = np.random.default_rng(0).normal(size=(NUM_IMAGES, *SHAPE)).astype("float32")
    scores = np.concatenate([keras.ops.convert_to_numpy(given) for given in outputs(model, images)], axis=-1)
    return [[float(score) for score in row] for row in scores]


def cases(everything: bool) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name and changed knobs by label: the smallest instance of each architecture; with `everything` all its options too."""
    from tests.architectures.kit import NAMES, variations

    found = {}
    for name in NAMES:
        for knobs in variations(name):
            if everything or not knobs:
                found[" ".join([name, *(f"{knob}={option}" for knob, option in knobs.items())])] = (name, knobs)
    return found


def all_logits(everything: bool = True) -> Logits:
    """Logits of all cases, by label."""
    return {label: logits(*case) for label, case in cases(everything).items()}


def is_new(label: str, rows: list[list[float]], golden: Logits) -> bool:
    """Whether a case has no golden logits, or others; those of another machine may differ in the last digit."""
    return label not in golden or not np.allclose(rows, golden[label], rtol=0, atol=TOLERANCE)


def main() -> None:
    """Write the logits of the current backend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--everything", action="store_true")
    options = parser.parse_args()
    if options.accept:
        golden = json.loads(FILE.read_text(encoding="utf-8"))
        found = {label: rows if is_new(label, rows, golden) else golden[label] for label, rows in all_logits().items()}
        rounded = {label: [[round(score, 5) for score in row] for row in rows] for label, rows in found.items()}
        lines = ",\n".join(f"{json.dumps(label)}: {json.dumps(rows)}" for label, rows in rounded.items())
        FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
        changed = [label for label, rows in found.items() if is_new(label, rows, golden)]
        gone = [label for label in golden if label not in found]
        print(f"{len(found)} written; new or changed: {', '.join(changed) or 'none'}; gone: {', '.join(gone) or 'none'}")
    elif options.compare:
        golden, found = json.loads(FILE.read_text(encoding="utf-8")), all_logits()
        largest = {label: float(np.abs(np.subtract(rows, golden[label])).max()) for label, rows in found.items()}
        label = max(largest, key=lambda label: largest[label])
        print(f"{len(found)} of {len(golden)} compared; the largest difference is {largest[label]:.1e}, of {label}")
    else:
        print(json.dumps(all_logits(options.everything)))


if __name__ == "__main__":
    main()
