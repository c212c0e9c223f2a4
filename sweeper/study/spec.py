"""The study file: YAML in, a frozen `StudySpec` out, or every fault of the file in one report.

The reader is stricter than YAML: see `sweeper.study.strict_yaml`. The file says what is searched; flags of the command say where
and how the sweep runs.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from sweeper import catalog
from sweeper.errors import LedgerError, StudyFileError
from sweeper.study import (
    ablation,
    annotated,
    budget,
    constraints,
    faults,
    grid,
    hidden,
    own,
    points,
    resources,
    secret,
    strict_yaml,
)
from sweeper.study.sections import LEARNING as LEARNING
from sweeper.study.sections import ArmResourcesSpec as ArmResourcesSpec
from sweeper.study.sections import ArmSpec as ArmSpec
from sweeper.study.sections import BudgetSpec as BudgetSpec
from sweeper.study.sections import ConfirmSpec as ConfirmSpec
from sweeper.study.sections import DatasetSpec as DatasetSpec
from sweeper.study.sections import ResourcesSpec as ResourcesSpec
from sweeper.study.sections import SearchSpec as SearchSpec
from sweeper.study.sections import Section, is_none
from sweeper.study.sections import StoppingSpec as StoppingSpec
from sweeper.study.sections import TrainingSpec as TrainingSpec
from sweeper.study.space import TRAINING, Choice, Float, Knob, Space
from sweeper.study.text import text_of

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
"""Of the name of a study; `sweeper.study.faults.STUDY_NAME` says it in words."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
ArmName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]


class StudySpec(Section):
    """One study, resolved: every default filled in, but `constraints`, `confirm` and `baseline`, which may be left out.

    `baseline` names the arm that the others are compared with, as an ablation has it (`sweeper.study.ablation`).
    """

    name: Name
    dataset: DatasetSpec
    arms: Annotated[dict[ArmName, ArmSpec], Field(min_length=1)]
    objectives: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = ("max val_accuracy", "min parameters")
    constraints: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] | None = Field(default=None, exclude_if=is_none)
    budget: BudgetSpec
    search: SearchSpec = SearchSpec()
    stopping: StoppingSpec = StoppingSpec()
    confirm: ConfirmSpec | None = Field(default=None, exclude_if=is_none)
    baseline: ArmName | None = Field(default=None, exclude_if=is_none)
    training: TrainingSpec = TrainingSpec()
    resources: ResourcesSpec = ResourcesSpec()

    @property
    def study_id(self) -> str:
        """Hash of the resolved study: 16 hexadecimal digits."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:16]

    def canonical(self) -> str:
        """The resolved study as JSON text; equal studies give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    def to_yaml(self) -> str:
        """The resolved study as a study file."""
        return strict_yaml.write(self.model_dump(mode="json"))

    @property
    def goals(self) -> tuple[tuple[str, str], ...]:
        """(``max`` or ``min``, column) of every objective; the first one decides where no front is searched."""
        return tuple((goal, column) for goal, column in (objective.split() for objective in self.objectives))

    @property
    def limits(self) -> dict[str, int]:
        """The largest value of each column that is constrained."""
        return dict(map(constraints.limit_of, self.constraints or ()))

    def trials_of(self, arm: str) -> int:
        """The arm's share of `budget.trials`."""
        return budget.shares(self.budget.trials, self.arms)[arm]

    def resources_of(self, arm: str) -> ResourcesSpec:
        """What a trial of an arm occupies: what the arm says, else what the study says. Without a GPU it needs no type of one."""
        own = self.arms[arm].resources
        found = self.resources if own is None else self.resources.model_copy(update=own.model_dump())
        return found if found.gpus_per_trial else found.model_copy(update={"accelerator_type": None})

    @property
    def shapes(self) -> tuple[ResourcesSpec, ...]:
        """What trials occupy, each different answer once, in the order of the arms."""
        return tuple(dict.fromkeys(map(self.resources_of, self.arms)))

    def space_of(self, arm: str) -> Space:
        """The search space of an arm, the recipe's knobs included."""
        space = annotated.load(self.arms[arm].space)
        return space if self.search.recipe is None else space.with_recipe(catalog.load("space", self.search.recipe))

    def grid_of(self, arm: str) -> grid.Grid | None:
        """The grid of an arm; None with a sampler that has none."""
        points = self.search.grid_points
        return None if points is None else grid.Grid(self.space_of(arm), self.arms[arm].fixed, points)

    def configurations_of(self, arm: str) -> int | None:
        """As `sweeper.study.grid.num_configurations`, of an arm."""
        return grid.num_configurations(self.space_of(arm), self.arms[arm].fixed, self.search.grid_points)


def load(path: Path | str) -> StudySpec:
    """The study in a file.

    Args:
        path: A YAML file.

    Raises:
        InputError: The file cannot be read, or needs code of the user's that is not in use (`sweeper.catalog.using`).
        StudyFileError: All its faults at once, each with its place.
    """
    return parse(text_of(Path(path)), path)


