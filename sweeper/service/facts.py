"""Where a study stands, as facts."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from typing import TYPE_CHECKING, Any

from sweeper.service.stored import results_of

if TYPE_CHECKING:
    from sweeper.analysis.results import Results
    from sweeper.driver.opened import OpenedStudy
    from sweeper.ledger.lock import Owner
    from sweeper.ledger.records import Event, Stage
    from sweeper.search.study import Search


def driver_of(owner: Owner | None, started: Event | None = None) -> dict[str, Any]:
    """Who drives a study, whether that driver still gets ready, and where Ray's dashboard is.

    A driver gets ready until it has begun a generation of the ledger.

    Args:
        owner: Of the study's lock.
        started: The event with which the newest generation began.
    """
    if owner is None:
        return {"driver": None}
    since = datetime.datetime.fromisoformat(owner.started).timestamp()
    is_ready = started is not None and (started.time or 0.0) >= since
    dashboard = json.loads(started.detail or "{}").get("dashboard") if started is not None and is_ready else None
    facts = {"host": owner.host, "pid": owner.pid, "since": owner.started, "is_ready": is_ready, "dashboard": dashboard}
    return {"driver": facts}


def status_of(study: OpenedStudy) -> dict[str, Any]:
    """Where a study stands, from its events alone: the trials of its search, and the repetitions."""
    from sweeper.analysis.gain import gains, words
    from sweeper.analysis.summary import validation_images
    from sweeper.driver.waiting import sentences
    from sweeper.ledger.records import Kind, Stage
    from sweeper.search.lessons import sources_in
    from sweeper.training import checkpoint

    search, owner = study.search, study.files.owner
    kept = checkpoint.listing(study.folder / "checkpoints")
    goal, column = study.first.goals[0]
    arms = {arm: _counts(search, arm) for arm in study.spec.arms}
    counts = {status: sum(arm[status] for arm in arms.values()) for status in next(iter(arms.values()))}
    repetitions, confirmations = _repetitions(search, Stage.ABLATION), _repetitions(search, Stage.CONFIRM)
    results = results_of(study)
    best, best_of_arm = _best(results)
    images = validation_images(best.pop("dataset")) if best else None
    gained = gains(results)
    return {
        "study": study.first.name,
        "study_id": study.first.study_id,
        "folder": str(study.folder),
        "is_running": owner is not None,
        "is_finished": search.is_finished,
        "left": _left(study) if owner is not None else None,
        **driver_of(owner, next((event for event in reversed(study.events) if event.kind is Kind.DRIVER_STARTED), None)),
        "waiting": sentences(study.folder) if owner is not None else [],
        "trials": counts,
        "repetitions": repetitions,
        "confirmations": confirmations,
        "arms": {
            arm: {**arms[arm], "best": best_of_arm.get(arm), "gain": dataclasses.asdict(gained[arm]) if arm in gained else None}
            for arm in arms
        },
        "learned": [source.facts() for event in study.events if event.kind is Kind.LEARNED for source in sources_in(event)],
        "gains": [words(arm, gained[arm]) for arm in arms if arm in gained],
        "ended_early": [why for arm in arms if (why := search.why_early(arm))],
        "out_of_race": {arm: dataclasses.asdict(why) for arm, why in search.out.items()},
        "refusals": {arm: why for arm, why in _refusals(results).items() if arms.get(arm, {}).get("infeasible")},
        "epochs": sum(trial.epoch for trial in search.of_stage(Stage.SEARCH)),
        "checkpoints": {"files": len(kept), "trials": len({one.trial for one in kept}), "bytes": sum(one.size for one in kept)},
        "objective": f"{goal} {column}",
        "best": best,
        "validation_images": images,
        "time": _time(results),
    }


def _left(study: OpenedStudy) -> dict[str, float] | None:
    """Seconds until the search has ended, and until the best are confirmed from then on; None where that is not known."""
    from sweeper.search import forecast

    pace = forecast.Pace()
    for event in study.events:
        pace.follow(event, event.time or 0.0)
    left = forecast.left(study.search, pace, now=time.time(), confirm=study.first.confirm)
    return None if left is None else dataclasses.asdict(left)


def _counts(search: Search, arm: str) -> dict[str, int]:
    """How many trials of an arm's search stand where, those to come included; draws that its network refused are none of them."""
    from sweeper.ledger.records import Reason, Stage, Status

    own = [trial for trial in search.of_stage(Stage.SEARCH) if trial.arm == arm]
    counts = {status.value: sum(trial.status is status for trial in own) for status in Status}
    infeasible = sum(trial.reason is Reason.INFEASIBLE for trial in own)
    counts |= {"failed": counts["failed"] - infeasible, "infeasible": infeasible}
    counts["pending"] += search.to_come(arm)
    counts["pending"] += sum(trial.arm == arm and trial.stage is Stage.SEARCH for trial in search.planned)
    return counts


def _repetitions(search: Search, stage: Stage) -> dict[str, int]:
    """How many repetitions of a stage stand where. They are no part of the budget."""
    from sweeper.ledger.records import Status

    begun = search.of_stage(stage)
    counts = {status.value: sum(trial.status is status for trial in begun) for status in Status}
    counts["pending"] += sum(trial.stage is stage for trial in search.planned)
    return counts


def _best(results: Results) -> tuple[dict[str, Any] | None, dict[str, float]]:
    """Facts of the best completed trial of the search, and the best value of each arm.

    Of repetitions the luckiest would pass for the best trial, so they do not count.
    """
    from sweeper.analysis.results import at_stage, ranked
    from sweeper.ledger.records import Stage

    ranking = ranked(at_stage(results, Stage.SEARCH)).dropna(subset=results.objective)
    if ranking.empty:
        return None, {}
    row = ranking.iloc[0]
    best = {name: row[name] for name in ("trial", "arm", results.objective, "parameters", "epoch", "configuration", "dataset")}
    best |= {name: None if row[name] != row[name] else int(row[name]) for name in ("parameters", "epoch")}
    return best, {str(arm): float(value) for arm, value in ranking.groupby("arm")[results.objective].first().items()}


def _refusals(results: Results) -> dict[str, str]:
    """Why the network of an arm refused a draw, the last time it did."""
    from sweeper.ledger.records import Reason

    refused = results.trials[results.trials["reason"] == Reason.INFEASIBLE]
    return {str(arm): str(own["detail"].iloc[-1]) for arm, own in refused.groupby("arm", sort=False)}


def _time(results: Results) -> dict[str, Any]:
    """Where the time went: of the drivers, and of the workers by arm and by worker, repetitions included."""
    from sweeper.analysis.time_use import time_shares, utilisation

    def seconds(by: str) -> list[dict[Any, Any]]:
        table = time_shares(results, by=by, stage="all")
        return table[[by, "epochs", *(name for name in table.columns if name.endswith("_s"))]].to_dict("records")

    runs = results.runs
    return {
        "wall_s": float((runs["ended"] - runs["started"]).sum()),
        "ray_s": float(runs["ray_s"].sum()),
        "workers": None if runs["workers"].isna().all() else int(runs["workers"].max()),
        "utilisation": utilisation(results),
        "arms": seconds("arm"),
        "by_worker": seconds("worker"),
    }
