"""One study under fire: what befalls its driver, until it is finished, and what must hold of it then.

What a study must show is compared with two things of the harness's own, kept outside the study: every row whose commit returned,
and every epoch a worker began. And with a run of the same study that nothing befell.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import fnmatch
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from faults import ERRORS, Gate, Plan
from stub import KEEP_BEST, Job, digest, drive

from sweeper.audit.findings import Found
from sweeper.audit.whole import audit
from sweeper.errors import SweeperError
from sweeper.ledger import stamp, tables
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import METRICS, Event, Kind
from sweeper.search.study import Search
from sweeper.study.spec import StudySpec

MUST_BE_ZERO = ("lost", "repeated", "unreadable", "redone_beyond", "differing", "left_over", "unexplained", "audited")

FINISHED, REFUSED, BROKEN = 0, 10, 70
"""How a driver's process ends, when it is not killed."""

STALE = 61.0
"""Seconds after which a lock that nobody can read opens by itself."""

EXPECTED = (
    "study.yaml", "owner.guard", "ledger/??????-?????????.parquet", "tables/trials.parquet", "tables/epochs.parquet",
    "tables/stamp.json", "checkpoints/*/attempt-*/epoch-?????.npz",
)  # fmt: skip


def nothing() -> None:
    """Leaves the driver as it is."""


