"""What the figures of predictions share: who is in them, and what is said below them."""

from __future__ import annotations

from sweeper.analysis.predictions import Answers, answers, names, split_of
from sweeper.analysis.results import Results, arm_labels
from sweeper.plots import _quantities, _style


def found(results: Results, split: str | None) -> tuple[list[Answers], dict[str, str], dict[str, _style.Look]]:
    """The answers of every network; the name of each configuration, and its look, by parent.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it.
    """
    given = answers(results, split)
    called = names(results, given)
    by_arm = _style.looks(arm_labels(results))
    arm_of = {one.parent: one.arm for one in given}
    several = len(set(arm_of.values())) < len(arm_of)
    # Configurations of one arm would look alike.
    looks = _style.looks({parent: called[parent] for parent in called}) if several else {p: by_arm[arm_of[p]] for p in called}
    return given, called, looks


def short(name: str, longest: int) -> str:
    """A name with at most so many characters: what stands in its middle is left out."""
    return name if len(name) <= longest else f"{name[: longest // 2]}…{name[len(name) - (longest - longest // 2 - 1) :]}"


def caption(results: Results, given: list[Answers], split: str | None, how: str) -> str:
    """Which images, how many seeds, and how these were put together."""
    images = max(len(one.rows) for one in given)
    counts = sorted({sum(one.parent == parent for one in given) for parent in {one.parent for one in given}})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else _quantities.count(counts[0], "seed")
    which = split_of(results, split)
    return f"Stage confirm, {which} split: {_quantities.count(images, 'image')}, {seeds} of each configuration, {how}."
