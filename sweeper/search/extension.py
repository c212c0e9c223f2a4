"""Extensions: a study goes on with more trials, more arms or more epochs, or may repeat configurations from now on.

The file a study began with stays what it was, and so does its identity. An extension is an event (`Kind.EXTENDED`) that holds the
study from then on, followed by one for each trial that now trains longer. Nothing else about a study may change, and nothing may
shrink: its results could no longer be compared.

**More epochs.** A trial with a constant learning rate goes on from its checkpoint: it trains as if it had been given all these
epochs at once. With early stopping it goes on only if a rung at its last epoch would not stop it. A trial whose learning rate
decays is finished: it keeps its row or, on request, is repeated from the start as a new trial. Repetitions with other seeds keep
their length.
"""

from __future__ import annotations

import dataclasses

from sweeper.ledger.records import Event, Kind, Stage, Status
from sweeper.search import details
from sweeper.search.arm import Arm
from sweeper.search.details import Repetition
from sweeper.search.promotion import Promotion
from sweeper.search.stopping import Rungs
from sweeper.search.study import Search
from sweeper.search.trial import Trial
from sweeper.study.compared import differences
from sweeper.study.space import TRAINING
from sweeper.study.spec import StudySpec

WHAT_MAY_CHANGE = (
    "What may change: more trials (budget.trials), more epochs (budget.max_epochs), more arms, search.repeats to true."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extension:
    """What an extension changes.

    Args:
        study: The study from now on.
        lengthened: Trials that train for `study.budget.max_epochs`, completed ones among them.
        kept: Completed trials that could go on if their learning rate had not decayed.
        repeated: Those of `kept` that are trained anew, as new trials, unless that is planned already.
    """

    study: StudySpec
    lengthened: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    repeated: tuple[Repetition, ...] = ()


def refusals(study: StudySpec, wanted: StudySpec) -> list[str]:
    """Why a study cannot be turned into another one, a line each; empty when that is an extension, or no change.

    Args:
        study: The study as it is, with every option of its dataset.
        wanted: The study asked for, likewise.
    """
    kept = {name: arm for name, arm in wanted.arms.items() if name in study.arms}
    changes: dict[str, object] = {"budget": study.budget, "arms": kept, "confirm": study.confirm}
    if wanted.search.repeats:
        changes["search"] = wanted.search.model_copy(update={"repeats": study.search.repeats})
    refused = differences(study, wanted.model_copy(update=changes))
    for name in ("trials", "max_epochs"):
        before, after = getattr(study.budget, name), getattr(wanted.budget, name)
        if after < before:
            refused.append(f"budget.{name}: {before} -> {after} (it can only grow)")
    new = [name for name in wanted.arms if name not in study.arms]
    if new and any(wanted.trials_of(arm) < study.trials_of(arm) for arm in kept):
        needed = max(study.trials_of(arm) for arm in study.arms) * len(wanted.arms)
        refused.append(
            f"budget.trials: {wanted.budget.trials} would leave arms of the study fewer trials than they have, because "
            f"{', '.join(new)} get{'s' if len(new) == 1 else ''} a share; {needed} are enough"
        )
    return refused


def plan(search: Search, wanted: StudySpec, *, repeats_decayed: bool = False) -> Extension | None:
    """What turning the study into the one asked for means for its trials; None when nothing changes.

    Args:
        search: The study's search, folded.
        wanted: The study asked for; `refusals` has nothing against it.
        repeats_decayed: Whether completed trials whose learning rate decays are trained anew; also those that an earlier
            extension left as they were.
    """
    epochs, study = wanted.budget.max_epochs, _grown(search.spec, wanted)
    is_longer = epochs > search.spec.budget.max_epochs
    rungs = {name: arm.rungs_up_to(epochs) for name, arm in search.arms.items()}
    shorter = [trial for trial in search.of_stage(Stage.SEARCH) if trial.max_epochs < epochs]
    is_stopping = search.spec.stopping.rule != "none"
    trials = [trial for trial in shorter if _may_go_on(trial, search.arms[trial.arm], rungs[trial.arm] if is_stopping else None)]
    decayed = [trial for trial in trials if not _is_constant(trial)]
    # A trial trained anew has its parent's seed: repeating both would give the same trial twice.
    kept = [trial for trial in decayed if trial.status is Status.COMPLETED and trial.parent is None]
    asked = kept if repeats_decayed else []
    anew = [Repetition.of(trial, f"e{epochs}", max_epochs=epochs, stage=Stage.SEARCH) for trial in asked]
    repeated = tuple(one for one in anew if not search.knows(one.trial))
    if study == search.spec and not repeated:
        return None
    return Extension(
        study=study,
        lengthened=tuple(trial.trial for trial in trials if is_longer and _is_constant(trial)),
        kept=tuple(trial.trial for trial in kept),
        repeated=repeated,
    )


def events(search: Search, extension: Extension) -> list[Event]:
    """The events that extend the study, in order."""
    told = [details.extended_event(extension.study)]
    for name in extension.lengthened:
        status = search.trials[name].status
        told.append(
            Event(
                kind=Kind.EXTENDED,
                trial=name,
                arm=search.trials[name].arm,
                max_epochs=extension.study.budget.max_epochs,
                status=Status.INTERRUPTED if status.is_final else status,
            )
        )
    return told + ([details.planned_event(extension.repeated)] if extension.repeated else [])


def words(study: StudySpec, extension: Extension) -> str:
    """The extension of a study in a sentence or two."""
    changes = [
        f"{name} {getattr(study.budget, name)} -> {getattr(extension.study.budget, name)}"
        for name in ("trials", "max_epochs")
        if getattr(study.budget, name) != getattr(extension.study.budget, name)
    ]
    new = [arm for arm in extension.study.arms if arm not in study.arms]
    changes += [f"new arm{'' if len(new) == 1 else 's'} {', '.join(new)}"] if new else []
    changes += ["configurations may repeat"] if extension.study.search != study.search else []
    text = f"extending study '{study.name}'" + (f": {', '.join(changes)}" if changes else "")
    is_longer = extension.study.budget.max_epochs > study.budget.max_epochs
    told = [f"trials that train longer: {len(extension.lengthened)}"] if is_longer else []
    if extension.repeated:
        told.append(f"trained anew because their learning rate decays: {len(extension.repeated)}")
    elif is_longer:
        advice = ", which --repeat-decayed would train anew" if extension.kept else ""
        told.append(f"kept as they are because their learning rate has decayed: {len(extension.kept)}{advice}")
    return f"{text}; {', '.join(told)}" if told else text


def _grown(study: StudySpec, wanted: StudySpec) -> StudySpec:
    """The study with the budget, the repeats and the new arms of the one asked for: its own arms first, in their order."""
    arms = {**study.arms, **{name: arm for name, arm in wanted.arms.items() if name not in study.arms}}
    return study.model_copy(update={"budget": wanted.budget, "arms": arms, "search": wanted.search})


def _may_go_on(trial: Trial, arm: Arm, rungs: Rungs | Promotion | None) -> bool:
    """Whether a trial has not ended, or ended only because its epochs were spent, and no rung would stop it there."""
    if not trial.status.is_final:
        return True
    if trial.status is not Status.COMPLETED:
        return False
    return not isinstance(rungs, Rungs) or not rungs.stops(trial.epoch, trial.scores[-1], arm.weighed(trial.costs[-1]))


def _is_constant(trial: Trial) -> bool:
    return trial.configuration.get("schedule", TRAINING["schedule"].default) == "constant"
