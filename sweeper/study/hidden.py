"""Faults that stand behind others: what can be told of an arm whose architecture or search space does not exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sweeper import catalog
from sweeper.study import faults
from sweeper.study.space import TRAINING


def check(raw: Mapping[str, Any]) -> Iterator[faults.Fault]:
    """Wrong values of training knobs that such an arm fixes; those of any other arm are found with the arm."""
    arms = raw.get("arms")
    for name, arm in arms.items() if isinstance(arms, dict) else ():
        if not isinstance(arm, dict) or not isinstance(arm.get("fixed"), dict):
            continue
        if all(arm[kind] in catalog.names(kind) for kind in ("architecture", "space")):
            continue
        for key, value in arm["fixed"].items():
            if key in TRAINING and (problem := faults.value_problem(TRAINING[key], None, value)) is not None:
                yield ("arms", name, "fixed", key), problem
