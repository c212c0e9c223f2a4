"""The workers of a driver: the shape of each, those that are still to come, and of which shape one more is of use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from sweeper.driver.places import Places
from sweeper.search.study import Search
from sweeper.study.spec import ResourcesSpec


class Crew:
    """Who is there, and who has been asked for; a worker is known by its Tune trial.

    Args:
        search: What is to be done.
        places: How many workers of each shape fit.
    """

    def __init__(self, search: Search, places: Places):
        self.search, self.places = search, places
        self.starting: dict[str, ResourcesSpec] = {}
        """Workers that Tune has been asked for and that are not there yet."""
        self._there: dict[str, ResourcesSpec] = {}
        self._shape_of: dict[str, ResourcesSpec] = {}

    # ------------------------------------------------------------------------------------------------------- questions

    def shape_of(self, arm: str) -> ResourcesSpec:
        """What a worker for an arm occupies; this never changes."""
        if arm not in self._shape_of:
            self._shape_of[arm] = self.search.spec.resources_of(arm)
        return self._shape_of[arm]

    def shapes_of(self, arms: Iterable[str]) -> Counter[ResourcesSpec]:
        """How many workers are needed for so many arms, by shape; an arm may occur more than once."""
        return Counter(map(self.shape_of, arms))

    def can_run(self, tune_id: str, arm: str) -> bool:
        """Whether a worker has the shape of an arm."""
        return self._there.get(tune_id) in (None, self.shape_of(arm))

    def plan(self, begun: Collection[str]) -> dict[ResourcesSpec, int]:
        """Workers wanted of each shape that has work, the shape that fits least often first.

        Args:
            begun: Arms that have an attempt which is not over.
        """
        arms, search = self.search.spec.arms, self.search
        if len(shapes := {self.shape_of(arm): 1 for arm in arms}) == 1:
            return self.places.plan(shapes)
        return self.places.plan(
            self.shapes_of(arm for arm in arms if arm in begun or search.to_come(arm) or search.has_next(arm))
        )

    def lacking(
        self, plan: Mapping[ResourcesSpec, int], waiting: Counter[ResourcesSpec], at_work: Counter[ResourcesSpec]
    ) -> ResourcesSpec | None:
        """A shape of which a worker more is of use. Where nothing runs, one that finds no room now: Ray waits for a node.

        Args:
            plan: Workers wanted.
            waiting: Attempts that wait for a worker.
            at_work: Workers that have attempts.
        """
        starting = Counter(self.starting.values())
        for shape, workers in plan.items():
            if starting[shape] < waiting[shape] and starting[shape] + at_work[shape] < workers:
                return shape
        return next(iter(waiting), None) if not (starting or at_work) else None

    def gives_way(self, tune_id: str, plan: Mapping[ResourcesSpec, int], at_work: Counter[ResourcesSpec]) -> bool:
        """Whether a worker that has become free ends, because what it holds is wanted for another shape; as for `lacking`."""
        shape = self._there.get(tune_id)
        is_enough = shape is not None and at_work[shape] >= plan.get(shape, 0)
        return is_enough and any(at_work[other] < workers for other, workers in plan.items() if other != shape)

    # --------------------------------------------------------------------------------------------------------- changes

    def expect(self, tune_id: str, shape: ResourcesSpec) -> None:
        """Tune is asked for this worker."""
        self.starting[tune_id] = shape

    def arrives(self, tune_id: str) -> bool:
        """A worker asks for work; whether it is new."""
        if (shape := self.starting.pop(tune_id, None)) is not None:
            self._there[tune_id] = shape
        return shape is not None

    def leaves(self, tune_id: str) -> None:
        """A worker is gone, or will not come."""
        self.starting.pop(tune_id, None)
        self._there.pop(tune_id, None)
