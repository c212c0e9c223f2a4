"""How long a study will still take: the epochs its stopping rule leaves, times what an epoch of each arm takes, on its workers.

Nothing here reads a clock: whoever asks says what time it is.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import statistics
from collections.abc import Iterable, Iterator, Mapping

from sweeper.ledger.records import Event, Kind, Stage, Status
from sweeper.search import confirmation
from sweeper.search.arm import Arm
from sweeper.search.promotion import AUDITED, Promotion
from sweeper.search.stopping import Rungs
from sweeper.search.study import Search
from sweeper.search.trial import Trial
from sweeper.study.spec import ConfirmSpec

BELIEF = 6.0
"""What a stopping rule lets pass if trials are alike counts as much as this many trials of the arm that came to the rung."""

EASED = 0.5
"""A later start of a trial over the first one of a worker, as long as no arm has had both."""

TIMING_S = 3.5
"""Seconds to time a confirmed network, in a process of its own: 3 to 4 on two cores."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Left:
    """What is left of a study, in seconds of the clock.

    Args:
        search_s: Until the last trial of its search, or the last repetition that was asked for, has ended.
        confirm_s: From then on until the best of each arm are confirmed; 0 where that is not asked for.
    """

    search_s: float
    confirm_s: float = 0.0

    @property
    def total_s(self) -> float:
        """Until all is done."""
        return self.search_s + self.confirm_s


@dataclasses.dataclass
class _Seen:
    """What rows say of one trial: its arm, seconds of its epochs, seconds before the first one, when it was last heard of."""

    arm: str
    epochs_s: list[float] = dataclasses.field(default_factory=list)
    start_s: float | None = None
    heard_of: float = 0.0

    @property
    def epoch_s(self) -> float:
        return statistics.median(self.epochs_s)


class Pace:
    """What epochs and trials took so far, in seconds of a worker.

    The first trial of a worker is slow before its first epoch, whatever its arm: a framework is loaded, and used for the first
    time. So its time counts as the worker's, `enter_s`. It tells what a start of that arm takes only as long as nothing else
    does, and then by what such trials of other arms took over later ones.

    Args:
        workers: Trials that run at once, until an event says how many.
        ready_s: Seconds that a driver needs before it can begin the first trial; likewise.
    """

    def __init__(self, workers: int = 1, ready_s: float = 0.0):
        self.workers, self.ready_s = workers, ready_s
        self._seen: dict[str, _Seen] = {}
        self._enter_s: list[float] = []
        self._first_s: dict[str, float] = {}

    def follow(self, event: Event, now: float) -> None:
        """Learn from an event; `now` is its time, in seconds since any moment."""
        if event.kind is Kind.DRIVER_STARTED:
            told = json.loads(event.detail or "{}")
            self.workers, self.ready_s = told.get("workers") or self.workers, told.get("ray_s") or self.ready_s
        if event.trial is None or event.kind not in (Kind.SUGGESTED, Kind.EPOCH):
            return
        seen = self._seen.setdefault(event.trial, _Seen(event.arm or ""))
        seen.heard_of = now
        if event.kind is not Kind.EPOCH or event.train_s is None:
            return
        wait_s, is_first = event.wait_s or 0.0, event.build_s is not None
        own = event.train_s + (event.evaluate_s or 0.0) + (event.checkpoint_s or 0.0)
        seen.epochs_s.append(own if is_first else own + wait_s)
        if event.import_s is not None:
            self._enter_s.append(event.import_s + wait_s + (event.build_s or 0.0))
            self._first_s.setdefault(event.trial, event.build_s or 0.0)
        elif event.build_s is not None:
            seen.start_s = event.build_s + wait_s

    def knows(self, arms: Iterable[str]) -> bool:
        """Whether an epoch of each of these arms is known."""
        return {*arms} <= {seen.arm for seen in self._seen.values() if seen.epochs_s}

    def epoch_s(self, arm: str, trial: str | None = None) -> float | None:
        """Seconds of an epoch: of a trial, as far as it is known; of an arm; of all arms as long as the arm has none."""
        if trial in self._seen and self._seen[trial].epochs_s:
            return self._seen[trial].epoch_s
        known = self._by_arm({name: seen.epoch_s for name, seen in self._seen.items() if seen.epochs_s})
        return known[arm] if arm in known else statistics.fmean(known.values()) if known else None

    def start_s(self, arm: str) -> float:
        """Seconds of a worker before the first epoch of a trial of an arm."""
        later = self._by_arm({name: seen.start_s for name, seen in self._seen.items() if seen.start_s is not None})
        first = self._by_arm(self._first_s)
        both = later.keys() & first.keys()
        eased = sum(later[name] for name in both) / max(sum(first[name] for name in both), 1e-9) if both else EASED
        known = {name: eased * seconds for name, seconds in first.items()} | later
        return known[arm] if arm in known else statistics.fmean(known.values()) if known else 0.0

    @property
    def enter_s(self) -> float:
        """Seconds of a new worker before its first epoch."""
        return statistics.fmean(self._enter_s) if self._enter_s else 0.0

    def unheard_s(self, trial: str, now: float) -> float:
        """Seconds since anything was heard of a trial; 0 of one that is not known."""
        return max(now - self._seen[trial].heard_of, 0.0) if trial in self._seen else 0.0

    def _by_arm(self, of_trial: Mapping[str, float]) -> dict[str, float]:
        """The mean of the trials of each arm."""
        found: dict[str, list[float]] = {}
        for name, value in of_trial.items():
            found.setdefault(self._seen[name].arm, []).append(value)
        return {arm: statistics.fmean(own) for arm, own in found.items()}


