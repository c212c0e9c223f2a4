"""What a report must not hide: what the search gained, failures, what it cost, how it was measured."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from sweeper.analysis.gain import Gain, gains, words
from sweeper.analysis.results import Results, arms, at_stage
from sweeper.analysis.summary import arms_table
from sweeper.analysis.time_use import ACTIVITIES, time_shares, utilisation
from sweeper.errors import first_line
from sweeper.ledger.records import Reason, Stage, Status
from sweeper.plots import _quantities
from sweeper.report.caveats import datasets
from sweeper.report.choices import Choices
from sweeper.report.parts import Cell, Number, Section, Sentence, Table, cells, duration, listing, measure, said, tally

MOST_FAILURES = 20
"""Failed trials that are told one by one."""

LONGEST_MESSAGE = 160
"""Characters of an error message that are told."""

OF_A_TRIAL = ("carved anew", "seeds together", "weights")
"""Entries of versions that tell how one trial was trained."""

MOST_SEEDS = 20
"""Seeds that are listed."""

ENDS = {
    "completed": "completed",
    "stopped": "stopped early",
    "failed": "failed",
    "infeasible": "refused draws",
    "unfinished": "unfinished",
}
"""How trials end, and what that is called."""

SECONDS = [f"{activity}_s" for activity in ACTIVITIES]


def gained(found: Choices) -> Section:
    """What the search of each arm gained over the arm's default configuration."""
    note = "The rule, and what chance alone may give, are those of sweeper status: documentation, What the search gained."
    told = [_gain(found.results, arm, gain) for arm, gain in gains(found.results).items()]
    sentences = told or [("No arm has two trials of the search, so nothing was searched.",)]
    return Section(key="gain", title="What did the search gain over the defaults?", sentences=tuple(sentences), note=note)


def _gain(results: Results, arm: str, gain: Gain) -> Sentence:
    text = words(arm, gain)
    if gain.trial is None:
        return (f"{text}.",)
    own = results.trials[(results.trials["arm"] == arm) & (results.trials["stage"] == Stage.SEARCH)]
    rows = "; ".join(dict.fromkeys([gain.trial, *own.loc[own["number"] == 0, "trial"].astype(str)]))
    how = f"difference, in {gain.unit}"
    return said("{}.", Number(text=text, value=gain.gain, rows=rows, column=results.objective, how=how))


def failures(found: Choices) -> Section:
    """How trials ended by arm, and why those that failed did."""
    results = found.results
    arms_of = arms_table(results, stage="all").to_dict("records")
    counts = [[str(row["arm"]), *(_count(row, end) for end in ENDS)] for row in arms_of]
    failed = results.trials[(results.trials["status"] == Status.FAILED) & (results.trials["reason"] != Reason.INFEASIBLE)]
    reasons = {str(reason): int(count) for reason, count in failed["reason"].fillna("unknown").value_counts().items()}
    sentences: list[Sentence] = [_why(results, reasons)]
    sentences += [_message(row) for row in failed.head(MOST_FAILURES).to_dict("records")]
    if len(failed) > MOST_FAILURES:
        sentences.append((f"And {len(failed) - MOST_FAILURES:,} more; sweeper export {results.named} writes them all.",))
    table = Table(columns=("arm", *ENDS.values()), rows=cells(counts)) if counts else None
    return Section(key="failures", title="What failed?", sentences=tuple(sentences), table=table)


def _why(results: Results, reasons: dict[str, int]) -> Sentence:
    if not reasons:
        return ("No trial failed.",) if len(results.trials) else ("Nothing was trained yet.",)
    number = tally(sum(reasons.values()), "trial", rows="status = failed", column="status")
    why = [
        said("{} ({})", tally(count, rows=f"status = failed, reason = {reason}", column="reason"), reason.replace("_", " "))
        for reason, count in reasons.items()
    ]
    return said("{} failed: {}.", number, listing(why))


def _count(row: dict[Any, Any], end: str) -> Cell:
    rows = f"arm = {row['arm']}, reason = infeasible" if end == "infeasible" else f"arm = {row['arm']}, status = {end}"
    return tally(int(row[end]), rows=rows, column="status")


def _message(row: dict[Any, Any]) -> Sentence:
    detail = row["detail"]
    text = first_line(ValueError(detail), LONGEST_MESSAGE) if isinstance(detail, str) and detail.strip() else "no message"
    trial = str(row["trial"])
    epochs = 0 if row["epoch"] != row["epoch"] else int(row["epoch"])
    ended = said("after {}", tally(epochs, "epoch", rows=trial, column="epoch")) if epochs else ("in its first epoch",)
    return said("{}, {}: {}.", Number(text=trial, rows=trial, column="detail"), ended, text)


