"""Recorded learning curves: read from a table of the format ``sweep-curves/1``, or from the results of a study.

A data set is two files side by side: ``NAME.parquet`` with a row for each configuration of each task, and ``NAME.space.yaml``,
which says what the knobs mean. docs/replay.md describes both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import InputError, unknown
from sweeper.search.table import Table
from sweeper.study import strict_yaml
from sweeper.study.space import Choice, Configuration, Float, Int, Knob, Space, Value

FORMAT = "sweep-curves/1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """The recorded trainings of one problem.

    Args:
        name: Its name.
        space: What its configurations are made of.
        ids: Of each configuration, as the file has them.
        configurations: One for each row.
        values: Of each row, the objective after each epoch, higher is better; NaN where it diverged.
        times: Of each row, seconds from its start to the end of each epoch.
        is_cut: Of each row, whether its training was stopped early, so that its end is not known.
    """

    name: str
    space: Space
    ids: list[int]
    configurations: list[Configuration]
    values: list[NDArray[np.float64]]
    times: list[NDArray[np.float64]]
    is_cut: list[bool]

    @property
    def max_epochs(self) -> int:
        """Of the longest training."""
        return max(map(len, self.values))

    @property
    def mean_training_s(self) -> float:
        """Mean seconds of a training."""
        return float(np.mean([times[-1] for times in self.times]))

    @property
    def table(self) -> Table:
        """The configurations to choose from."""
        return Table(self.configurations)

    @property
    def finals(self) -> NDArray[np.float64]:
        """The last value of each row; -inf where it is NaN."""
        last = np.array([values[-1] for values in self.values])
        return np.where(np.isnan(last), -np.inf, last)


def read(path: Path, wanted: Iterable[str] = ()) -> list[Task]:
    """The tasks of a data set.

    Args:
        path: ``NAME.parquet``; ``NAME.space.yaml`` lies beside it.
        wanted: Names of tasks; all of them when there is none.

    Raises:
        InputError: A file is missing, is not of this format, or has no such task.
    """
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputError(f"{path}: there is no such file. Give a table of recorded curves (NAME.parquet) or a study's folder.")
    space = read_space(path)
    try:
        table = pq.read_table(path)
    except Exception as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from error
    needed = ["task", "config_id", "values", "time_s", *space.knobs]
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(missing)}; the format {FORMAT} needs them (docs/replay.md).")
    columns = {name: table.column(name).to_pylist() for name in needed}
    names = list(dict.fromkeys(map(str, columns["task"])))
    for name in wanted:
        if name not in names:
            raise InputError(unknown("task", name, names))
    return [_task(path, name, columns, space) for name in (list(wanted) or names)]


def _task(path: Path, name: str, columns: Mapping[str, list[Any]], space: Space) -> Task:
    rows = [number for number, task in enumerate(columns["task"]) if str(task) == name]
    values = [np.array(columns["values"][row], np.float64) for row in rows]
    times = [np.array(columns["time_s"][row], np.float64) for row in rows]
    for row, own, spent in zip(rows, values, times, strict=True):
        is_timed = len(own) == len(spent) and np.isfinite(spent).all() and (np.diff(spent, prepend=0.0) >= 0).all()
        if not len(own) or not is_timed:
            raise InputError(
                f"{path}, task {name}, config_id {columns['config_id'][row]}: 'values' and 'time_s' must be of one length, of at "
                "least one epoch, and the seconds must not fall."
            )
    configurations = [
        {knob: _value(space.knobs[knob], value) for knob in space.knobs if (value := columns[knob][row]) is not None}
        for row in rows
    ]
    return Task(
        name=name,
        space=space,
        ids=[int(columns["config_id"][row]) for row in rows],
        configurations=configurations,
        values=values,
        times=times,
        is_cut=[False] * len(rows),
    )


def _value(knob: Knob, value: Any) -> Value:
    if isinstance(knob, Int):
        return int(value)
    return float(value) if isinstance(knob, Float) else value


def read_space(table: Path, expected: str = FORMAT) -> Space:
    """The knobs of a data set, each called as its column, such as ``hp_width``.

    Args:
        table: ``NAME.parquet``; ``NAME.space.yaml`` beside it is read.
        expected: The format that it must name.

    Raises:
        InputError: The file is missing, or says something else.
    """
    path = table.with_name(table.name.removesuffix(".parquet") + ".space.yaml")
    try:
        data = strict_yaml.read(path.read_text(encoding="utf-8")).data
    except OSError:
        raise InputError(f"{path}: there is no such file; it says what the columns of the table mean (docs/replay.md).") from None
    if not isinstance(data, dict) or data.get("format") != expected or not isinstance(data.get("space"), dict):
        raise InputError(f"{path}: 'format' must be {expected} and 'space' a mapping of knobs (docs/replay.md).")
    knobs: dict[str, Knob] = {}
    for column, told in data["space"].items():
        try:
            knobs[str(column)] = _knob(told)
        except (KeyError, TypeError, ValueError) as error:
            kinds = "{type: float or int, low, high, log} or {type: categorical, choices}"
            raise InputError(f"{path}: space.{column} must be {kinds}, not {told!r}: {error}") from None
    return Space(architecture=str(data.get("name", path.stem)), model=knobs)


def _knob(told: Mapping[str, Any]) -> Knob:
    if told["type"] == "categorical":
        return Choice(*told["choices"])
    kind, is_log = {"float": Float, "int": Int}[told["type"]], bool(told.get("log", False))
    low, high = (int(told[end]) if kind is Int else float(told[end]) for end in ("low", "high"))
    return kind(low=low, high=high, log=is_log, default=low)  # type: ignore[arg-type]


def of_study(arms: Mapping[str, Space], trials: Iterable[Mapping[str, Any]], epochs: Iterable[Mapping[str, Any]]) -> list[Task]:
    """The trials of a study as tasks, one for each arm: those of the search stage that have an epoch.

    Args:
        arms: The space of each arm.
        trials: Rows with ``trial``, ``arm``, ``number``, ``configuration`` (a mapping) and ``is_cut``.
        epochs: Rows with ``trial``, ``value`` (higher is better) and ``seconds``, in the order of epochs.
    """
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in epochs:
        curves.setdefault(row["trial"], []).append((row["value"], row["seconds"]))
    found = []
    for arm, space in arms.items():
        own = [trial for trial in trials if trial["arm"] == arm and trial["trial"] in curves]
        if own:
            points = [np.array(curves[trial["trial"]]) for trial in own]
            found.append(
                Task(
                    name=arm,
                    space=space,
                    ids=[trial["number"] for trial in own],
                    configurations=[dict(trial["configuration"]) for trial in own],
                    values=[rows[:, 0] for rows in points],
                    times=[np.cumsum(rows[:, 1]) for rows in points],
                    is_cut=[bool(trial["is_cut"]) for trial in own],
                )
            )
    return found