def left(search: Search, pace: Pace, *, now: float, confirm: ConfirmSpec | None = None) -> Left | None:
    """What is left of a study; None as long as no epoch was trained.

    Trials of the search have the length that their stopping rule leaves them on average, repetitions their whole length. A
    worker takes the next trial as soon as it is free.

    Args:
        search: Where the study stands.
        pace: What its epochs took.
        now: The time, as it was told to `pace`.
        confirm: What is confirmed once the search has ended; None for nothing. What has been planned of it counts once.
    """
    if pace.epoch_s("") is None:
        return None
    known = _makespan((_seconds(work, pace, now) for work in work_of(search)), pace.workers)
    if confirm is None or search.of_stage(Stage.CONFIRM) or any(trial.stage is Stage.CONFIRM for trial in search.planned):
        return Left(search_s=known)
    jobs = (_seconds(work, pace, now) for work in _confirm_work(search, confirm, pace.workers))
    timing_s = TIMING_S * confirm.per_arm * len(search.spec.arms)
    return Left(search_s=known, confirm_s=pace.ready_s + pace.enter_s + _makespan(jobs, pace.workers) + timing_s)


def epochs_left(search: Search) -> float:
    """Epochs that a study still trains, on average, repetitions that were asked for included."""
    return sum(work.epochs for work in work_of(search))


