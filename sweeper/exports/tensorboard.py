"""A study as event files of TensorBoard: a run per trial, with curves and with what the HParams tab needs.

Files only grow, as TensorBoard expects of them. What is in them already is not written again, so one call after another follows a
study that runs, and a call that was killed is made good by the next one.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sweeper.errors import InputError
from sweeper.exports.trials import AT_THE_END, OF_NETWORK, PER_EPOCH, Study, Trial, finite, missing
from sweeper.ledger.records import Status

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

FOLDER = "tensorboard"

ONCE = "trial"
"""Group of what a trial has once, such as its parameters; curves have the names of their columns."""

Key = tuple[str, int]
"""Tag and step: what makes a value one of a kind in a run."""


def write(study: Study, folder: str) -> list[str]:
    """The path of the folder of runs, ``tensorboard/<trial>/``, to which everything is added that it lacks.

    Args:
        study: What to write.
        folder: Where; it exists.

    Raises:
        InputError: TensorBoard is not installed, or the folder has runs of another study.
    """
    try:
        import tensorboard.compat.proto.event_pb2
        import tensorboard.plugins.hparams.metadata  # noqa: F401
    except ImportError:
        raise missing("tensorboard", "tensorboard") from None
    root = Path(folder) / FOLDER
    for trial in study.trials:
        if trial.epochs or trial.is_final:
            _follow(study, trial, root)
    root.mkdir(exist_ok=True)
    return [str(root)]


def _follow(study: Study, trial: Trial, root: Path) -> None:
    """Add to the file of a trial what it lacks."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    run = root / trial.name
    run.mkdir(parents=True, exist_ok=True)
    path = run / f"events.out.tfevents.{int(study.began)}.{socket.gethostname()}.{study.study_id}"
    mine = f".{int(study.began)}."
    for other in run.glob("events.out.tfevents.*"):
        if mine not in other.name or not other.name.endswith(f".{study.study_id}"):
            raise InputError(f"{root} has runs of another study. Name another folder with --out, or remove it.")
        path = other  # written on another machine
    with path.open("ab+") as file:
        known = _known(file)
        writer = RecordWriter(file)
        for event in _events(study, trial):
            key = _key(event)
            if key not in known:
                known.add(key)
                writer.write(event.SerializeToString())


def _known(file: BinaryIO) -> set[Key]:
    """What a file holds; a record that a killed writer left half written is cut off."""
    from tensorboard.compat.proto.event_pb2 import Event

    file.seek(0)
    known: set[Key] = set()
    end = 0
    while len(header := file.read(12)) == 12:
        (length,) = struct.unpack("<Q", header[:8])
        record = file.read(length + 4)
        if len(record) < length + 4:
            break
        known.add(_key(Event.FromString(record[:-4])))
        end = file.tell()
    file.truncate(end)
    return known


def _key(event: Event) -> Key:
    return (event.summary.value[0].tag if event.summary.value else "", event.step)


def _events(study: Study, trial: Trial) -> Iterator[Event]:
    """All that is to be told of a trial now, in order; what was told before is told again in the same way."""
    from tensorboard.compat.proto.event_pb2 import Event

    begun = trial.began or study.began
    yield Event(wall_time=begun, file_version="brain.Event:2")
    yield _hparams(begun, "session_start_info", _start(study, trial))
    for row in trial.epochs:
        time, step = row.get("time", begun), row["epoch"]
        for name, value in finite(row, PER_EPOCH).items():
            yield _scalar(time, step, name, value)
        if row is trial.epochs[0]:
            for name, value in trial.numbers(OF_NETWORK).items():
                yield _scalar(time, step, f"{ONCE}/{name}", value)
    if trial.is_final:
        ended = trial.ended or begun
        for name, value in trial.numbers(AT_THE_END).items():
            yield _scalar(ended, int(trial.facts.get("epoch", 0)), f"{ONCE}/{name}", value)
        yield _hparams(ended, "session_end_info", _end(trial, ended))


def _scalar(time: float, step: int, name: str, value: float) -> Event:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Event(wall_time=time, step=step, summary=Summary(value=[Summary.Value(tag=name, simple_value=value)]))


def _hparams(time: float, kind: str, data: HParamsPluginData) -> Event:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    value = Summary.Value(tag=f"_hparams_/{kind}", metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
    return Event(wall_time=time, summary=Summary(value=[value]))


def _start(study: Study, trial: Trial) -> HParamsPluginData:
    """Arm, stage, seed and knobs. Runs of one configuration are one group, so that seeds of it are averaged."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    info = SessionStartInfo(group_name=str(trial.facts.get("parent", trial.name)), start_time_secs=trial.began or study.began)
    knobs: dict[str, Any] = {"arm": trial.facts["arm"], "stage": trial.facts["stage"], **trial.configuration}
    for name, value in knobs.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, str):
            info.hparams[name].string_value = value
        else:
            info.hparams[name].number_value = value
    return HParamsPluginData(session_start_info=info)


def _end(trial: Trial, ended: float) -> HParamsPluginData:
    from tensorboard.plugins.hparams.api_pb2 import Status as SessionStatus
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    is_failed = trial.facts["status"] == Status.FAILED
    status = SessionStatus.STATUS_FAILURE if is_failed else SessionStatus.STATUS_SUCCESS
    return HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=ended))
