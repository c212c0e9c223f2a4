"""Checkpoints: everything a trial needs to go on exactly where it was, as one .npz of arrays and one JSON text.

Written whole into a temporary folder and renamed, so a checkpoint is there completely or not at all. No pickle is written or
read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT = 2
"""Newest checkpoints kept while a trial runs: the last one, and the one before in case the last is damaged."""

Arrays = list[NDArray[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of a trial after an epoch.

    Args:
        epoch: Epochs trained.
        attempt: The attempt that wrote it.
        rows: The trial's epoch rows so far, as JSON objects.
        model: Every variable of the model in order: weights, statistics, states of seed generators.
        optimizer: Every variable of the optimizer in order.
    """

    epoch: int
    attempt: int
    rows: tuple[dict[str, Any], ...]
    model: Arrays
    optimizer: Arrays


def folder_of(folder: Path, attempt: int, epoch: int) -> Path:
    """Where the checkpoint of an epoch lies; `folder` is the trial's."""
    return folder / f"attempt-{attempt}" / f"epoch-{epoch:05d}"


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into a trial's folder, whole, then remove all but the newest `KEPT`."""
    target = folder_of(folder, checkpoint.attempt, checkpoint.epoch)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    arrays = {f"model_{index:05d}": array for index, array in enumerate(checkpoint.model)}
    arrays |= {f"optimizer_{index:05d}": array for index, array in enumerate(checkpoint.optimizer)}
    try:
        with (temporary / "state.npz").open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
            _sync(stream.fileno())
        with (temporary / "state.json").open("w", encoding="utf-8") as stream_json:
            json.dump({"epoch": checkpoint.epoch, "attempt": checkpoint.attempt, "rows": checkpoint.rows}, stream_json)
            _sync(stream_json.fileno(), stream_json)
        if target.exists():
            shutil.rmtree(target)
        os.replace(temporary, target)
    except BaseException:
        # On a full disk above all, where what is left behind would keep it full.
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in _stored(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read, damaged ones passed over; None when there is none."""
    for stored in _stored(folder):
        try:
            state = json.loads((stored / "state.json").read_text(encoding="utf-8"))
            with (stored / "state.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                model = [arrays[name] for name in sorted(arrays.files) if name.startswith("model_")]
                optimizer = [arrays[name] for name in sorted(arrays.files) if name.startswith("optimizer_")]
            return Checkpoint(
                epoch=int(state["epoch"]),
                attempt=int(state["attempt"]),
                rows=tuple(state["rows"]),
                model=model,
                optimizer=optimizer,
            )
        except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
            continue
    return None


def remove(folder: Path, keep_newest: bool) -> None:
    """Remove a trial's checkpoints, all or all but the newest, and what killed workers left half written."""
    kept = _stored(folder)[:1] if keep_newest else []
    for found in folder.glob("attempt-*/*"):
        if found not in kept:
            shutil.rmtree(found, ignore_errors=True)
    if not keep_newest:
        shutil.rmtree(folder, ignore_errors=True)


def snapshot(variables: Sequence[Any]) -> Arrays:
    """The values of Keras variables as numpy arrays of their own."""
    from keras import ops

    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Sequence[Any], values: Arrays) -> None:
    """Set Keras variables to values taken with `snapshot` from variables of the same structure.

    Raises:
        ValueError: When number or shapes differ.
    """
    for variable, value in zip(variables, values, strict=True):
        if tuple(variable.shape) != value.shape:
            raise ValueError(f"variable {variable.path} has shape {tuple(variable.shape)}, its stored value {value.shape}")
        variable.assign(value)


def _stored(folder: Path) -> list[Path]:
    """Checkpoints of a trial, newest first: of the latest attempt, since it passed over what of older ones is damaged."""

    def key(path: Path) -> tuple[int, int]:
        return int(path.parent.name.removeprefix("attempt-")), int(path.name.removeprefix("epoch-"))

    return sorted(_found(folder), key=key, reverse=True)


def _found(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("attempt-*/epoch-*") if path.is_dir())


def _sync(descriptor: int, stream: Any = None) -> None:
    if stream is not None:
        stream.flush()
    os.fsync(descriptor)