def parse(text: str, path: object = "study") -> StudySpec:
    """The study in a YAML text; `path` names it in errors.

    Raises:
        StudyFileError: All its faults at once, each with its place.
    """
    reading = strict_yaml.read(text)
    raw, lines, found = reading.data, reading.lines, reading.faults
    if raw is None and found:
        raise _faults(path, found)
    if not isinstance(raw, dict):
        holds = "the file is empty" if raw is None else f"the file holds {faults.kind(raw)} instead of keys and values"
        raise StudyFileError(path, [f"{holds}; a study needs at least name, dataset, arms and budget."])
    semantic = [*own.take_out(reading, path), *ablation.unfold(reading)]
    _fill(raw)
    semantic += [*ablation.check(raw), *faults.cross_check(raw), *points.cross_check(raw), *constraints.check(raw)]
    semantic += [*hidden.check(raw), *secret.check(raw), *resources.check(raw)]
    study = None
    try:
        study = StudySpec.model_validate(raw)
    except ValidationError as error:
        # A value that `_fill` derived is wrong only because its source is, which is reported at its own place.
        in_words = (faults.in_words(fault, _keys_at) for fault in error.errors())
        semantic += [(place, text) for place, text in in_words if place in lines or "space" not in place[2:]]
    found += [(strict_yaml.line_of(place, lines), place, text) for place, text in semantic if place not in reading.spoilt]
    if found:
        raise _faults(path, found)
    assert study is not None
    return _in_own_types(study)


def _faults(path: object, found: list[tuple[int, strict_yaml.Place, str]]) -> StudyFileError:
    ordered = sorted({(line, strict_yaml.dotted(place) + text) for line, place, text in found})
    return StudyFileError(path, [f"line {line}: {text}" for line, text in ordered])


def parse_stored(text: str, path: object) -> StudySpec:
    """The study kept in a results folder, which no user wrote.

    Only its own types are checked, never the catalog: results must stay readable when an architecture, a search space or a
    dataset has changed or gone since.

    Args:
        text: What `StudySpec.to_yaml` gave when the study began.
        path: Names it in errors.

    Raises:
        LedgerError: It is no longer a study: the file was damaged or changed by hand.
    """
    reading = strict_yaml.read(text)
    found = reading.faults
    if not found:
        words = list(constraints.check(reading.data)) if isinstance(reading.data, dict) else []
        try:
            study = StudySpec.model_validate(reading.data)
            if not words:
                return study
        except ValidationError as error:
            words += [faults.in_words(fault, _keys_at) for fault in error.errors()]
        found = [(strict_yaml.line_of(place, reading.lines), place, sentence) for place, sentence in words]
    raise LedgerError(f"This is no longer the study as it first ran. Restore the file from a copy.\n{_faults(path, found)}")


def _fill(raw: dict[str, Any]) -> None:
    """Fill in what may be left out: an arm's architecture and space, the options of the dataset, a section's content."""
    for section in ("search", "stopping", "confirm", "training", "resources"):
        if section in raw and raw[section] is None:
            raw[section] = {}
    search = raw.setdefault("search", {})
    if isinstance(search, dict) and search.get("repeats") is None:
        search["repeats"] = False
    if isinstance(search, dict) and search.get("prior") is None and search.get("sampler", "trees") in LEARNING:
        search["prior"] = "default"
    dataset = raw.get("dataset")
    if isinstance(dataset, dict) and dataset.get("name") in catalog.names("dataset"):
        for name, option in catalog.parameters("dataset", dataset["name"]).items():
            if option.default != catalog.Parameter.REQUIRED:
                dataset.setdefault(name, list(option.default) if isinstance(option.default, tuple) else option.default)
    arms = raw.get("arms")
    if not isinstance(arms, dict):
        return
    for name, arm in arms.items():
        if arm is None:
            arm = arms[name] = {}
        if isinstance(arm, dict):
            arm.setdefault("architecture", name)
            arm.setdefault("space", arm["architecture"])
            if arm.get("fixed", {}) is None:
                arm["fixed"] = {}
            if arm.get("resources", ()) in (None, {}):
                del arm["resources"]


def _in_own_types(study: StudySpec) -> StudySpec:
    """The same study with each number in the type of its knob or option: ``0`` and ``0.0`` for a share are one study, not two."""
    arms = {}
    for name, arm in study.arms.items():
        arguments = catalog.parameters("architecture", arm.architecture)
        knobs: dict[str, Knob | catalog.Parameter] = {**arguments, **study.space_of(name).knobs, **TRAINING}
        fixed, *given = (
            {key: _typed(value, knobs[key]) for key, value in own.items()} for own in (arm.fixed, *(arm.points or ()))
        )
        arms[name] = arm.model_copy(update={"fixed": fixed, "points": tuple(given) or None})
    options = catalog.parameters("dataset", study.dataset.name)
    extra = {key: _typed(value, options[key]) for key, value in (study.dataset.model_extra or {}).items()}
    # In the order of the dataset's own arguments, so that a study written out and one relying on defaults look the same.
    ordered = {key: extra[key] for key in options if key in extra}
    dataset = DatasetSpec(name=study.dataset.name, **ordered)
    return study.model_copy(update={"arms": arms, "dataset": dataset, "constraints": constraints.written(study.constraints)})


def _typed(value: Any, knob: Knob | catalog.Parameter) -> Any:
    if isinstance(knob, Choice):
        return next(option for option in knob.options if option == value and isinstance(option, bool) == isinstance(value, bool))
    is_float = knob.annotation == "float" if isinstance(knob, catalog.Parameter) else isinstance(knob, Float)
    return float(value) if is_float and type(value) is int else value


def _keys_at(place: strict_yaml.Place) -> list[str]:
    of_arm = ArmResourcesSpec if place[2:] == ("resources",) else ArmSpec
    section: Any = {"confirm": ConfirmSpec, "arms": of_arm}.get(str(place[0])) if place else StudySpec
    section = section or StudySpec.model_fields[str(place[0])].annotation
    return list(section.model_fields)
