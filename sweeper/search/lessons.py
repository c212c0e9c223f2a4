"""Lessons: what trials of earlier studies teach the samplers of a new one.

A study that names earlier ones (`search.learn_from`) takes what they teach into one event of its own ledger (`Kind.LEARNED`) as
it begins. From then on nothing needs the earlier studies: a resume, an audit or a fold finds the lessons there. They teach
samplers alone. Rungs, the budget and results know nothing of them.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sweeper.ledger.records import Event, Kind
from sweeper.search.history import Finished


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """An earlier study and what it teaches.

    Args:
        folder: Where it lay, as the study file names it.
        study: Its name.
        study_id: Its id.
        lessons: Its trials by the arm they teach, each as a configuration of that arm.
        left_out: Trials of arms alike that are no configuration of an arm here.
    """

    folder: str
    study: str
    study_id: str
    lessons: Mapping[str, Sequence[Finished]]
    left_out: int

    def facts(self) -> dict[str, Any]:
        """Who teaches, and how many trials teach each arm."""
        arms = {arm: len(own) for arm, own in self.lessons.items()}
        return {"study": self.study, "folder": self.folder, "arms": arms, "left_out": self.left_out}


def words(facts: Mapping[str, Any]) -> str:
    """`Source.facts` in a sentence."""
    arms = ", ".join(f"arm {arm} with {count} {_trials(count)}" for arm, count in facts["arms"].items())
    count = facts["left_out"]
    left_out = f"; {count} {_trials(count)} left out, because fixed values or ranges differ" if count else ""
    return f"study '{facts['study']}' ({facts['folder']}) teaches {arms}{left_out}"


def learned_event(sources: Sequence[Source]) -> Event:
    """The event that keeps what earlier studies teach; a score that is no number is null."""
    told = [
        {
            "folder": source.folder,
            "study": source.study,
            "study_id": source.study_id,
            "lessons": {arm: [_told(lesson) for lesson in own] for arm, own in source.lessons.items()},
            "left_out": source.left_out,
        }
        for source in sources
    ]
    return Event(kind=Kind.LEARNED, detail=json.dumps(told, allow_nan=False))


def sources_in(event: Event) -> list[Source]:
    """What `learned_event` was given for it."""
    return [
        Source(**{**row, "lessons": {arm: tuple(map(_heard, own)) for arm, own in row["lessons"].items()}})
        for row in json.loads(event.detail or "[]")
    ]


def within(lesson: Finished, max_epochs: int) -> Finished:
    """A lesson for a study of so many epochs: what came after them does not count, and a training that got there is complete."""
    is_complete = lesson.is_complete or len(lesson.scores) >= max_epochs
    return dataclasses.replace(lesson, scores=lesson.scores[:max_epochs], is_complete=is_complete)


def _trials(count: int) -> str:
    return "trial" if count == 1 else "trials"


def _told(lesson: Finished) -> dict[str, Any]:
    scores = [score if math.isfinite(score) else None for score in lesson.scores]
    return {"configuration": dict(lesson.configuration), "scores": scores, "is_complete": lesson.is_complete}


def _heard(row: Mapping[str, Any]) -> Finished:
    return Finished(**{**row, "scores": tuple(math.nan if score is None else score for score in row["scores"])})
