"""The sections of a study file, each with the ranges of its values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from sweeper.study import grid
from sweeper.study.space import Configuration, Space

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Folder = Annotated[str, Field(min_length=1)]


def is_none(value: object) -> bool:
    """Whether a key is left out of what is written."""
    return value is None


class Section(BaseModel):
    """What all sections share: no other keys, no change, no value of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DatasetSpec(BaseModel):
    """Which data: a name of the catalog and the options of that dataset."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the dataset's function."""
        return {key: tuple(value) if isinstance(value, list) else value for key, value in (self.model_extra or {}).items()}


Values = dict[str, bool | int | float | str]


Cpus = Annotated[int, Field(ge=1, le=1024)]
Gpus = Annotated[float, Field(ge=0, le=64)]
Gigabytes = Annotated[float, Field(gt=0, le=65_536)]


class ArmResourcesSpec(Section):
    """What an arm's trials occupy where that is not what the study says; None for what it says."""

    cpus_per_trial: Cpus | None = Field(default=None, exclude_if=is_none)
    gpus_per_trial: Gpus | None = Field(default=None, exclude_if=is_none)
    memory_gb: Gigabytes | None = Field(default=None, exclude_if=is_none)
    accelerator_type: str | None = Field(default=None, exclude_if=is_none)


class ArmSpec(Section):
    """One contender: an architecture, its search space, values that are not searched, and configurations to be tried first.

    Knobs that a point does not name have their defaults. Without points or resources of its own the key is left out, as options
    of `SearchSpec` are.
    """

    architecture: str
    space: str
    fixed: Values = {}
    points: Annotated[tuple[Values, ...], Field(strict=False)] | None = Field(default=None, exclude_if=is_none)
    resources: ArmResourcesSpec | None = Field(default=None, exclude_if=is_none)

    def first(self, space: Space) -> list[Configuration]:
        """What it begins with, given its search space: the default configuration, then its points."""
        return [space.default(self.fixed, point) for point in ({}, *(self.points or ()))]


class BudgetSpec(Section):
    """How much is trained: trials over all arms together, and epochs of a trial that is not stopped."""

    trials: Count
    max_epochs: Count


LEARNING = ("tpe", "trees")
"""Samplers that learn from trials."""


class SearchSpec(Section):
    """How configurations are proposed.

    `recipe` names a space of training knobs that is added to the space of every arm; `grid_points`, the values of each number
    knob, is for the sampler grid alone. Either is left out where it is not used, so that a new option of this program does not
    change older studies. `repeats` says whether configurations of an arm may be trained again, with other seeds; `prior` says
    whether a sampler that learns begins near the defaults. A study that began before there were these keys has None: it may
    repeat, draws that a network refuses count as its trials, and it begins anywhere. `learn_from` names the folders of earlier
    studies whose trials teach the sampler.
    """

    sampler: Literal["tpe", "trees", "random", "qmc", "grid"] = "trees"
    allocation: Literal["equal", "racing"] = "equal"
    recipe: str | None = Field(default=None, exclude_if=is_none)
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    grid_points: Annotated[int, Field(ge=2, le=100)] | None = Field(default=None, validate_default=True, exclude_if=is_none)
    repeats: bool | None = Field(default=None, exclude_if=is_none)
    prior: Literal["default", "none"] | None = Field(default=None, exclude_if=is_none)
    learn_from: Annotated[tuple[Folder, ...], Field(strict=False)] | None = Field(default=None, exclude_if=is_none)

    @property
    def counts_refused(self) -> bool:
        """Whether a draw that its network refuses is a trial of the budget: in studies that began before there was `repeats`."""
        return self.repeats is None

    @field_validator("prior")
    @classmethod
    def _is_for_learning(cls, value: str | None, known: ValidationInfo) -> str | None:
        sampler = known.data.get("sampler")  # absent when it is wrong itself
        if value is not None and sampler is not None and sampler not in LEARNING:
            text = f"only {' and '.join(LEARNING)} learn where to search, and the sampler is {sampler}. Leave it out"
            raise PydanticCustomError("prior", text)
        return value

    @field_validator("grid_points")
    @classmethod
    def _is_for_a_grid(cls, value: int | None, known: ValidationInfo) -> int | None:
        sampler = known.data.get("sampler")  # absent when it is wrong itself
        if sampler == "grid":
            return grid.DEFAULT_POINTS if value is None else value
        if value is not None and sampler is not None:
            text = f"only a grid has them, and the sampler is {sampler}. Leave them out, or write sampler: grid"
            raise PydanticCustomError("grid_points", text)
        return value

    @field_validator("learn_from")
    @classmethod
    def _are_for_a_learner(cls, value: tuple[str, ...] | None, known: ValidationInfo) -> tuple[str, ...] | None:
        sampler = known.data.get("sampler", LEARNING[0])
        if value is not None and sampler not in LEARNING:
            text = f"only {' and '.join(LEARNING)} learn, and the sampler is {sampler}. Leave it out, or choose one of them"
            raise PydanticCustomError("learn_from", text)
        if value is not None and len(set(value)) != max(len(value), 1):
            text = "a folder occurs twice; keep one" if value else "it is empty; at least one is needed"
            raise PydanticCustomError("learn_from", text)
        return value


class StoppingSpec(Section):
    """When a trial is stopped early."""

    rule: Literal["asha", "promote", "none"] = "asha"
    grace_epochs: Count = 1
    reduction_factor: Annotated[int, Field(ge=2, le=100)] = 3


class ConfirmSpec(Section):
    """What is confirmed once the search has ended: see `sweeper.search.confirmation`."""

    per_arm: Annotated[int, Field(ge=1, le=100)] = 1
    seeds: Annotated[int, Field(ge=1, le=1000)] = 5
    allocation: Literal["equal", "racing"] = "equal"


class TrainingSpec(Section):
    """What is the same for every trial's training.

    `weights_folder` holds weight files of Keras Applications for arms with ``weights: imagenet``; without it Keras fetches them.
    It is left out where it is not given, as options of `SearchSpec` are.
    """

    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow"
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    deterministic: bool = True
    weights_folder: Folder | None = Field(default=None, exclude_if=is_none)


class ResourcesSpec(Section):
    """What one trial occupies while it runs; on one node, whose GPUs are of `accelerator_type` if that is given."""

    cpus_per_trial: Cpus = 1
    gpus_per_trial: Gpus = 0.0
    memory_gb: Gigabytes | None = Field(default=None, exclude_if=is_none)
    accelerator_type: str | None = Field(default=None, exclude_if=is_none)
