"""The answer in three lines, within limits: what to choose, how surely, and what to do next."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sweeper.analysis.results import Results
from sweeper.errors import NoDataError, UnknownNameError
from sweeper.report.answer import choice, chosen, judged, more_seeds, pairs, suits
from sweeper.report.choices import LIMITABLE, Choices, choices, row_of, within
from sweeper.report.parts import Command, Sentence, plain, said, value_text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What to choose within limits.

    Args:
        lines: Three: the choice, how surely, and what to do next.
        facts: The choice, its pairs and the limits, for JSON.
    """

    lines: tuple[Sentence, Sentence, Sentence]
    facts: Mapping[str, Any]


def recommend(results: Results, limits: Mapping[str, float], *, stage: str = "confirm") -> Recommendation:
    """What to choose: the best confirmed configuration within the limits, or else the best completed trial of the search.

    Args:
        results: The results of a study, of all stages.
        limits: The most of each column, of `sweeper.report.choices.LIMITABLE`.
        stage: The stage that confirms.

    Raises:
        UnknownNameError: A column that cannot be limited.
        NoDataError: Nothing can be chosen, no trial has a value of a column, or none is within the limits: the closest is named.
    """
    for column in limits:
        if column not in LIMITABLE:
            raise UnknownNameError("column to limit", column, LIMITABLE)
    found = choices(results, stage=stage)
    if found.best is None:
        raise NoDataError(f"study '{results.study}': {plain(chosen(found))}")
    inside = _within(found, limits)
    best = inside.best
    assert best is not None, "something is within the limits"
    sure = judged(inside, best) if len(inside.contenders) > 1 else []
    second: Sentence = ()
    for sentence in sure:
        second = said("{} {}", second, sentence) if second else sentence
    third = _next(inside, results.named, str(best["trial"]))
    lines = (chosen(inside), second or (suits(inside),), third)
    told = {"study": results.study, "limits": dict(limits), "lines": [plain(line) for line in lines]}
    return Recommendation(lines=lines, facts={**told, "choice": choice(inside), "pairs": list(pairs(inside))})


def _within(found: Choices, limits: Mapping[str, float]) -> Choices:
    """The same, of what is within the limits; what is confirmed comes before what is not."""
    contenders, searched = _inside(found, found.contenders, limits), _inside(found, found.searched, limits)
    if contenders.empty and searched.empty:
        _raise_closest(found, limits)
    is_confirmed = found.is_confirmed and len(contenders) > 0
    if not is_confirmed:
        contenders = searched.drop_duplicates("arm").reset_index(drop=True)
    rows = found.pairs
    if is_confirmed:
        rows = rows[rows["first"].isin(contenders["trial"]) & rows["second"].isin(contenders["trial"])]
    return dataclasses.replace(
        found,
        contenders=contenders,
        searched=searched,
        pairs=rows if is_confirmed else pd.DataFrame(),
        is_confirmed=is_confirmed,
        column=found.column if is_confirmed else found.results.objective,
        is_limited=bool(limits),
    )


def _inside(found: Choices, rows: pd.DataFrame, limits: Mapping[str, float]) -> pd.DataFrame:
    """Those of the rows within the limits, with the columns that only their trials have."""
    trials = found.results.trials.drop_duplicates("trial").set_index("trial")
    missing = {column: rows["trial"].map(trials[column]) for column in limits if column not in rows and column in trials}
    return within(rows.assign(**missing), limits)


def _raise_closest(found: Choices, limits: Mapping[str, float]) -> None:
    """Say that nothing is within the limits, and what comes closest."""
    asked = " and ".join(f"{column} <= {most:g}" for column, most in limits.items())
    trials = found.results.trials.drop_duplicates("trial").set_index("trial")
    names = found.searched["trial"]
    values = pd.DataFrame({column: names.map(trials[column]) if column in trials else np.nan for column in limits}).astype(float)
    if found.is_confirmed:
        own = found.contenders.reindex(columns=["trial", *limits])
        values = pd.concat([values, own[[*limits]].astype(float)], ignore_index=True)
        names = pd.concat([names, own["trial"]], ignore_index=True)
    for column in limits:
        if values[column].isna().all():
            advice = f" Measure it with: sweeper measure {found.results.named}" if column.startswith("latency") else ""
            raise NoDataError(f"no completed trial of study '{found.results.study}' has a value of {column}.{advice}")
    excess = (values / pd.Series({column: max(most, 1e-12) for column, most in limits.items()})).max(axis=1, skipna=False)
    if excess.isna().all():
        raise NoDataError(f"no completed trial of study '{found.results.study}' has a value of each of {', '.join(limits)}.")
    place = int(excess.to_numpy().argsort()[0])
    needs = " and ".join(f"{value_text(column, float(values[column].iloc[place]))} ({column})" for column in limits)
    raise NoDataError(
        f"no completed trial of study '{found.results.study}' has {asked}; the closest is {names.iloc[place]} with {needs}."
    )


def _next(found: Choices, study: str, trial: str) -> Sentence:
    """What to do next: confirm, settle what is open, or train the choice again."""
    again = said("Train it again: {}", Command(f"sweeper retrain {study} {trial}"))
    if not found.is_confirmed:
        return said("Not confirmed, one training each. Confirm: {}", Command(f"sweeper confirm {study}"))
    best = row_of(found.contenders.iloc[0])["trial"]
    own = found.pairs[(found.pairs["first"] == best) | (found.pairs["second"] == best)] if len(found.pairs) else found.pairs
    undecided = [pair for pair in own.to_dict("records") if pair["verdict"] == "undecided"]
    open_ones = [pair for pair in undecided if more_seeds(pair) is not None]
    if not open_ones:
        return again
    seeds = max(int(pair["seeds_needed"]) for pair in open_ones)
    what = "the rest" if len(open_ones) == len(undecided) else f"{len(open_ones)} of the {len(undecided)} that are open"
    return said(
        "About {} seeds in all would settle {}: {}", f"{seeds}", what, Command(f"sweeper confirm {study} --seeds {seeds}")
    )
