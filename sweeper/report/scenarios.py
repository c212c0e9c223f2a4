"""What to choose in which situation: each row by a rule that the rows of the study can answer, or left out with its reason."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pandas as pd

from sweeper.plots import _quantities
from sweeper.report.choices import Choices, Row, called, cost, num_seeds, pick, row_of, score
from sweeper.report.parts import Cell, Number, Section, Sentence, Table, cells, listing, measure, name, said, value_text

FEW_IMAGES = 5000
"""A study that trains on at most so many images tells what to choose for small data."""

FEWEST = 4
"""Configurations from which quartiles are told."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """One situation.

    Args:
        name: What people call it.
        rule: What it asks for, in words, with its limit.
        row: The choice; None where the rows cannot tell.
        is_confirmed: Whether the choice is confirmed.
        note: What limits it.
    """

    name: str
    rule: Sentence
    row: Row | None = None
    is_confirmed: bool = False
    note: Sentence = ()


def scenarios(found: Choices) -> Section | None:
    """The table of situations; None where nothing can be chosen."""
    if found.best is None:
        return None
    all_of_them = [_mobile(found), _baseline(found), _medium(found), _large(found), _small_data(found)]
    told = [one for one in all_of_them if one.row is not None]
    left_out = [one for one in all_of_them if one.row is None]
    sentences: list[Sentence] = []
    if left_out:
        sentences.append(
            said(
                "Left out, because the rows cannot tell: {}.", listing([said("{} ({})", one.name, one.rule) for one in left_out])
            )
        )
    if any(not one.is_confirmed for one in told) and found.is_confirmed:
        sentences.append(
            ("Choices marked “search” have one training each and are not confirmed; their scores are of the validation split.",)
        )
    note = "Within each limit: the best confirmed configuration; where none is confirmed, the best completed trial of the search."
    has_notes = any(one.note for one in told)
    columns = ("situation", "rule", "choose", "score", "seeds", "parameters", *(("note",) if has_notes else ()))
    rows = [_cells(found, one)[: len(columns)] for one in told]
    return Section(
        key="scenarios",
        title="What to choose when",
        sentences=tuple(sentences),
        note=note,
        table=Table(columns=columns, rows=cells(rows)),
    )


def _cells(found: Choices, one: Scenario) -> list[Cell]:
    assert one.row is not None
    seeds = num_seeds(found, one.row) if one.is_confirmed else "one (search)"
    size = cost(found, one.row, "parameters", is_confirmed=one.is_confirmed)
    return [
        one.name,
        one.rule,
        called(one.row),
        score(found, one.row, is_confirmed=one.is_confirmed),
        seeds,
        size,
        one.note,
    ]


def _known(found: Choices, *columns: str) -> str | None:
    """The first of the columns of which enough completed trials have different values."""
    for column in columns:
        values = found.searched[column].dropna()
        if len(values) >= FEWEST and values.nunique() > 1:
            return column
    return None


def _limited(found: Choices, title: str, column: str, share: float, words: str) -> Scenario:
    """The best choice with at most a quantile of what completed trials need."""
    values = found.searched[column].dropna().astype(float)
    most = float(np.quantile(values, share, method="lower"))
    how = f"{words} of completed trials"
    limit = Number(text=value_text(column, most), value=most, rows="stage = search, status = completed", column=column, how=how)
    rule = said("{} at most {}, the {}", name(column), limit, how)
    picked = pick(found, {column: most})
    if picked is None:
        return Scenario(name=title, rule=(f"no completed trial has {name(column)} within the {words}",))
    row, is_confirmed = picked
    return Scenario(name=title, rule=rule, row=row, is_confirmed=is_confirmed, note=_better_in_search(found, row, column, most))


def _better_in_search(found: Choices, row: Row, column: str, most: float) -> Sentence:
    """A trial of the search within the same limit that scored better there than the confirmed choice's own trial did."""
    if not found.is_confirmed:
        return ()
    inside = found.searched[found.searched[column].astype(float) <= most]
    first = None if inside.empty else row_of(inside.iloc[0])
    confirmed = set(found.contenders["trial"])
    if first is None or first["trial"] == row["trial"] or first["trial"] in confirmed:
        return ()
    return said("{} scored {} in the search and is not confirmed", called(first), score(found, first, is_confirmed=False))


def _mobile(found: Choices) -> Scenario:
    column = _known(found, "latency_ms", "parameters", "macs")
    if column is None:
        return Scenario(name="mobile", rule=(f"needs {FEWEST} completed trials of different sizes",))
    return _limited(found, "mobile", column, 0.25, "lower quartile")


def _baseline(found: Choices) -> Scenario:
    numbers = found.results.trials.set_index("trial")["number"]
    rows = found.searched[found.searched["trial"].map(numbers) == 0]
    if rows.empty:
        return Scenario(name="general baseline", rule=("no arm's default configuration is completed",))
    confirmed = (
        found.contenders[found.contenders["trial"].isin(rows["trial"])] if found.is_confirmed else found.contenders.iloc[:0]
    )
    row = row_of((rows if confirmed.empty else confirmed).iloc[0])
    rule = ("the best default configuration (number 0 of its arm): nothing has to be searched",)
    return Scenario(name="general baseline", rule=rule, row=row, is_confirmed=not confirmed.empty)


def _medium(found: Choices) -> Scenario:
    column = _known(found, "macs", "parameters")
    if column is None:
        return Scenario(name="medium budget", rule=(f"needs {FEWEST} completed trials of different sizes",))
    return _limited(found, "medium budget", column, 0.5, "median")


def _large(found: Choices) -> Scenario:
    picked = pick(found, {})
    assert picked is not None, "there is a best one"
    return Scenario(name="large budget", rule=("no limit",), row=picked[0], is_confirmed=picked[1])


def _small_data(found: Choices) -> Scenario:
    images = training_images(found.results.trials)
    if images is None:
        return Scenario(name="small data", rule=("the rows do not tell how many images trained them",))
    number = measure("dataset", images, rows="all", how="train_images", text=_quantities.count(images, "image"))
    if images > FEW_IMAGES:
        rule = said("every trial trained on {}; small is at most {}", number, f"{FEW_IMAGES:,}")
        return Scenario(name="small data", rule=rule)
    picked = pick(found, {})
    assert picked is not None, "there is a best one"
    rule = said("this study trains on {}; small is at most {}", number, f"{FEW_IMAGES:,}")
    return Scenario(name="small data", rule=rule, row=picked[0], is_confirmed=picked[1])


def training_images(trials: pd.DataFrame) -> int | None:
    """On how many images the trials trained, at most; None where no row tells."""
    told: list[Any] = [json.loads(text).get("train_images") for text in trials["dataset"].dropna().unique()]
    known = [int(number) for number in told if number is not None and math.isfinite(number)]
    return max(known, default=None)
