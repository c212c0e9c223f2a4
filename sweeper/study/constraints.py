"""Constraints: what no network of a study may exceed, such as ``parameters <= 1e6``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweeper.errors import unknown
from sweeper.ledger.records import OBJECTIVES
from sweeper.study.faults import Fault, shown

CONSTRAINED = {"parameters": "parameters", "macs": "multiply-accumulates (macs)"}
"""Columns that are known once a network is built, and their units in words."""

PATTERN = r"^\s*([A-Za-z_]+)\s*<=\s*([0-9][0-9_.eE+]*)\s*$"
"""A column and the largest value allowed."""


def limit_of(constraint: str) -> tuple[str, int]:
    """The column of a constraint that has no fault, and the largest value allowed."""
    match = re.match(PATTERN, constraint)
    assert match is not None
    return match[1], math.floor(float(match[2]))


def written(constraints: Sequence[str] | None) -> tuple[str, ...] | None:
    """Constraints in one form, without faults: those that allow the same are equal. None for none."""
    return None if constraints is None else tuple("{} <= {}".format(*limit_of(one)) for one in constraints)


def check(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """The faults of `constraints` in a study file that types cannot say."""
    constraints, seen = raw.get("constraints"), set()
    for index, constraint in enumerate(constraints if isinstance(constraints, list) else ()):
        if not isinstance(constraint, str):
            continue  # the study's types say that
        problem = _problem(constraint)
        column = "" if problem else limit_of(constraint)[0]
        if not problem and column in seen:
            problem = f"'{column}' occurs twice; keep one."
        if problem:
            yield ("constraints", index), problem
        seen.add(column)


def _problem(constraint: str) -> str:
    """Why a text is no constraint; empty when it is one."""
    match = re.match(PATTERN, constraint)
    if match is None:
        return f"{shown(constraint)} is not a constraint; write 'COLUMN <= NUMBER', for example 'parameters <= 1e6'."
    column, number = match.groups()
    if column in OBJECTIVES and column not in CONSTRAINED:
        return f"'{column}' is not known before training, so it cannot be a constraint; allowed: {', '.join(CONSTRAINED)}."
    if column not in CONSTRAINED:
        return unknown("column", column, CONSTRAINED)
    try:
        limit = float(number)
    except ValueError:
        return f"'{number}' is not a number; allowed: 1 or more, for example 'parameters <= 1e6'."
    return "" if 1 <= limit < math.inf else f"'{number}' is outside its range; allowed: 1 or more."


def violation(limits: Mapping[str, int], measured: Mapping[str, int]) -> str:
    """Which limits a network exceeds, in words; empty when it keeps all."""
    return "; ".join(
        f"{measured[column]:,} {CONSTRAINED[column]} are more than the {limit:,} allowed"
        for column, limit in limits.items()
        if measured[column] > limit
    )