def costs(found: Choices) -> Section:
    """What the study cost: epochs and seconds, by arm and stage, and which share of the time was training."""
    results = found.results
    title = "What did it cost?"
    shares = time_shares(results, by="arm", stage="all")
    if shares.empty:
        return Section(key="cost", title=title, sentences=(("No epoch was trained.",),))
    whole = shares.iloc[-1]
    epochs = tally(int(whole["epochs"]), "epoch", rows="all", column="epoch", table="epochs")
    busy, training = _sum(whole["total_s"], ", ".join(SECONDS), "all"), _sum(whole["train_s"], "train_s", "all")
    sentences = [said("{} took {} of workers' time, {} of it training.", epochs, busy, training), *_of_drivers(results)]
    stages = results.epochs.groupby("stage", sort=False)["train_s"].sum()
    if len(stages) > 1:
        some = [said("{} {}", str(stage), _sum(seconds, "train_s", f"stage = {stage}")) for stage, seconds in stages.items()]
        sentences.append(said("Training by stage: {}.", listing(some)))
    rows: list[list[Cell]] = [
        [
            str(row["arm"]),
            tally(int(row["epochs"]), rows=f"arm = {row['arm']}", column="epoch", table="epochs"),
            _sum(row["train_s"], "train_s", f"arm = {row['arm']}"),
            _sum(row["total_s"], ", ".join(SECONDS), f"arm = {row['arm']}"),
        ]
        for row in shares.iloc[:-1].to_dict("records")
    ]
    columns = ("arm", "epochs", "training", "workers' time")
    return Section(key="cost", title=title, sentences=tuple(sentences), table=Table(columns=columns, rows=cells(rows)))


def _of_drivers(results: Results) -> list[Sentence]:
    runs = results.runs
    wall = float((runs["ended"] - runs["started"]).sum())
    if not wall > 0:
        return []
    number = measure("ended, started", wall, rows="all", how="sum of differences", table="runs", text=duration(wall))
    share = utilisation(results)
    used: Sentence = ()
    if math.isfinite(share):
        how = "train_s of the epochs / (ended − started) × workers"
        number_of = measure("workers", share, rows="all", how=how, table="runs", text=f"{100 * share:.0f} %")
        used = said("; {} of the workers' time in it was training", number_of)
    return [said("From start to end it ran for {}{}.", number, used)]


def _sum(value: float, column: str, rows: str) -> Number:
    return measure(column, float(value), rows=rows, how="sum", table="epochs", text=duration(float(value)))


def measured(found: Choices) -> Section:
    """How it was measured: data, objectives, seeds, epochs, versions, device, commit, as the rows tell."""
    results, trials = found.results, found.results.trials
    rows: list[list[Cell]] = [["objectives", ", ".join(f"{direction} {column}" for direction, column in results.objectives)]]
    rows += [["dataset", _recorded(_listed(one), "dataset")] for one in datasets(results)] or [["dataset", "not recorded"]]
    lengths = sorted({int(value) for value in trials["max_epochs"].dropna()})
    rows += [
        ["study", _recorded(", ".join(map(str, trials["study_id"].dropna().unique())), "study_id")],
        ["trials by stage", _recorded(_by_stage(results), "stage")],
        ["seeds", _recorded(_seeds(results), "seed")],
        ["epochs of a whole training", _recorded(", ".join(map(str, lengths)), "max_epochs")],
    ]
    for column in ("device", "versions", "commit"):
        rows.append([column, _recorded("; ".join(_texts(trials[column])), column)])
    if results.resources:
        rows.append(["resources of a trial", "; ".join(f"{arm}: {asked}" for arm, asked in results.resources.items())])
    if results.limits:
        rows.append(["constraints", ", ".join(f"{column} <= {most:,}" for column, most in results.limits.items())])
    if results.class_names:
        rows.append(["classes", ", ".join(results.class_names)])
    several = [column for column in ("device", "versions", "commit") if len(_texts(trials[column])) > 1]
    alike = "All trials were measured alike, as far as recorded."
    if several:
        alike = f"Not all trials have the same {' and '.join(several)}."
    note = "sweeper retrain trains a trial again from its row and says whether every epoch comes out the same."
    table = Table(columns=("what", "as recorded"), rows=cells(rows))
    sentence = alike if len(trials) else "Nothing was measured yet."
    return Section(key="measured", title="How was it measured?", sentences=((sentence,),), note=note, table=table)


def _recorded(text: str, column: str) -> Cell:
    return Number(text=text, rows="all", column=column, how="distinct values") if text else "not recorded"


def _listed(facts: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_plain(value)}" for key, value in facts.items() if value is not None)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value)


def _texts(column: pd.Series) -> list[str]:
    """The different texts of a column, versions for a person: without what they say of one trial alone."""
    return list(dict.fromkeys(map(_versions, column.dropna().unique())))


def _versions(text: Any) -> str:
    if not str(text).startswith("{"):
        return str(text)
    return _listed({name: value for name, value in json.loads(text).items() if name not in OF_A_TRIAL})


def _by_stage(results: Results) -> str:
    counts = results.trials["stage"].value_counts()
    return ", ".join(f"{counts[stage]:,} {stage}" for stage in map(str, Stage) if stage in counts)


def _seeds(results: Results) -> str:
    """Seeds of repetitions by number; those of the search are one to a trial."""
    told = ["one to each trial of the search, in its row"] if (results.trials["stage"] == Stage.SEARCH).any() else []
    for stage in (Stage.CONFIRM, Stage.ABLATION):
        seeds = sorted({int(seed) for seed in at_stage(results, stage).trials["seed"].dropna()})
        if seeds:
            more = " …" if len(seeds) > MOST_SEEDS else ""
            told.append(f"{stage}: {', '.join(map(str, seeds[:MOST_SEEDS]))}{more}, the same for every configuration")
    return "; ".join(told)


def subtitle(found: Choices) -> Sentence:
    """What was compared on what, in a line."""
    results = found.results
    names = [text for text in dict.fromkeys(str(one.get("name", "")) for one in datasets(results)) if text]
    data = f"Dataset {' and '.join(names)}" if names else "Dataset not recorded"
    count = tally(len(results.trials), "trial", rows="all", column="trial")
    return said("{}: {}, {}.", data, _quantities.count(len(arms(results)), "arm"), count)