def passing(rungs: Rungs | Promotion, num_before: float, *, weighs_costs: bool = False) -> float:
    """The share of trials that go on from a rung where so many were recorded before, if all of them are alike.

    Args:
        rungs: The rule.
        num_before: Trials recorded there; the share of several such numbers may be asked for at once by their mean.
        weighs_costs: Whether more than the score decides.
    """
    factor = rungs.reduction_factor
    if isinstance(rungs, Promotion):
        return 1 / factor
    if num_before < 1:
        return 1 - num_before / 2  # the first one always goes on, and of two one in two
    if weighs_costs:
        return ((int(num_before) - 1) // factor + 1) / (int(num_before) + 1)
    return (num_before - (1 - 1 / factor) * (num_before - 1)) / (num_before + 1)


def epochs_to_come(arm: Arm, max_epochs: int, num_trials: int) -> float:
    """Epochs that so many further trials of an arm train, on average.

    Under promotion trials that wait count too: what is left of the arm, but for the next steps of those that run.

    Args:
        arm: The arm, with the trials it had.
        max_epochs: Epochs of a trial that is not stopped.
        num_trials: How many.
    """
    if isinstance(arm.rungs, Promotion):
        running = sum(_next_rung(arm.rungs, trial) - trial.epoch for trial in arm.trials if not trial.is_at_rest)
        whole = _promoted_epochs(arm.rungs, max_epochs, len(arm.trials) + num_trials)
        return max(whole - arm.num_epochs - running, 0.0)
    before = {rung: float(len(scores)) for rung, scores in arm.rungs.recorded.items()}
    total = 0.0
    for _ in range(num_trials):
        reach, last = 1.0, 0
        for rung in sorted(before):
            total += reach * (rung - last)
            last, share = rung, _share(arm, rung, before[rung])
            before[rung] += reach
            reach *= share
        total += reach * (max_epochs - last)
    return total


def _share(arm: Arm, rung: int, num_before: float) -> float:
    """The share that goes on from a rung: by the rule, and as it was so far. The first one always does, and tells nothing."""
    expected = passing(arm.rungs, num_before, weighs_costs=arm.num_weighed > 0)
    came = [trial for trial in arm.trials if trial.epoch >= rung][1:]
    went_on = sum(trial.epoch > rung or not trial.status.is_final for trial in came)
    return (went_on + BELIEF * expected) / (len(came) + BELIEF)


def _promoted_epochs(rungs: Promotion, max_epochs: int, num_trials: int) -> float:
    """Epochs of so many trials under promotion, all of them, audits included."""
    levels = [rung for rung in sorted(rungs.recorded) if rung > rungs.untrusted]
    total = 0.0
    for _ in range(3):  # the number of audits follows from the epochs, and these from that number
        audits = min(max(len(rungs.audits), int(AUDITED * total / max_epochs)), num_trials)
        count, last, total = num_trials - audits, 0, float(audits * max_epochs)
        for level in [*levels, max_epochs]:
            total += count * (level - last)
            last, count = level, max(count // rungs.reduction_factor, min(count, 1))
    return total


def _next_rung(rungs: Promotion, trial: Trial) -> int:
    """The epoch after which a trial may have to wait, or has ended."""
    waits = (rung for rung in sorted(rungs.recorded) if rung > trial.epoch and rungs.pauses(trial.trial, rung))
    return next(waits, trial.max_epochs)


def _epochs_left(search: Search, trial: Trial) -> float:
    """Epochs that a trial which has begun still trains, on average."""
    arm = search.arms[trial.arm]
    is_stopped_early = trial.stage is Stage.SEARCH and search.spec.stopping.rule != "none"
    if is_stopped_early and isinstance(arm.rungs, Promotion):
        return _next_rung(arm.rungs, trial) - trial.epoch
    rungs = [rung for rung in sorted(arm.rungs.recorded) if rung > trial.epoch] if is_stopped_early else []
    total, reach, last = 0.0, 1.0, trial.epoch
    for rung in rungs:
        total += reach * (rung - last)
        last, reach = rung, reach * _share(arm, rung, len(arm.rungs.recorded[rung]))
    return total + reach * (trial.max_epochs - last)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What a worker has to do for one trial.

    Args:
        arm: Its arm.
        like: A trial whose epochs take as long, if there is one.
        epochs: Left of it, on average.
        starts: Programs to be built for it, on average.
        running: Its own id, if a worker is at it.
    """

    arm: str
    like: str | None = None
    epochs: float
    starts: float = 1.0
    running: str | None = None


def work_of(search: Search) -> Iterator[Work]:
    """The trials that run or wait for a worker, then those to come of each arm, then the repetitions that are planned."""
    for trial in search.trials.values():
        if not trial.is_at_rest:
            yield Work(
                arm=trial.arm,
                like=trial.trial if trial.epoch else trial.parent,
                epochs=_epochs_left(search, trial),
                starts=0.0 if trial.epoch else 1.0,
                running=trial.trial if trial.status is Status.RUNNING else None,
            )
    for name, arm in search.arms.items():
        number, length = search.to_come(name), search.spec.budget.max_epochs
        is_whole = search.spec.stopping.rule == "none"
        epochs = number * length if is_whole else epochs_to_come(arm, length, number)
        if epochs:
            yield from [Work(arm=name, epochs=epochs / max(number, 1), starts=min(number, 1))] * max(number, 1)
    for trial in search.planned:
        yield Work(arm=trial.arm, like=trial.parent, epochs=trial.max_epochs)


def _confirm_work(search: Search, asked: ConfirmSpec, workers: int) -> Iterator[Work]:
    """The trials that will be confirmed; each worker builds the program of a configuration once."""
    length, starts = search.spec.budget.max_epochs, min(asked.seeds, workers) / asked.seeds
    for arm in list(search.spec.arms) * asked.seeds:
        best: list[str | None] = [trial.trial for trial in confirmation.best(search, arm)]
        for parent in (best + [None] * asked.per_arm)[: asked.per_arm]:
            yield Work(arm=arm, like=parent, epochs=length, starts=starts)


def _seconds(work: Work, pace: Pace, now: float) -> float:
    """Of a worker. Of what it does now, some is done: a worker is heard of after an epoch."""
    epoch_s, start_s = pace.epoch_s(work.arm, work.like) or 0.0, work.starts * pace.start_s(work.arm)
    done_s = 0.0 if work.running is None else min(pace.unheard_s(work.running, now), epoch_s + start_s)
    return epoch_s * work.epochs + start_s - done_s


def _makespan(jobs: Iterable[float], workers: int) -> float:
    """When the last of these jobs ends, each taken by the worker that is free first."""
    free_at = [0.0] * max(workers, 1)
    for seconds in jobs:
        heapq.heapreplace(free_at, free_at[0] + seconds)
    return max(free_at)
