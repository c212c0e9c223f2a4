"""Allocation: which arm gets the next trial."""

from __future__ import annotations

from collections.abc import Mapping


def equal(suggested: Mapping[str, int], shares: Mapping[str, int]) -> str | None:
    """The arm that has used the smallest part of its share, the first in the study's order among equals; None when all is spent.

    Every arm gets its whole share, so no architecture wins by having been tried more often.

    Args:
        suggested: Trials suggested so far, by arm, in the study's order.
        shares: Trials each arm may have.
    """
    open_arms = [arm for arm in suggested if suggested[arm] < shares[arm]]
    return min(open_arms, key=lambda arm: suggested[arm] / shares[arm], default=None)
