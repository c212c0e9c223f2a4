"""How many workers of each kind run at once on the nodes there are.

Trials of one study may occupy different things (`resources` of an arm): their **shape**. A worker runs trials of one shape only,
because it holds what these occupy. Ray places workers; what is decided here is how many of each shape it is asked for, so that
all that are asked for fit at once. Then none waits behind another that fits nowhere, and no shape takes the last of what
another one needs. As nodes join and leave, and as arms end, the answer changes; workers follow between two trials.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence

from sweeper.study.spec import ResourcesSpec

NEARLY = 1e-9
"""What sums of shares of a GPU may be off by."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Offer:
    """What a node has, free or not.

    Args:
        name: Of the machine.
        address: Of the node.
        node: Its id.
        cpus: CPUs.
        gpus: GPUs.
        memory_gb: Memory that Ray gives away, in GB.
        accelerator_types: Kinds of its GPUs.
    """

    name: str = ""
    address: str = ""
    node: str = ""
    cpus: float = 0.0
    gpus: float = 0.0
    memory_gb: float = 0.0
    accelerator_types: frozenset[str] = frozenset()

    @property
    def words(self) -> str:
        """What it has, in words."""
        kinds = f" ({', '.join(sorted(self.accelerator_types))})" if self.accelerator_types else ""
        return f"{self.name} has {self.cpus:g} CPUs and {self.gpus:g} GPUs{kinds}"


class _Room:
    """What is left of a node."""

    def __init__(self, offer: Offer):
        self.offer = offer
        self.cpus, self.memory_gb = offer.cpus, offer.memory_gb
        self.gpus = [1.0] * int(offer.gpus)

    def gpus_for(self, shape: ResourcesSpec) -> list[int] | None:
        """The GPUs a trial would get, by number; None if it does not fit. A part of one lies on one, as full as may be."""
        asked = shape.gpus_per_trial
        if self.cpus < shape.cpus_per_trial or self.memory_gb < (shape.memory_gb or 0.0):
            return None
        if shape.accelerator_type is not None and shape.accelerator_type not in self.offer.accelerator_types:
            return None
        if asked < 1:
            room = [number for number, free in enumerate(self.gpus) if free >= asked - NEARLY]
            return [min(room, key=self.gpus.__getitem__)] if asked and room else None if asked else []
        whole = [number for number, free in enumerate(self.gpus) if free >= 1]
        return whole[: int(asked)] if len(whole) >= asked else None

    def take(self, shape: ResourcesSpec, gpus: Sequence[int]) -> None:
        """One trial more is there."""
        self.cpus -= shape.cpus_per_trial
        self.memory_gb -= shape.memory_gb or 0.0
        for number in gpus:
            self.gpus[number] -= min(shape.gpus_per_trial, 1.0)


def plan(offers: Sequence[Offer], wanted: Mapping[ResourcesSpec, int], most: int | None = None) -> dict[ResourcesSpec, int]:
    """How many workers of each shape fit at once, the shape that fits least often first.

    Shapes take turns, so that each that fits beside the others has a worker; afterwards the one that has fewest for its weight.

    Args:
        offers: The nodes.
        wanted: Shapes, each with its weight: how many arms have it.
        most: Workers at most; None for as many as fit.
    """
    alone = {shape: len(_fill(offers, {shape: 1}, None)[shape]) for shape in wanted} if len(wanted) > 1 else dict(wanted)
    order = sorted(wanted, key=lambda shape: (alone[shape], -shape.cpus_per_trial))
    found = _fill(offers, {shape: wanted[shape] for shape in order}, most)
    return {shape: len(taken) for shape, taken in found.items()}


def _fill(offers: Sequence[Offer], wanted: Mapping[ResourcesSpec, int], most: int | None) -> dict[ResourcesSpec, list[Offer]]:
    """Where workers go, by shape: one after another until none fits."""
    rooms = [_Room(offer) for offer in offers]
    found: dict[ResourcesSpec, list[Offer]] = {shape: [] for shape in wanted}
    fitting = list(wanted)
    while fitting and (most is None or sum(map(len, found.values())) < most):
        shape = min(fitting, key=lambda one: len(found[one]) / wanted[one])
        fits = [(room, gpus) for room in rooms if (gpus := room.gpus_for(shape)) is not None]
        if not fits:
            fitting.remove(shape)
            continue
        # One without a GPU keeps off those that have one, and every node is filled before the next is begun.
        room, gpus = min(fits, key=lambda fit: (bool(fit[0].gpus) and not shape.gpus_per_trial, fit[0].cpus))
        room.take(shape, gpus)
        found[shape].append(room.offer)
    return found


def slots(offer: Offer, shape: ResourcesSpec) -> int:
    """Trials of a shape that fit a node at once, if they have it for themselves."""
    return plan([offer], {shape: 1})[shape]


def fits(offer: Offer, shape: ResourcesSpec) -> bool:
    """Whether a trial fits a node that is empty."""
    return _Room(offer).gpus_for(shape) is not None


class Places:
    """The nodes as they are now, less those that are refused, and what fits them.

    Args:
        look: Gives the nodes.
        most: Workers at most; None for as many as fit.
        tell: Called with a sentence for a person when a node is refused.
    """

    def __init__(
        self,
        look: Callable[[], Sequence[Offer]],
        most: int | None = None,
        tell: Callable[[str], None] = lambda note: None,
    ):
        self._look, self._most, self.tell = look, most, tell
        self.refused: set[str] = set()
        """Ids of nodes whose workers cannot work for the study. One that is mended and joins again has a new id."""
        self.offers = tuple(look())
        self._wanted: dict[ResourcesSpec, int] = {}
        self._plan: dict[ResourcesSpec, int] = {}

    def look(self) -> None:
        """Look again which nodes there are; where Ray cannot say so now, they are taken for those there were."""
        with contextlib.suppress(Exception):  # Ray's own classes of errors are many, and it ends what it cannot go on with
            if (offers := tuple(offer for offer in self._look() if offer.node not in self.refused)) != self.offers:
                self.offers, self._wanted = offers, {}

    def refuse(self, node: str) -> None:
        """Place no worker on the node with this id any more."""
        self.refused.add(node)
        self.offers = tuple(offer for offer in self.offers if offer.node != node)
        self._wanted = {}

    def plan(self, wanted: Mapping[ResourcesSpec, int]) -> dict[ResourcesSpec, int]:
        """As the function `plan`, on these nodes."""
        if self._wanted != wanted:
            self._wanted, self._plan = dict(wanted), plan(self.offers, wanted, self._most)
        return self._plan

    @property
    def ahead(self) -> int:
        """Attempts of each shape that may wait for a worker beside those at work: one, unless more are not to begin at all.

        So a worker that becomes free finds its next trial waiting.
        """
        return 0 if self._most is not None and sum(self._plan.values()) >= self._most else 1
