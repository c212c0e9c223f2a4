"""Configurations that an arm has not been given yet.

What is drawn again follows from the draws before it and a seed, as every suggestion does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping

from sweeper.search.sampler import RandomSampler
from sweeper.streams import seed_of
from sweeper.study.grid import Grid
from sweeper.study.space import Configuration, Space, Value

DRAWS = 20
"""How often a sampler is asked for a configuration that is new, before others are looked for without it."""

Key = frozenset[tuple[str, bool, Value]]


def key_of(configuration: Mapping[str, Value]) -> Key:
    """The same for equal configurations; 1 and 1.0 are equal, 1 and true are not."""
    return frozenset((name, isinstance(value, bool), value) for name, value in configuration.items())


def new_configuration(
    draw: Callable[[int], Configuration], known: Collection[Key], space: Space, fixed: Mapping[str, Value], seed: int
) -> Configuration:
    """A configuration that is none of those known.

    If the sampler gives none, as `tpe` may that has made up its mind, it is the next one in a count of all configurations that
    begins anywhere; where they have no count, as with real numbers among them, it is drawn at random.

    Args:
        draw: Asks the sampler, given the number of the draw, from 0.
        known: Configurations that the arm was given.
        space: The arm's search space.
        fixed: Values that are not searched, by name.
        seed: Of what is found without the sampler.

    Returns:
        One that is known only when there is no other.
    """
    first = draw(0)
    drawn = itertools.chain([first], map(draw, range(1, DRAWS)), _others(space, fixed, seed))
    return next((one for one in drawn if key_of(one) not in known), first)


def _others(space: Space, fixed: Mapping[str, Value], seed: int) -> Iterator[Configuration]:
    """Every configuration of a space that can be counted, otherwise random ones without end."""
    grid = Grid(space, fixed, None)
    if grid.is_whole:
        yield from (grid.point((seed + step) % grid.size) for step in range(grid.size))
    else:
        sampler = RandomSampler(space, fixed)
        yield from (sampler.suggest((), number=0, seed=seed_of(seed, step)) for step in itertools.count())
