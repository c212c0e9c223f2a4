"""What kinds of event carry in their `detail`: trials to be repeated, the study after an extension, who is out of a race.

They hold all that a fold needs, such as configurations and the resolved study, so following them needs no catalog.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sweeper.ledger.records import Event, Kind, Stage
from sweeper.search.allocation import Out
from sweeper.search.trial import Trial
from sweeper.study.space import Configuration
from sweeper.study.spec import StudySpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repetition:
    """One trial to be trained again.

    Args:
        trial: Id of the repetition.
        parent: Id of the trial whose configuration it has.
        arm: Their arm.
        number: The parent's number.
        seed: From 1, see `sweeper.search.repetition`; the parent's if it is trained anew for more epochs.
        configuration: The parent's knobs.
        max_epochs: Epochs it is trained for, outside the search stage without early stopping.
        stage: What it is for.
        varies: See `sweeper.search.trial.Trial`.
    """

    trial: str
    parent: str
    arm: str
    number: int
    seed: int
    configuration: Configuration
    max_epochs: int
    stage: Stage = Stage.ABLATION
    varies: str | None = None

    @classmethod
    def of(cls, parent: Trial, suffix: str, **changes: Any) -> Repetition:
        """A repetition of a trial: its configuration and seed except for the changes, and its id with a suffix."""
        kept = {name: getattr(parent, name) for name in ("arm", "number", "seed", "configuration", "max_epochs")}
        return cls(trial=f"{parent.trial}-{suffix}", parent=parent.trial, **{**kept, **changes})


def planned_event(repetitions: Sequence[Repetition]) -> Event:
    """The event that asks for repetitions."""
    return Event(kind=Kind.PLANNED, detail=json.dumps([dataclasses.asdict(repetition) for repetition in repetitions]))


def repetitions_in(event: Event) -> list[Repetition]:
    """The repetitions that a `Kind.PLANNED` event asks for."""
    rows = json.loads(event.detail or "[]")
    return [Repetition(**{**row, "stage": Stage(row["stage"])}) for row in rows]


def extended_event(study: StudySpec) -> Event:
    """The event that extends a study to this one."""
    return Event(kind=Kind.EXTENDED, detail=json.dumps({"study": study.model_dump(mode="json")}))


def study_in(event: Event) -> StudySpec:
    """The study as a `Kind.EXTENDED` event left it."""
    return StudySpec.model_validate(json.loads(event.detail or "{}")["study"])


def suggested_detail(num_configurations: int | None, *, is_audit: bool, out: Mapping[str, Out]) -> str | None:
    """The detail of a trial's `Kind.SUGGESTED` event.

    Args:
        num_configurations: How many different configurations its arm can be given, if counted.
        is_audit: Whether it never waits at a rung, see `sweeper.search.promotion`.
        out: The arms that are out of the race, and why, see `sweeper.search.allocation`.
    """
    told: dict[str, Any] = {} if num_configurations is None else {"configurations": num_configurations}
    told |= {"audit": True} if is_audit else {}
    told |= {"out": {arm: dataclasses.asdict(why) for arm, why in out.items()}} if out else {}
    return json.dumps(told) if told else None


def is_audit(event: Event) -> bool:
    """Whether a trial that is suggested never waits at a rung."""
    return bool(event.detail and json.loads(event.detail).get("audit"))


def out_in(event: Event) -> dict[str, Out]:
    """The arms that were out of the race when a trial was suggested."""
    told = json.loads(event.detail).get("out", {}) if event.detail else {}
    return {arm: Out(**why) for arm, why in told.items()}


def num_configurations_in(event: Event) -> int | None:
    """What `suggested_detail` was given for it."""
    number = json.loads(event.detail).get("configurations") if event.detail else None
    return number if isinstance(number, int) else None
