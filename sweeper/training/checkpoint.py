"""Checkpoints: everything a trial needs to go on exactly where it was, as one .npz of arrays, one of them a JSON text.

::

    <study>/checkpoints/<trial>/attempt-<a>/epoch-<e:05d>.npz

One file, so a checkpoint exists whole or not at all. Every attempt has a folder of its own, so a worker that outlives its driver
never writes into the folder of a later attempt. No pickle is written or read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import CheckpointError, StorageError
from sweeper.storage import Place, Where, place

KEPT = 2
"""Newest checkpoints kept while a trial runs: the last one, and the one before in case the last is damaged."""

_NAME = re.compile(r"attempt-([0-9]+)/epoch-([0-9]+)\.npz")

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listed:
    """A file among a study's checkpoints.

    Args:
        path: Where it lies.
        trial: The trial whose folder it is in.
        attempt: The attempt that wrote it; None for a file that a killed worker left half written.
        epoch: Epochs trained; None as for `attempt`.
        size: Bytes.
    """

    path: Place
    trial: str
    attempt: int | None
    epoch: int | None
    size: int


def path_of(folder: Where, attempt: int, epoch: int) -> Place:
    """Where the checkpoint of an epoch lies; `folder` is the trial's."""
    return place(folder) / f"attempt-{attempt}" / f"epoch-{epoch:05d}.npz"


def write(folder: Where, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into a trial's folder, whole, then remove older ones; the newest `KEPT` stay.

    Raises:
        OSError: The disk did not take it; nothing is left of it.
    """
    path = path_of(folder, checkpoint.attempt, checkpoint.epoch)
    path.parent.make_folder()
    state = json.dumps({"epoch": checkpoint.epoch, "attempt": checkpoint.attempt, "rows": checkpoint.rows})
    arrays = {"state": np.frombuffer(state.encode(), np.uint8)}
    arrays |= {f"model_{index:05d}": array for index, array in enumerate(checkpoint.model)}
    arrays |= {f"optimizer_{index:05d}": array for index, array in enumerate(checkpoint.optimizer)}
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    path.write_whole(stream.getbuffer(), may_replace=True)
    before = [old for old in stored(folder) if _key(old) < (checkpoint.attempt, checkpoint.epoch)]
    for old in before[KEPT - 1 :]:
        old.remove()


def newest(folder: Where, before_attempt: int | None = None) -> Checkpoint | None:
    """The newest checkpoint that can be read, skipping damaged ones; None when there is none.

    Args:
        folder: The trial's.
        before_attempt: Only those of earlier attempts than this one; None for all.

    Raises:
        StorageError: The object store did not answer.
    """
    passed_over: set[Place] = set()
    last = math.inf if before_attempt is None else before_attempt - 1
    while found := [path for path in stored(folder) if path not in passed_over and _key(path)[0] <= last]:
        try:
            return read(found[0])
        except CheckpointError:
            passed_over.add(found[0])
        except FileNotFoundError:
            # A worker that outlives its driver writes for a moment longer, and removes older checkpoints when it does.
            continue
    return None


def read(path: Where) -> Checkpoint:
    """One checkpoint.

    Raises:
        FileNotFoundError: There is none.
        CheckpointError: It cannot be read.
        StorageError: The object store did not answer, which says nothing about the checkpoint.
    """
    try:
        # In one go: on an object store every partial read is a request of its own.
        with np.load(io.BytesIO(place(path).read_bytes()), allow_pickle=False) as arrays:
            state = json.loads(arrays["state"].tobytes())
            return Checkpoint(
                epoch=int(state["epoch"]),
                attempt=int(state["attempt"]),
                rows=tuple(state["rows"]),
                model=[arrays[name] for name in sorted(arrays.files) if name.startswith("model_")],
                optimizer=[arrays[name] for name in sorted(arrays.files) if name.startswith("optimizer_")],
            )
    except (FileNotFoundError, StorageError):
        raise
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is not a readable checkpoint: {error}. An older one is used, if there is one.") from error


def stored(folder: Where) -> list[Place]:
    """Checkpoints of a trial, newest first, those of the latest attempt before all others: it skipped damaged older ones."""
    folder = place(folder)
    return sorted((folder / name for name in folder.tree() if _NAME.fullmatch(name)), key=_key, reverse=True)


def listing(checkpoints: Where) -> list[Listed]:
    """Every file in a study's folder of checkpoints, in order; safe while workers write.

    Args:
        checkpoints: The study's; it need not exist.
    """
    checkpoints = place(checkpoints)
    found = []
    for name, size in sorted(checkpoints.tree().items()):
        trial, _, rest = name.partition("/")
        if rest.count("/") != 1:
            continue
        named = _NAME.fullmatch(rest)
        attempt, epoch = map(int, named.groups()) if named else (None, None)
        found.append(Listed(path=checkpoints / name, trial=trial, attempt=attempt, epoch=epoch, size=size))
    return found


def problem(path: Where) -> str | None:
    """Why a checkpoint cannot be read whole; None when it can, or when it was removed meanwhile.

    Raises:
        StorageError: The object store did not answer, which says nothing about the checkpoint.
    """
    try:
        data = place(path).read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            return f"{damaged} in it is damaged"
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            state = json.loads(arrays["state"].tobytes())
        return None if {"epoch", "attempt", "rows"} <= state.keys() else "its state is incomplete"
    except FileNotFoundError:
        return None
    except StorageError:
        raise
    except Exception as error:  # any error a library raises on bytes that are no longer an archive
        return f"{type(error).__name__}: {error}"


def remove(folder: Where, keep_newest: bool) -> None:
    """Remove a trial's checkpoints, all or all but the newest, and the files that killed workers left half written.

    A file that cannot be removed stays; the sweep goes on.
    """
    folder = place(folder)
    if not keep_newest:
        folder.remove_tree()
        return
    kept = stored(folder)[:1]
    for name in folder.tree():
        if folder / name not in kept:
            with contextlib.suppress(OSError):
                (folder / name).remove()


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


def _key(path: Place) -> tuple[int, int]:
    return int(path.parent.name.removeprefix("attempt-")), int(path.name.removeprefix("epoch-").removesuffix(".npz"))
