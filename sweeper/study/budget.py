"""How the trials of a study are split over its arms."""

from __future__ import annotations

from collections.abc import Iterable


def shares(trials: int, arms: Iterable[str]) -> dict[str, int]:
    """Each arm's share of the trials, by name: equal, the first arms by name taking the remainder.

    By name, because the order of keys in a file has no meaning: a study written in another order is the same study.
    """
    names = sorted(arms)
    share, remainder = divmod(trials, len(names))
    return {name: share + (position < remainder) for position, name in enumerate(names)}
