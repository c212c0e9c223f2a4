"""Whether a model gives what is recorded of its trial: the same answers to the trial's own validation images."""

from __future__ import annotations

import dataclasses
import json
import math
import socket
from typing import TYPE_CHECKING, Any

from sweeper.driver import provenance
from sweeper.driver.retrain import Recorded, circumstances, differing
from sweeper.errors import SweeperError
from sweeper.ledger import predictions
from sweeper.streams import seed_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sweeper.datasets import Dataset, Split
    from sweeper.driver.opened import OpenedStudy
    from sweeper.study.spec import StudySpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounds:
    """How far numbers may be from those that are recorded: rounding on another machine or framework, and nothing else.

    Args:
        share: Of the validation images, those that may get another answer; one image always may.
        probability: The largest difference of a probability.
    """

    share: float
    probability: float


FULL, HALF = Bounds(share=0.001, probability=0.005), Bounds(share=0.01, probability=0.05)
"""Of float32, and of networks that compute with half of the digits."""


def validation_of(record: Recorded, dataset: Dataset) -> tuple[Split, NDArray[Any]]:
    """The validation images of a trial and their numbers, as in its predictions: carved by its seed, if so."""
    import numpy as np

    from sweeper.datasets import _splits

    begun = record.assignment
    if begun.is_carved and dataset.can_be_carved:
        _, validation, rows = _splits.carved_anew(dataset.train, dataset.validation, seed_of(begun.seed, "split"))
        return validation, rows
    return dataset.validation, np.arange(len(dataset.train), len(dataset.train) + len(dataset.validation))


def bounds_of(spec: StudySpec) -> Bounds:
    """Those of the precision a study computes in."""
    return FULL if spec.training.precision == "float32" else HALF


def check(
    opened: OpenedStudy, record: Recorded, dataset: Dataset, validation: Split, rows: NDArray[Any], found: NDArray[Any]
) -> dict[str, Any]:
    """What the model reaches, beside what is recorded.

    Raises:
        SweeperError: They differ by more than rounding explains.
    """
    import numpy as np

    count, bounds = len(validation), bounds_of(opened.spec)
    accuracy = float(np.mean(found.argmax(axis=1) == validation.labels))
    row = record.epochs[record.last]
    told = float(row.val_accuracy if row.val_accuracy is not None else math.nan)
    difference = _to_kept(opened, record.assignment.trial, rows, found)
    is_far = not abs(accuracy - told) * count <= max(1.0, bounds.share * count) + 1e-6
    if is_far or (difference is not None and not difference <= bounds.probability):
        changed = differing(*_circumstances(opened, record, dataset))
        lines = "\n".join(f"  - {line}" for line in changed) or "  - nothing that is recorded of the circumstances"
        probabilities = "" if difference is None else f"; probabilities differ by up to {difference:.3g}"
        raise SweeperError(
            f"the model of {record.assignment.trial} reaches a validation accuracy of {accuracy:.4f} here, and {told:.4f} is "
            f"recorded, of {count:,} images{probabilities}. Nothing was written. What is not as it was:\n{lines}"
        )
    return {"images": count, "val_accuracy": accuracy, "recorded": told, "prediction_difference": difference}


def _to_kept(opened: OpenedStudy, trial: str, rows: NDArray[Any], found: NDArray[Any]) -> float | None:
    """The largest difference to the probabilities that are kept of a confirmed trial; None where none are."""
    import numpy as np

    if not (opened.folder / "predictions" / f"{trial}.parquet").is_file():
        return None
    table, _ = predictions.read(opened.folder)
    assert table is not None
    columns = {name: table.column(name).to_pylist() for name in ("trial", "split", "row")}
    kept = {
        row: place
        for place, (own, split, row) in enumerate(zip(*columns.values(), strict=True))
        if (own, split) == (trial, "validation")
    }
    if set(kept) != set(rows.tolist()):
        return math.inf
    wanted = np.asarray(table.column("probabilities").take([kept[row] for row in rows.tolist()]).to_pylist())
    return float(np.abs(wanted - found).max())


def _circumstances(opened: OpenedStudy, record: Recorded, dataset: Dataset) -> tuple[dict[str, str], dict[str, str]]:
    """What may explain a difference: as it was, and as it is, of everything that is known of both."""
    import platform
    from importlib import metadata

    import keras

    backend = keras.backend.backend()
    versions = {"python": platform.python_version(), **provenance.versions(), backend: metadata.version(backend)}
    constants = provenance.constants_of(opened.first, dataset)
    here = {"worker": f"{socket.gethostname()}:", "versions": json.dumps(versions), **constants}
    then, now = record.circumstances, circumstances([here])
    both = then.keys() & now.keys()
    return {name: then[name] for name in then if name in both}, {name: now[name] for name in then if name in both}
