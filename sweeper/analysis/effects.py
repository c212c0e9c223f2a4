"""What each change of a component ablation does: every arm compared with the baseline, over the same fresh seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sweeper.analysis.results import Results, arms, goal
from sweeper.analysis.seeds import paired_differences
from sweeper.analysis.verdicts import MARGIN, Case, Verdict, confirmed, decided, headline_column
from sweeper.errors import NoDataError

REACHED = 0.95
"""Part of the baseline's final validation accuracy that an epoch has to reach."""

EFFECTS = (
    "arm", "n", "mean", "sd", "difference", "low", "high", "p_holm", "verdict", "smallest", "epochs_to_reach", "parameters",
    "macs", "latency_ms", "train_s",
)  # fmt: skip
"""Columns of `effects`."""


def effects(results: Results, *, column: str | None = None, margin: float = MARGIN, confidence: float = 0.95) -> pd.DataFrame:
    """One row per confirmed arm, the baseline first, the others in the order of their effect.

    Args:
        results: The results of a study with a baseline.
        column: What to judge by; None means `sweeper.analysis.verdicts.headline_column`.
        margin: The difference that does not matter, in the unit of the column.
        confidence: Of all comparisons with the baseline together.

    Returns:
        Columns `EFFECTS`. ``difference`` is by how much the arm is better than the baseline, negative where it is worse, over the
        seeds that both completed; ``low high p_holm smallest`` are as in `sweeper.analysis.verdicts.Verdict`, with Holm's
        procedure over the comparisons with the baseline alone. ``verdict`` is ``better``, ``worse``, ``equivalent`` or
        ``undecided``; these columns are empty for the baseline. ``sd`` is over seeds. ``epochs_to_reach`` is the median over
        seeds of the first epoch whose validation accuracy is `REACHED` of the baseline's mean final one; NaN where at most half
        of the seeds reach it.

    Raises:
        NoDataError: The study has no baseline, or it is not confirmed.
    """
    column = column or headline_column(results)
    table = confirmed(results, column=column).drop_duplicates("arm").set_index("arm")
    if results.baseline is None or results.baseline not in table.index:
        if results.baseline is not None:
            why = f"its baseline '{results.baseline}' is not confirmed. Run: sweeper confirm {results.named}"
        else:
            why = f"it names none. A study file does, for example baseline: {', '.join(arms(results)[:1])}"
        raise NoDataError(f"study '{results.study}' has no baseline to compare with: {why}")
    sign = 1.0 if goal(results, column) == "max" else -1.0
    own = str(table.loc[results.baseline, "parent"])
    others = table.drop(index=results.baseline)
    pairs = paired_differences(results, stage="confirm", column=column)
    cases: list[Case | None] = []
    differences: list[float] = []
    for parent in others["parent"]:
        is_pair = [{first, second} == {own, parent} for first, second in zip(pairs["first"], pairs["second"], strict=True)]
        pair = pairs[is_pair].iloc[0]
        difference = sign * float(pair["difference"]) * (1.0 if pair["first"] == parent else -1.0)
        cases.append(Case(difference, float(pair["sd"]), int(pair["n"])) if pair["sd"] > 0 else None)
        differences.append(difference)
    found = pd.DataFrame(decided(cases, margin=margin, confidence=confidence), columns=Verdict._fields, index=others.index)
    found["difference"] = differences
    found["verdict"] = found["verdict"].mask((found["verdict"] == "better") & (found["difference"] < 0), "worse")
    found = found.reindex(table.index)
    whole = table.assign(epochs_to_reach=_epochs_to_reach(results, table["parent"], own))
    whole = whole.drop(columns=["low", "high"]).join(found.drop(columns=["p", "seeds_needed"])).reset_index()
    whole["place"] = np.where(whole["arm"] == results.baseline, np.inf, whole["difference"].fillna(-np.inf))
    return whole.sort_values("place", ascending=False, kind="stable")[list(EFFECTS)].reset_index(drop=True)


def _epochs_to_reach(results: Results, parents: pd.Series, baseline: str) -> pd.Series:
    rows = results.epochs[(results.epochs["stage"] == "confirm") & results.epochs["parent"].isin(parents)]
    last = rows.sort_values("epoch").drop_duplicates("trial", keep="last")
    level = REACHED * float(last.loc[last["parent"] == baseline, "val_accuracy"].mean())
    reached = rows[rows["val_accuracy"] >= level].groupby("trial")["epoch"].min()
    first = last.set_index("trial")["parent"].to_frame().join(reached).fillna({"epoch": np.inf})
    medians = first.groupby("parent")["epoch"].median()
    return parents.map(medians).replace(np.inf, np.nan)
