"""Folding: steps that repeat in a row are written once, with a count."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

LONGEST_PATTERN = 24
"""Longest pattern that is looked for, in steps."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """Layers one after the other.

    Args:
        text: What they are, in words, separated by commas.
        has_skip: Whether a connection bypasses some of them and is added or concatenated again.
    """

    text: str
    has_skip: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """Steps that may repeat.

    Args:
        repeats: How often all of them come one after the other, from 1.
        steps: The steps; each with a skip connection is one of its own.
    """

    repeats: int
    steps: tuple[Step, ...]


def fold(steps: Sequence[Step]) -> tuple[Part, ...]:
    """Steps as parts, so that as few as possible are written; those without a text are left out."""
    steps = [step for step in steps if step.text]
    parts: list[Part] = []
    start = single = 0
    for length, repeats in _cheapest(steps):
        if repeats > 1:
            parts += _once(steps[single:start])
            parts.append(Part(repeats=repeats, steps=tuple(_joined(steps[start : start + length]))))
            single = start + length * repeats
        start += length * repeats
    return (*parts, *_once(steps[single:]))


def _cheapest(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """Lengths of patterns and how often they repeat, in order, so that the fewest steps are written."""
    costs, choices = [0], [(0, 0)]  # at place n: for the last n steps
    for start in reversed(range(len(steps))):
        cost, choice = 1 + costs[-1], (1, 1)
        for length in range(1, min(LONGEST_PATTERN, (len(steps) - start) // 2) + 1):
            for repeats in range(2, _repeats(steps, start, length) + 1):
                folded = length + costs[len(steps) - start - length * repeats]
                # On a tie the later start wins: the first unit of a stage often differs in one layer, and the others are
                # then cut at their own beginning.
                if folded < cost:
                    cost, choice = folded, (length, repeats)
        costs.append(cost)
        choices.append(choice)
    found, left = [], len(steps)
    while left:
        found.append(choices[left])
        left -= choices[left][0] * choices[left][1]
    return found


def _repeats(steps: Sequence[Step], start: int, length: int) -> int:
    pattern, count = steps[start : start + length], 1
    while steps[start + count * length : start + (count + 1) * length] == pattern:
        count += 1
    return count


def _once(steps: Sequence[Step]) -> list[Part]:
    return [Part(repeats=1, steps=(step,)) for step in _joined(steps)]


def _joined(steps: Sequence[Step]) -> Iterator[Step]:
    """The same steps, those without a skip connection written together."""
    plain: list[str] = []
    for step in steps:
        if not step.has_skip:
            plain.append(step.text)
            continue
        if plain:
            yield Step(text=", ".join(plain))
            plain = []
        yield step
    if plain:
        yield Step(text=", ".join(plain))
