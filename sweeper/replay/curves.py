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

from sweeper.errors import InputError, KnobError, unknown
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
        has_defaults: Whether the knobs have defaults worth the name.
        parameters: Of each row, the trainable parameters of its network; empty where they are not known.
    """

    name: str
    space: Space
    ids: list[int]
    configurations: list[Configuration]
    values: list[NDArray[np.float64]]
    times: list[NDArray[np.float64]]
    is_cut: list[bool]
    has_defaults: bool = False
    parameters: list[int] = dataclasses.field(default_factory=list)

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
        """The configurations to choose from; the default one first, if it is there."""
        default = self.space.default() if self.has_defaults else None
        return Table(self.configurations, default if default in self.configurations else None)

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
    told = _told(path)
    try:
        table = pq.read_table(path)
    except Exception as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from error
    missing = [name for name in ("task", "config_id", "values", "time_s") if name not in table.column_names]
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(missing)}; the format {FORMAT} needs them (docs/replay.md).")
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    names = list(dict.fromkeys(map(str, columns["task"])))
    for name in wanted:
        if name not in names:
            raise InputError(unknown("task", name, names))
    return [_task(path, name, columns, told) for name in (list(wanted) or names)]


def _task(path: Path, name: str, columns: Mapping[str, list[Any]], told: Mapping[str, Any]) -> Task:
    space, has_defaults = _space(path, name, told.get("spaces", {}).get(name, told["space"]))
    if missing := [knob for knob in space.knobs if knob not in columns]:
        raise InputError(f"{path} lacks the columns {', '.join(missing)}, which its space file names (docs/replay.md).")
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
        has_defaults=has_defaults,
        parameters=[int(columns["objective_parameters"][row]) for row in rows] if "objective_parameters" in columns else [],
    )


def _value(knob: Knob, value: Any) -> Value:
    if isinstance(knob, Int):
        return int(value)
    if isinstance(knob, Float):
        return float(value)
    assert isinstance(knob, Choice)  # in a table of several spaces, options of any type are a column of text
    return next((option for option in knob.options if option == value or str(option) == value), value)


def read_space(table: Path, expected: str = FORMAT) -> Space:
    """The knobs of a data set, each called as its column, such as ``hp_width``.

    Args:
        table: ``NAME.parquet``; ``NAME.space.yaml`` beside it is read.
        expected: The format that it must name.

    Raises:
        InputError: The file is missing, or says something else.
    """
    told = _told(table, expected)
    return _space(table, str(told.get("name", table.stem)), told["space"])[0]


def _told(table: Path, expected: str = FORMAT) -> dict[str, Any]:
    """What the space file beside a table says."""
    path = table.with_name(table.name.removesuffix(".parquet") + ".space.yaml")
    try:
        data = strict_yaml.read(path.read_text(encoding="utf-8")).data
    except OSError:
        raise InputError(f"{path}: there is no such file; it says what the columns of the table mean (docs/replay.md).") from None
    is_whole = isinstance(data, dict) and all(isinstance(data.get(key, {}), dict) for key in ("space", "spaces"))
    if not isinstance(data, dict) or not is_whole or data.get("format") != expected or "space" not in data:
        raise InputError(f"{path}: 'format' must be {expected} and 'space' a mapping of knobs (docs/replay.md).")
    return data


def _space(path: Path, name: str, told: Mapping[str, Any]) -> tuple[Space, bool]:
    """The knobs of a task, each called as its column, such as ``hp_width``; and whether all have defaults.

    Raises:
        InputError: A knob is described otherwise than the format has it.
    """
    knobs: dict[str, Knob] = {}
    for column, knob in told.items():
        try:
            knobs[str(column)] = _knob(knob)
        except (KeyError, TypeError, ValueError) as error:
            kinds = "{type: float or int, low, high, log} or {type: categorical, choices}, and may have a default and a condition"
            raise InputError(f"{path}: in its space file, {column} must be {kinds}, not {knob!r}: {error}") from None
    try:
        return Space(architecture=name, model=knobs), all("default" in knob for knob in told.values())
    except KnobError as error:
        raise InputError(f"{path}: {error}") from None


def _knob(told: Mapping[str, Any]) -> Knob:
    condition = next(((parent, tuple(values)) for parent, values in told.get("condition", {}).items()), None)
    if told["type"] == "categorical":
        return Choice(*told["choices"], default=told.get("default"), condition=condition)
    kind, is_log = {"float": Float, "int": Int}[told["type"]], bool(told.get("log", False))
    low, high, default = (
        int(told[key]) if kind is Int else float(told[key]) for key in ("low", "high", "default" if "default" in told else "low")
    )
    return kind(low=low, high=high, log=is_log, default=default, condition=condition)  # type: ignore[arg-type]


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
                    has_defaults=True,
                )
            )
    return found
