"""Reads the option ``--max COLUMN=NUMBER``."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence


def read_limits(limits: Sequence[str], columns: Collection[str]) -> dict[str, float]:
    """The largest value of each column that is named.

    Args:
        limits: What stands behind ``--max``, once for every time it was given.
        columns: What can be limited.

    Raises:
        InputError: No ``=``, no number from 0 on, or a column that is limited twice.
        UnknownNameError: A column that cannot be limited.
    """
    from sweeper.errors import InputError, UnknownNameError

    found: dict[str, float] = {}
    for limit in limits:
        column, separator, text = limit.partition("=")
        if not separator:
            raise InputError(f"--max {limit}: write COLUMN=NUMBER, for example --max parameters=1e6")
        if column not in columns:
            raise UnknownNameError("column to limit", column, columns)
        if column in found:
            raise InputError(f"--max {limit}: '{column}' is limited twice; keep one.")
        try:
            found[column] = float(text)
        except ValueError:
            found[column] = math.nan
        if not 0 <= found[column] < math.inf:
            raise InputError(f"--max {limit}: '{text}' is not a number from 0 on; for example --max {column}=1e6")
    return found
