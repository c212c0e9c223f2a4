"""What must hold of a study that was killed, judged by a witness outside of it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from ray_driver import told
from ray_killing import Story

from sweeper.errors import SweeperError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import METRICS, Event, Kind, Status
from sweeper.search.study import Search
from sweeper.study.spec import StudySpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found. All but the first block must be 0, and `most_redone` at most the epochs between two checkpoints.

    Args:
        acknowledged: Rows whose commit returned.
        orphan_epochs: Epochs trained by workers whose driver was dead.
        redone: Epochs trained more than once, those of orphans apart.
        most_redone: The most of one trial after one interruption.
        lost: Acknowledged rows that are not there, or are different.
        repeated: Epoch rows of which there is more than one.
        again: Trials that had finished and ran again.
        unfinished: Trials that did not come to an end.
    """

    acknowledged: int
    orphan_epochs: int
    redone: int
    most_redone: int

    lost: int
    repeated: int
    again: int
    unfinished: int


def readable(spec: StudySpec, folder: Path) -> str | None:
    """Why a study cannot be read; None when it can, or was not created yet."""
    store = StudyFolder(folder)
    try:
        if store.exists:
            Search(spec).fold(store.read())
    except (SweeperError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def judge(spec: StudySpec, folder: Path, outside: Path, story: Story) -> Verdict:
    """Hold a study against what the witness was told."""
    events = StudyFolder(folder).read()
    stored = {tuple(row["key"]): json.dumps(row) for row in map(told, events)}
    acknowledged = {run: _lines(path) for run, path in _of_runs(outside)}
    rows = [row for of_run in acknowledged.values() for row in of_run]
    epochs = _lines(outside / "epochs.jsonl")
    killed = {kill.run: kill.time + kill.died_s for kill in story.kills if kill.target != "worker"}
    orphaned = [row for row in epochs if row["time"] > killed.get(row["run"], row["time"])]
    redone = _redone([row for row in epochs if row["time"] <= killed.get(row["run"], row["time"])])
    search = Search(spec).fold(events)
    return Verdict(
        acknowledged=len(rows),
        orphan_epochs=len(orphaned),
        redone=sum(redone.values()),
        most_redone=max(redone.values(), default=0),
        lost=sum(stored.get(tuple(row["key"])) != json.dumps(row) for row in rows),
        repeated=sum(count - 1 for count in _keys(events).values()),
        again=len(_again(acknowledged, epochs)),
        unfinished=sum(not trial.status.is_final for trial in search.trials.values()) + (not search.is_finished),
    )


def differences(spec: StudySpec, calm: Path, killed: Path, *, is_strict: bool) -> list[str]:
    """In what two runs of one study differ; metrics are compared bit for bit.

    Args:
        spec: The study.
        calm: The folder of the one that nothing happened to.
        killed: The folder of the other one.
        is_strict: Whether decisions and their order must be the same too; otherwise what both know of a trial must be.
    """
    one, other = (_curves(StudyFolder(folder).read()) for folder in (calm, killed))
    found = []
    if is_strict:
        trials = [
            [
                (trial.trial, trial.configuration, trial.seed, trial.status, trial.reason)
                for trial in Search(spec).fold(StudyFolder(folder).read()).trials.values()
            ]
            for folder in (calm, killed)
        ]
        found += [f"{left} != {right}" for left, right in zip(*trials, strict=False) if left != right]
        found += [f"{len(trials[0])} != {len(trials[1])} trials"] * (len(trials[0]) != len(trials[1]))
        found += [
            f"{trial}: {len(one[trial])} != {len(other.get(trial, ()))} epochs"
            for trial in one
            if not _as_long(one, other, trial)
        ]
    for trial in one.keys() & other.keys():
        found += [f"{trial}: {left} != {right}" for left, right in zip(one[trial], other[trial], strict=False) if left != right]
    return found


def _as_long(one: dict[str, list[str]], other: dict[str, list[str]], trial: str) -> bool:
    return len(one[trial]) == len(other.get(trial, ()))


def _curves(events: list[Event]) -> dict[str, list[str]]:
    """The configuration and then the metrics of every epoch, by trial."""
    found: dict[str, list[str]] = {}
    for event in events:
        if event.kind is Kind.SUGGESTED and event.trial:
            found.setdefault(event.trial, [f"{event.configuration} {event.seed}"])
        elif event.kind is Kind.EPOCH and event.trial and event.epoch == len(found[event.trial]):
            found[event.trial].append(repr([getattr(event, name) for name in METRICS]))
    return found


def _of_runs(outside: Path) -> list[tuple[int, Path]]:
    return sorted((int(path.stem.removeprefix("rows-")), path) for path in outside.glob("rows-*.jsonl"))


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file; the last one may have been cut."""
    if not path.exists():
        return []
    *whole, _ = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in whole]


def _keys(events: list[Event]) -> Counter[tuple[str | None, int | None, int | None]]:
    return Counter((event.trial, event.attempt, event.epoch) for event in events if event.kind is Kind.EPOCH)


def _redone(epochs: list[dict[str, Any]]) -> Counter[tuple[str, int]]:
    """How many epochs an attempt trained that earlier ones of its trial had trained."""
    found: Counter[tuple[str, int]] = Counter()
    trained: defaultdict[str, set[int]] = defaultdict(set)
    for row in sorted(epochs, key=lambda row: (row["attempt"], row["time"])):
        if row["epoch"] in trained[row["trial"]]:
            found[row["trial"], row["attempt"]] += 1
        trained[row["trial"]].add(row["epoch"])
    return found


def _again(acknowledged: dict[int, list[dict[str, Any]]], epochs: list[dict[str, Any]]) -> set[str]:
    """Trials of which an epoch was trained in a run after the one that acknowledged their end."""
    ended: dict[str, int] = {}
    for run, rows in acknowledged.items():
        for row in rows:
            if row["status"] is not None and Status(row["status"]).is_final:
                ended.setdefault(row["trial"], run)
    return {row["trial"] for row in epochs if row["run"] > ended.get(row["trial"], row["run"])}
