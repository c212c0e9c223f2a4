"""How the contenders trained: who overfits, who converges first."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sweeper.analysis.results import Results
from sweeper.ledger.records import Stage, Status
from sweeper.report.choices import Choices, Row, called, frame_rows, selection, short
from sweeper.report.parts import (
    Cell,
    Line,
    Lines,
    Number,
    Section,
    Sentence,
    Table,
    apart,
    cells,
    difference_text,
    listing,
    measure,
    said,
)

OVERFITS = 0.05
"""A gap between training and validation accuracy that is called overfitting: five percentage points."""

REACHED = 0.95
"""Share of its final accuracy at which a training counts as there."""

NOTHING = "The rows cannot tell."


def overfitting(found: Choices) -> Section:
    """Who overfits? Training minus validation accuracy after the last epoch, and how far the best epoch was above the last."""
    title = "Who overfits?"
    note = (
        "Gap: accuracy while training the last epoch minus validation accuracy after it; overfitting is a gap above "
        f"{100 * OVERFITS:.0f} points. Training accuracy is of augmented images with dropout at work, so gaps are told too small."
    )
    table = _final(found)
    known = table.dropna(subset=["gap"]).sort_values("gap", ascending=False, kind="stable")
    if known.empty:
        return Section(key="overfitting", title=title, sentences=((f"{NOTHING} No contender has both accuracies.",),), note=note)
    rows = frame_rows(known)
    worst = [row for row in rows if row["gap"] > OVERFITS]
    told = [said("{} by {}", short(found, row), _gap(found, row)) for row in worst]
    first: Sentence = ("Nobody: no training accuracy is above its validation accuracy.",)
    if told:
        first = said("By more than {} points: {}.", f"{100 * OVERFITS:.0f}", listing(told))
    elif rows[0]["gap"] > 0:
        first = said("Nobody: the largest gap is {}, of {}.", _gap(found, rows[0]), short(found, rows[0]))
    sentences = [first]
    if past := [row for row in rows if row["past"] > OVERFITS / 5]:
        past.sort(key=lambda row: -row["past"])
        some = listing([said("{} by {}", short(found, row), _past(found, row)) for row in past])
        sentences.append(said("Validation accuracy ended below its own best epoch: {}.", some))
    columns = ("configuration", "training", "validation", "gap", "best epoch above the last")
    accuracies: list[list[Cell]] = [
        [called(row), _mean(found, row, "train_accuracy"), _mean(found, row, "val_accuracy"), _gap(found, row), _past(found, row)]
        for row in rows
    ]
    return Section(
        key="overfitting",
        title=title,
        sentences=tuple(sentences),
        note=note,
        table=Table(columns=columns, rows=cells(accuracies)),
    )


def _final(found: Choices) -> pd.DataFrame:
    """The contenders with their accuracies after the last epoch, means over seeds: ``gap`` and ``past`` besides."""
    trials = found.results.trials
    owner = trials["trial"].map(runs_of(found))
    means = trials.groupby(owner)[["train_accuracy", "val_accuracy", "best_val_accuracy"]].mean()
    values = means.reindex(found.contenders["trial"]).reset_index(drop=True)
    table = pd.concat([found.contenders.reset_index(drop=True), values], axis=1)
    return table.assign(
        gap=table["train_accuracy"] - table["val_accuracy"], past=table["best_val_accuracy"] - table["val_accuracy"]
    )


def runs_of(found: Choices) -> pd.Series[str]:
    """The completed trainings of the contenders, by trial: whose configuration each of them trains."""
    trials = found.results.trials
    is_completed = trials["status"] == Status.COMPLETED
    if found.is_confirmed:
        rows = trials[is_completed & (trials["stage"] == found.stage) & trials["parent"].isin(found.contenders["trial"])]
        return rows.set_index("trial")["parent"]
    rows = trials[is_completed & (trials["stage"] == Stage.SEARCH) & trials["trial"].isin(found.contenders["trial"])]
    return pd.Series(rows["trial"].to_numpy(), index=rows["trial"])


def _mean(found: Choices, row: Row, column: str) -> Number:
    return measure(column, float(row[column]), rows=selection(found, row), how=_over(found, row))


def _over(found: Choices, row: Row) -> str:
    return "mean over seeds" if found.is_confirmed and row["n"] > 1 else ""


def _gap(found: Choices, row: Row) -> Number:
    how = "train_accuracy − val_accuracy" + _too(found, row)
    text = difference_text("val_accuracy", row["gap"])
    return measure("train_accuracy, val_accuracy", row["gap"], rows=selection(found, row), how=how, text=text)


def _past(found: Choices, row: Row) -> Number:
    return apart(
        "val_accuracy", row["past"], rows=selection(found, row), how="best_val_accuracy − val_accuracy" + _too(found, row)
    )


def _too(found: Choices, row: Row) -> str:
    over = _over(found, row)
    return f", {over}" if over else ""


def convergence(found: Choices) -> Section:
    """Who converges first? The first epoch with 95 % of the final validation accuracy, and the seconds until then."""
    title = "Who converges first?"
    note = (
        f"There: the first epoch after which validation accuracy is at least {100 * REACHED:.0f} % of that after the last one. "
        "Seconds are of training alone."
    )
    table = reached(found.results, runs_of(found))
    if table.empty:
        return Section(
            key="convergence", title=title, sentences=((f"{NOTHING} No epochs of a contender have an accuracy.",),), note=note
        )
    rows = frame_rows(
        found.contenders.merge(table, left_on="trial", right_index=True).sort_values(["epochs", "seconds", "trial"])
    )
    first, last = rows[0], rows[-1]
    leaders = [row for row in rows if row["epochs"] == first["epochs"]]
    verb = "is" if len(leaders) == 1 else "are"
    some = listing([short(found, row) for row in leaders])
    share = f"{100 * REACHED:.0f} %"
    sentences = [said("{} {} first at {} of the final accuracy, after {}.", some, verb, share, _epochs(found, first))]
    if last["epochs"] > first["epochs"]:
        longest = [short(found, row) for row in rows if row["epochs"] == last["epochs"]]
        verb = "takes" if len(longest) == 1 else "take"
        sentences.append(said("{} {} longest: {}.", listing(longest), verb, _epochs(found, last)))
    quickest = min(rows, key=lambda row: row["seconds"])
    if len(rows) > 1 and np.isfinite(quickest["seconds"]):
        sentences.append(said("In seconds {} is first: {}.", short(found, quickest), _seconds(found, quickest)))
    columns = ("configuration", "epochs", "of", "training until then")
    numbers: list[list[Cell]] = [[called(row), _epochs(found, row), _of(found, row), _seconds(found, row)] for row in rows]
    chart = _curves(found)
    return Section(
        key="convergence",
        title=title,
        sentences=tuple(sentences),
        note=note,
        table=Table(columns=columns, rows=cells(numbers)),
        chart=chart,
    )


def reached(results: Results, owner: pd.Series[str]) -> pd.DataFrame:
    """When trainings reached `REACHED` of their final validation accuracy, by whose configuration they train.

    Args:
        results: The results of a study.
        owner: By trial: whose configuration it trains.

    Returns:
        By configuration: ``epochs`` until then and ``of`` how many, ``seconds`` of training until then; means over its trainings.
    """
    rows = (
        results.epochs[results.epochs["trial"].isin(owner.index)].dropna(subset=["val_accuracy"]).sort_values(["trial", "epoch"])
    )
    if rows.empty:
        return pd.DataFrame(columns=["epochs", "of", "seconds"])
    by_trial = rows.groupby("trial")
    rows = rows.assign(
        final=by_trial["val_accuracy"].transform("last"),
        of=by_trial["epoch"].transform("last"),
        spent=by_trial["train_s"].cumsum(),
    )
    there = rows[rows["val_accuracy"] >= REACHED * rows["final"]].drop_duplicates("trial")
    means = there.groupby(there["trial"].map(owner))[["epoch", "of", "spent"]].mean()
    return means.rename(columns={"epoch": "epochs", "spent": "seconds"})


def _epochs(found: Choices, row: Row) -> Number:
    text = f"{row['epochs']:.3g} epoch{'' if row['epochs'] == 1 else 's'}"
    how = f"first epoch with {100 * REACHED:.0f} % of the last one's val_accuracy" + _too(found, row)
    return measure("epoch", row["epochs"], rows=selection(found, row), how=how, table="epochs", text=text)


def _of(found: Choices, row: Row) -> Number:
    how = "last epoch" + _too(found, row)
    return measure("epoch", row["of"], rows=selection(found, row), how=how, table="epochs", text=f"{row['of']:g}")


def _seconds(found: Choices, row: Row) -> Number:
    how = f"sum until {100 * REACHED:.0f} % of the last epoch's val_accuracy" + _too(found, row)
    return measure("train_s", row["seconds"], rows=selection(found, row), how=how, table="epochs")


def _curves(found: Choices) -> Lines | None:
    """Validation (and, dashed, training) accuracy over epochs: the mean over seeds of each contender."""
    owner = runs_of(found)
    rows = found.results.epochs[found.results.epochs["trial"].isin(owner.index)]
    means = rows.groupby([rows["trial"].map(owner), "epoch"])[["val_accuracy", "train_accuracy"]].mean()
    arms = dict(zip(found.contenders["trial"], found.contenders["arm"], strict=True))
    lines = []
    for trial in found.contenders["trial"]:
        if trial not in means.index.get_level_values(0):
            continue
        for column, is_dashed in (("val_accuracy", False), ("train_accuracy", True)):
            curve = means.loc[trial, column].dropna()
            if len(curve):
                epochs, values = tuple(map(int, curve.index)), tuple(map(float, curve))
                lines.append(Line(arm=str(arms[trial]), trial=str(trial), epochs=epochs, values=values, is_dashed=is_dashed))
    over = "means over seeds" if found.is_confirmed else "the best trial of each arm"
    caption = f"Validation accuracy after each epoch (line) and accuracy while training it (dashed): {over}."
    return Lines(y="val_accuracy", lines=tuple(lines), caption=caption) if lines else None


def training(found: Choices) -> list[Section]:
    """Both questions, in the order of a report."""
    return [overfitting(found), convergence(found)]