@dataclasses.dataclass(kw_only=True)
class Figures:
    """What came of all studies of one mode.

    Args:
        mode: What befell them.
        kills: Drivers killed, or ended by an error of the disk.
        studies: How many were brought to their end.
        acknowledged: Rows whose commit had returned.
        lost: Of these, rows that are not there afterwards, or not as they were.
        repeated: Keys of rows that are there twice.
        unreadable: Times a study could not be read, or could not be finished.
        redone: Epochs trained again.
        most_redone: Most epochs of one trial trained again for one interruption.
        redone_beyond: Interruptions that cost a trial more than its epochs since the newest sound checkpoint.
        differing: Studies that ended otherwise than the undisturbed one.
        left_over: Files nobody needs any more.
        unexplained: Drivers that ended with a traceback, or with a message that does not name what is wrong.
        audited: What `sweeper.audit` found, after a kill faults alone, in the end notes too.
        by_hand: Files that had to be moved out of the way, as the message asked.
        waits: Times a lock opened only after `STALE` seconds.
        seconds: How long all that took.
    """

    mode: str
    kills: int = 0
    studies: int = 0
    acknowledged: int = 0
    lost: int = 0
    repeated: int = 0
    unreadable: int = 0
    redone: int = 0
    most_redone: int = 0
    redone_beyond: int = 0
    differing: int = 0
    left_over: int = 0
    unexplained: int = 0
    audited: int = 0
    by_hand: int = 0
    waits: int = 0
    seconds: float = 0.0
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every figure that must be zero is."""
        return all(getattr(self, name) == 0 for name in MUST_BE_ZERO)

    def fault(self, figure: str, note: str) -> None:
        """Count one, and keep what it was."""
        setattr(self, figure, getattr(self, figure) + 1)
        self.notes.append(f"{self.mode}: {figure}: {note}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """What is run.

    Args:
        spec: The study.
        grown: The study it is extended to when it is finished; None for no extension.
        num_workers: Trials at once.
        is_serial: Whether a trial is suggested only when the one before it has ended, so that no order is left to chance.
        plant: Breaks something in the driver; nothing by default.
    """

    spec: StudySpec
    grown: StudySpec | None = None
    num_workers: int = 1
    is_serial: bool = True
    plant: Callable[[], None] = nothing

    def job(self, folder: Path, plan: Plan, seed: int) -> Job:
        """A start of the driver."""
        return Job(
            folder=folder,
            spec=self.spec,
            grown=self.grown,
            num_workers=self.num_workers,
            max_concurrent=1 if self.is_serial else None,
            plan=plan,
            seed=seed,
            plant=self.plant,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reference:
    """A run of a study that nothing befell.

    Args:
        calls: Every call that changed files (or opened one for reading, when that was counted).
        outcome: What must come out again; see `outcome_of`.
        seconds: How long it took.
    """

    calls: list[str]
    outcome: dict[str, Any]
    seconds: float


class Siege:
    """One study under fire.

    Args:
        folder: Empty.
        setup: What is run.
        reference: What must come out.
        figures: Where all is counted.
        seed: The order in which workers report.
    """

    def __init__(self, folder: Path, setup: Setup, reference: Reference, figures: Figures, *, seed: int):
        self._folder, self._setup, self._reference, self._figures = folder, setup, reference, figures
        self._store = StudyFolder(setup.job(folder, Plan(), 0).results / setup.spec.name)
        self._seed = seed
        self._num_cycles = 0
        self._befell = "nothing"
        self._is_torn = False
        self._epochs_allowed = 1
        self.is_finished = False

    def cycle(self, plan: Plan, after_s: float | None = None) -> None:
        """Start the driver, let the fault strike, look at what is left."""
        self._num_cycles += 1
        code, text, was_killed = start(self._setup.job(self._folder, plan, self._seed + self._num_cycles), after_s)
        if plan.at:
            call = self._reference.calls[plan.at - 1] if self._num_cycles == 1 else "of a later start"
            self._befell = f"{plan.mode} at call {plan.at}, {call}"
        where = f"start {self._num_cycles} after {self._befell}"
        self._is_torn |= was_killed and plan.mode == "torn"
        if plan.mode != "kill":
            # A checkpoint that cannot be read costs its epoch too; so does one that cannot be written, because that shows only
            # when the epoch beside it has been trained.
            self._epochs_allowed = 2
        if code == FINISHED:
            self.is_finished = True
        elif was_killed:
            self._figures.kills += 1
        elif code == BROKEN:
            self._figures.kills += 1
            self._figures.fault("unexplained", f"{where}: {text}")
        else:
            self._refused(plan, where, text)
        self._look(where)

    def end(self) -> None:
        """Let the driver finish undisturbed, then compare."""
        for _ in range(6):
            if self.is_finished:
                break
            self.cycle(Plan())
        else:
            self._figures.fault("unreadable", f"the study cannot be finished: {self._setup.job}")
            return
        self._figures.studies += 1
        self._count_redone()
        self._compare()
        if self._leftovers():  # what a faulty disk would not remove; the next start may
            self.cycle(Plan())
        for name in self._leftovers():
            self._figures.fault("left_over", f"{name} after {self._befell}")
        for finding in audit(self._store).findings:
            if not (self._is_torn and finding.kind is Found.LOST):
                self._figures.fault("audited", f"{finding} after {self._befell}")

    def _refused(self, plan: Plan, where: str, text: str) -> None:
        """A message for the user: it names the disk, or is about a file the fault has torn."""
        folder = Path(self._store.folder)
        owner = folder / "owner.json"
        if "has just written its lock" in text and owner.exists():
            os.utime(owner, (time.time() - STALE,) * 2)
            self._figures.waits += 1
        elif plan.at and plan.mode in ERRORS:
            self._figures.kills += 1
            if str(self._folder) not in text or not any(word in text for word in ("disk", "full", "mount")):
                self._figures.fault("unexplained", f"{where}: {text}")
        elif self._is_torn and (torn := [path for path in folder.rglob("*") if path.is_file() and str(path) in text]):
            self._figures.by_hand += 1
            torn[0].unlink()
        else:
            self._figures.fault("unexplained", f"{where}: {text}")

    def _look(self, where: str) -> None:
        """The study can be read at any time, and everything acknowledged is in it."""
        self.events: list[Event] = []
        if not self._store.exists:
            acknowledged = self._acknowledged()
            if acknowledged:
                self._figures.fault("lost", f"{where}: the study is gone")
            return
        try:
            self.events = self._store.read()
        except SweeperError as error:
            if not self._is_torn:
                self._figures.fault("unreadable", f"{where}: {error}")
            return
        found = {":".join(map(str, event.key)): digest(event) for event in self.events}
        for key, row in self._acknowledged().items():
            if found.get(key) != row:
                self._figures.fault("lost", f"{where}: row {key} is {'gone' if key not in found else 'another'}")
        for finding in [] if self._is_torn else audit(self._store).findings:
            if finding.kind.is_fault:
                self._figures.fault("audited", f"{where}: {finding}")
        keys = collections.Counter((event.trial, event.attempt, event.epoch) for event in self.events if event.kind is Kind.EPOCH)
        repeated = [str(key) for key, count in keys.items() if count > 1]
        for row in repeated + ["a key of the ledger"] * (len(self.events) - len(found)):
            self._figures.fault("repeated", f"{where}: {row}")

    def _acknowledged(self) -> dict[str, str]:
        lines = _lines(self._folder / "acknowledged")
        return dict(line.split() for line in lines)

    def _count_redone(self) -> None:
        """Epochs a worker began more than once, by the attempt that began them again."""
        self._figures.acknowledged += len(self._acknowledged())
        seen: set[tuple[str, str]] = set()
        redone: collections.Counter[tuple[str, ...]] = collections.Counter()
        for line in _lines(self._folder / "trained"):
            process, trial, attempt, epoch = line.split()
            redone[process, trial, attempt] += (trial, epoch) in seen
            seen.add((trial, epoch))
        for key, count in redone.items():
            self._figures.redone += count
            self._figures.most_redone = max(self._figures.most_redone, count)
            if count > self._epochs_allowed:
                self._figures.fault("redone_beyond", f"{count} epochs by process, trial and attempt {key}")

    def _compare(self) -> None:
        outcome = outcome_of(self._setup.spec, self.events)
        if self._setup.is_serial:
            different = [name for name in outcome if repr(outcome[name]) != repr(self._reference.outcome[name])]
        else:
            different = [name for name in ("suggested", "metrics") if not _agree(outcome[name], self._reference.outcome[name])]
        if different:
            self._figures.fault(
                "differing",
                f"{', '.join(different)} after {self._num_cycles} starts, {self._befell}{self._first_difference(outcome)}",
            )
        stored = pq.read_table(Path(self._store.folder) / "tables" / "trials.parquet")
        if repr(stored.to_pylist()) != repr(tables.tables(self.events)[0].to_pylist()):
            self._figures.fault("differing", "the table of trials is not that of the ledger")
        read = stamp.read(self._store.folder)  # a command about results would take it for the ledger
        if read is not None and repr(read.trials.to_pylist()) != repr(stored.to_pylist()):
            self._figures.fault("differing", "tables pass for current that are not")

    def _first_difference(self, outcome: dict[str, Any]) -> str:
        expected = self._reference.outcome
        for name in ("metrics", "ends"):
            for key in expected[name]:
                if repr(outcome[name].get(key)) != repr(expected[name][key]):
                    return f"; {name} of {key}: {outcome[name].get(key)} instead of {expected[name][key]}"
        return ""

    def _leftovers(self) -> list[str]:
        search = Search(self._setup.spec).fold(self.events)
        folder = Path(self._store.folder)
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        kept = collections.Counter(name.split("/")[1] for name in files if name.startswith("checkpoints/"))
        useless = [
            f"{count} checkpoints of {trial}"
            for trial, count in kept.items()
            if trial not in search.trials or search.trials[trial].status != "completed" or count > 1
        ]
        kept_by_arm = collections.Counter(trial.rpartition("-")[0] for trial in kept)
        useless += [f"{count} trials of {arm} with checkpoints" for arm, count in kept_by_arm.items() if count > KEEP_BEST]
        return useless + [name for name in files if not any(fnmatch.fnmatch(name, pattern) for pattern in EXPECTED)]


def outcome_of(spec: StudySpec, events: list[Event]) -> dict[str, Any]:
    """What must not depend on interruptions: what was suggested, measured and decided, and how each trial ended."""
    search = Search(spec).fold(events)
    first: dict[tuple[str | None, int | None], Event] = {}
    for event in events:
        if event.kind is Kind.EPOCH:
            first.setdefault((event.trial, event.epoch), event)
    return {
        "suggested": {name: (trial.configuration, trial.seed) for name, trial in search.trials.items()},
        "metrics": {key: [getattr(event, name) for name in METRICS] for key, event in first.items()},
        "decisions": {key: (event.status, event.reason) for key, event in first.items()},
        "ends": {name: (trial.status, trial.reason, trial.lost, trial.scores) for name, trial in search.trials.items()},
        "order": list(search.trials),
        "finished": search.finished,
    }


def _agree(left: dict[Any, Any], right: dict[Any, Any]) -> bool:
    return all(repr(left[key]) == repr(right[key]) for key in left.keys() & right.keys())


def start(job: Job, after_s: float | None = None) -> tuple[int, str, bool]:
    """Exit code and last words of a driver in a process of its own, and whether it was killed."""
    words = job.folder / "words"
    job.results.parent.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        _be_driver(job, words)
    if after_s is not None:
        time.sleep(after_s)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    was_killed = os.WIFSIGNALED(status)
    return (-1 if was_killed else os.WEXITSTATUS(status)), words.read_text() if words.exists() else "", was_killed


def _be_driver(job: Job, words: Path) -> None:
    code, text = BROKEN, ""
    try:
        words.unlink(missing_ok=True)
        gate: Gate = drive(job)
        (job.folder / "calls").write_text(
            "\n".join(f"{kind} {os.path.relpath(path, job.results.parent)}" for kind, path in gate.calls)
        )
        code = FINISHED
    except SweeperError as error:
        code, text = REFUSED, str(error)
    except BaseException:
        text = traceback.format_exc()
    finally:
        if text:
            words.write_text(text)
        os._exit(code)


def _lines(path: Path) -> list[str]:
    """Whole lines; the last one may be torn by a kill."""
    return path.read_text().split("\n")[:-1] if path.exists() else []
