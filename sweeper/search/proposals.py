"""Which configuration a new trial of an arm is given: samplers, and what each of them is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweeper.ledger.records import Status
from sweeper.search import distinct, lessons
from sweeper.search.arm import Arm
from sweeper.search.history import Finished
from sweeper.search.promotion import Promotion
from sweeper.search.sampler import Sampler, sampler_of
from sweeper.search.table import Scorer, Table
from sweeper.search.trees import TreesSampler
from sweeper.search.trial import Trial
from sweeper.streams import seed_of
from sweeper.study.grid import num_configurations
from sweeper.study.space import Configuration, Space
from sweeper.study.spec import StudySpec


class Proposals:
    """The samplers of a search, by arm.

    Args:
        spaces: The search space of each arm; looked up in the catalog where absent.
        tables: Arms that choose from a table, instead of drawing from their space.
    """

    def __init__(self, spaces: Mapping[str, Space], tables: Mapping[str, Table]):
        self.spaces, self.tables = dict(spaces), tables
        self._samplers: dict[str, Sampler] = {}
        self._learned: dict[str, list[Finished]] = {}
        """The lessons of earlier studies, and what samplers that learn from the ends of trials were shown, as these ended."""
        self._num_configurations: dict[str, int | None] = {}

    def forget(self) -> None:
        """Samplers begin anew: trials that ended may have been opened again."""
        self._samplers.clear()
        self._learned.clear()

    def space(self, spec: StudySpec, arm: str) -> Space:
        """The search space of an arm."""
        if arm not in self.spaces:  # it came with an extension, or the study was folded without
            self.spaces[arm] = spec.space_of(arm)
        return self.spaces[arm]

    def num_configurations(self, spec: StudySpec, arm: str) -> int | None:
        """How many different configurations an arm can be given, where that matters."""
        if spec.search.repeats is not False:
            return None
        if arm not in self._num_configurations:
            table, fixed = self.tables.get(arm), spec.arms[arm].fixed
            found = (
                num_configurations(self.space(spec, arm), fixed, spec.search.grid_points) if table is None else len(table.place)
            )
            self._num_configurations[arm] = found
        return self._num_configurations[arm]

    def configuration(self, spec: StudySpec, arm: str, number: int, own: Arm) -> Configuration:
        """The configuration of a new trial; or of one that waits at a rung which is not trusted any more, if it promises more.

        Args:
            spec: The study.
            arm: The arm.
            number: The trial's number in it.
            own: The arm as it stands.
        """
        space, fixed, search = self.space(spec, arm), spec.arms[arm].fixed, spec.search
        first = self.tables[arm].first if arm in self.tables else spec.arms[arm].first(space)
        if number < len(first):
            return first[number]
        if arm not in self._samplers:
            self._samplers[arm] = sampler_of(spec, arm, space)
        sampler = self._samplers[arm]
        history, waiting = self._history(spec, arm, own), [trial.configuration for trial in own.reconsidered]
        if arm in self.tables:
            known = own.known - {distinct.key_of(one) for one in waiting}
            seed = seed_of(search.seed, arm, number, len(own.trials), own.num_epochs, "suggest")
            scorer = sampler if isinstance(sampler, Scorer) else None
            return self.tables[arm].pick(scorer, history, known, number=number, seed=seed)
        if waiting and not isinstance(sampler, TreesSampler):
            return waiting[0]

        def draw(again: int) -> Configuration:
            """The configuration of the trial, or another one; a sampler goes by the number or by the seed."""
            seed = seed_of(search.seed, arm, number, "suggest", *([again] if again else []))
            asked = number - len(first) + 1 + again
            if isinstance(sampler, TreesSampler):
                return sampler.suggest(history, number=asked, seed=seed, others=waiting)
            return sampler.suggest(history, number=asked, seed=seed)

        if search.repeats is not False:
            return draw(0)
        # Nothing is copied that is not changed: an arm of ten thousand trials would spend more on that than on all else.
        known = own.known - {distinct.key_of(one) for one in waiting} if waiting else own.known
        taught = {distinct.key_of(one.configuration) for one in own.lessons}
        others = seed_of(search.seed, arm, number, "others")
        found = distinct.new_configuration(draw, known | taught if taught else known, space, fixed, others)
        is_new = distinct.key_of(found) not in known
        return found if is_new else distinct.new_configuration(draw, known, space, fixed, others)

    def _history(self, spec: StudySpec, arm: str, own: Arm) -> Sequence[Finished]:
        """What a sampler learns from: one that can read scores of any length, all of them; another, the trials that ended."""
        if arm not in self._learned:
            self._learned[arm] = [lessons.within(one, spec.budget.max_epochs) for one in own.lessons]
        learned = self._learned[arm]
        if isinstance(self._samplers[arm], TreesSampler):
            return [*learned, *(lesson(spec, trial) for trial in own.trials if _tells(trial, own.promotion))]
        learned += [lesson(spec, trial) for trial in own.ended[len(learned) - len(own.lessons) :]]
        return learned


def _tells(trial: Trial, promotion: Promotion | None) -> bool:
    """Whether a trial's score so far says something about its end."""
    return promotion is None or trial.status is Status.RUNNING or promotion.counts(trial.epoch)


def lesson(spec: StudySpec, trial: Trial) -> Finished:
    """What a trial of a study teaches samplers."""
    return Finished(
        configuration=trial.configuration,
        scores=tuple(trial.scores),
        # Fewer epochs than the study has by now are not a whole training: the trial counts like a stopped one.
        is_complete=trial.status is Status.COMPLETED and trial.epoch >= spec.budget.max_epochs,
        is_running=not trial.status.is_final,
        costs=trial.costs[-1] if trial.costs else (),
    )
