"""What trials occupy, as a study file says it: for all arms, and for one."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweeper.errors import unknown
from sweeper.study.faults import Fault
from sweeper.study.strict_yaml import Place

NOT_GPUS = ("TPU-", "aws-", "Ascend", "FURIOSA", "MXC", "Apple", "M1", "M2", "M3", "MOBILINT", "Intel-GAUDI")
"""Beginnings of the types that Ray counts elsewhere than among GPUs, or that no backend here computes on."""


def check(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """The faults of `resources`, of the study and of arms, that types cannot say."""
    arms = raw.get("arms")
    sections: dict[Place, Any] = {("resources",): raw.get("resources")}
    for name, arm in arms.items() if isinstance(arms, dict) else ():
        sections["arms", name, "resources"] = arm.get("resources") if isinstance(arm, dict) else None
    given = {place: section for place, section in sections.items() if isinstance(section, dict)}
    common = given.get(("resources",), {})
    gpus_of_arms = [given.get(place, {}).get("gpus_per_trial", common.get("gpus_per_trial", 0)) for place in [*sections][1:]]
    for place, section in given.items():
        yield from _check(place, section)
        gpus = [section.get("gpus_per_trial", common.get("gpus_per_trial", 0))]
        if section.get("accelerator_type") is not None and not any(gpus_of_arms if len(place) == 1 else gpus):
            yield (*place, "accelerator_type"), "no trial here gets a GPU. Set gpus_per_trial, or leave the type out."


def _check(place: Place, section: Mapping[str, Any]) -> Iterator[Fault]:
    gpus, kind = section.get("gpus_per_trial"), section.get("accelerator_type")
    if type(gpus) is float and gpus > 1 and gpus % 1:
        yield (*place, "gpus_per_trial"), f"{gpus:g} GPUs cannot be given; allowed: a part of one (0.5), or a whole number."
    if isinstance(kind, str) and (known := accelerator_types()) and kind not in known:
        yield (*place, "accelerator_type"), unknown("type of GPU", kind, known)


@functools.cache
def accelerator_types() -> tuple[str, ...]:
    """The names that Ray has for GPUs, from its source, because importing it takes a second; none where it is not installed."""
    found = importlib.util.find_spec("ray")
    folder = next(iter(found.submodule_search_locations or ()), None) if found is not None else None
    file = Path(folder or "") / "util" / "accelerators" / "accelerators.py"
    if not file.is_file():
        return ()
    constants = (line.value for line in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(line, ast.Assign))
    values = (one.value for one in constants if isinstance(one, ast.Constant) and isinstance(one.value, str))
    return tuple(dict.fromkeys(name for name in values if not name.startswith(NOT_GPUS)))
