"""The report of a study, from its results alone, and the same as facts for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sweeper import __version__
from sweeper.analysis.pareto import trials_front
from sweeper.analysis.results import Results, arm_labels, at_stage, goal
from sweeper.analysis.summary import sampling_error
from sweeper.errors import NoDataError
from sweeper.ledger.records import Stage, Status
from sweeper.plots import _quantities
from sweeper.report import answer, record
from sweeper.report.caveats import caveats
from sweeper.report.choices import (
    COSTS,
    Choices,
    Row,
    called,
    choices,
    cost,
    frame_rows,
    interval,
    knobs,
    num_seeds,
    row_of,
    score,
)
from sweeper.report.parts import (
    Cell,
    Chart,
    Command,
    Interval,
    Intervals,
    Number,
    Point,
    Report,
    Scatter,
    Section,
    Sentence,
    Table,
    capital,
    cells,
    measure,
    name,
    plain,
    said,
    tally,
    value_text,
)
from sweeper.report.questions import questions
from sweeper.report.same_images import same_images
from sweeper.report.scenarios import scenarios
from sweeper.report.training import training

MOST_POINTS = 1000
"""Trials that the figure shows: the front and the contenders first, then the best."""


def report(results: Results, *, notes: Sequence[str] = (), stage: str = "confirm") -> Report:
    """What is to be said of a study.

    Args:
        results: The results of a study, of all stages.
        notes: Caveats that the tables do not tell, such as a driver that is at work.
        stage: The stage that confirms: ``confirm``; ``ablation`` to judge by repetitions instead.
    """
    found = choices(results, stage=stage)
    sections = [
        scenarios(found),
        contenders(found),
        answer.pairs_section(found),
        pareto(found),
        *questions(found),
        *training(found),
        same_images(found),
    ]
    sections += [record.gained(found), record.failures(found), record.costs(found), record.measured(found)]
    return Report(
        study=results.study,
        subtitle=record.subtitle(found),
        caveats=caveats(found, notes),
        answer=answer.answer(found),
        choice=answer.choice(found),
        pairs=answer.pairs(found),
        sections=tuple(section for section in sections if section is not None),
        arms=arm_labels(results),
    )


def _of_images(found: Choices, best: Row) -> str:
    """What the intervals over seeds leave out: that the test images are few."""
    predictions = found.results.predictions
    images = int(predictions.loc[predictions["split"] == "test", "row"].nunique()) if len(predictions) else 0
    if found.column != "test_accuracy" or not images:
        return "Intervals are over seeds; that the images are a sample comes on top."
    half = 100 * sampling_error(float(best["score"]), images)
    return (
        f"Intervals are over seeds. That there are {images:,} test images makes an accuracy uncertain by about {half:.1f} points "
        "more (95 %). All are tested on the same images, so for differences it matters less."
    )


def contenders(found: Choices) -> Section | None:
    """What was compared: the confirmed configurations, or the best trial of each arm."""
    rows = [row_of(row) for _, row in found.contenders.iterrows()]
    if not rows:
        return None
    known = [column for column in COSTS if found.contenders[column].notna().any()]
    told: list[list[Cell]] = []
    for row in rows:
        seeds = [interval(found, row) or "–", num_seeds(found, row)] if found.is_confirmed else []
        told.append([called(row), score(found, row), *seeds, *(cost(found, row, column) for column in known)])
    spread = ("95 % interval", "seeds") if found.is_confirmed else ()
    columns = ("configuration", name(found.column), *spread, *map(name, known))
    whose = "confirmed configurations" if found.is_confirmed else "best completed trial of each arm"
    note = _of_images(found, rows[0]) if found.is_confirmed else "One training each, so no intervals."
    chart = _intervals(found) if found.is_confirmed else None
    return Section(
        key="contenders",
        title="What was compared",
        sentences=((f"The {whose}, the best first.",),),
        note=note,
        table=Table(columns=columns, rows=cells(told)),
        chart=chart,
    )


def _intervals(found: Choices) -> Chart:
    trials = found.results.trials
    own = trials[(trials["stage"] == found.stage) & (trials["status"] == Status.COMPLETED)]
    rows = tuple(
        Interval(
            arm=str(row["arm"]),
            label=called(row),
            values=tuple(map(float, own.loc[own["parent"] == row["trial"], found.column].dropna())),
            mean=float(row["score"]),
            low=float(row["low"]),
            high=float(row["high"]),
        )
        for row in frame_rows(found.contenders)
    )
    return Intervals(x=found.column, rows=rows, caption="Each seed (dot), the mean (line) and its 95 % interval (bar).")


def pareto(found: Choices) -> Section:
    """The trials of the search by score and size, the front among them, and the command that trains each again."""
    results = at_stage(found.results, Stage.SEARCH)
    title, key = "The trials of the search", "pareto"
    for x in ("parameters", "macs", "train_s", "latency_ms"):
        try:
            rows = trials_front(results, x=x, y=results.objective)
            break
        except NoDataError:
            continue
    else:
        text = f"There is no figure yet: no trial has both {name(results.objective)} and something that it costs."
        return Section(key=key, title=title, sentences=((text,),))
    is_front, is_completed = rows["is_on_front"], rows["status"] == Status.COMPLETED
    confirmed = set(found.contenders["trial"]) if found.is_confirmed else set()
    rows = rows.assign(is_completed=is_completed, is_confirmed=rows["trial"].isin(confirmed))
    is_ascending = goal(results, results.objective) == "min"
    order = ["is_on_front", "is_confirmed", "is_completed", results.objective]
    shown = (
        rows.sort_values(order, ascending=[False, False, False, is_ascending])
        .head(MOST_POINTS)
        .sort_values([x, results.objective])
    )
    facts = results.trials.set_index("trial").loc[shown["trial"]].reset_index()
    points = tuple(
        _point(found, row, trial, x) for row, trial in zip(shown.to_dict("records"), facts.to_dict("records"), strict=True)
    )
    num_front = int(is_front.sum())
    count = tally(num_front, rows="stage = search, status = completed", column=f"{x}, {results.objective}")
    of = tally(int(is_completed.sum()), "completed trial", rows="stage = search, status = completed", column="trial")
    verb = "is" if num_front == 1 else "are"
    sentence = said("{} of {} {} not beaten in both {} and {}.", count, of, verb, name(results.objective), name(x))
    caption = "The line joins the front. Stopped trials are hollow and never on it; confirmed ones have a ring."
    if len(rows) > len(shown):
        caption += f" {len(shown):,} of {len(rows):,} trials are shown, the best."
    if rows.attrs.get("num_excluded"):
        caption += f" {_quantities.count(rows.attrs['num_excluded'], 'trial')} without a value left out."
    goals = (goal(results, x), goal(results, results.objective))
    chart = Scatter(x=x, y=results.objective, goals=goals, points=points, caption=caption, is_interactive=True)
    title = f"{capital((name(results.objective),))[0]} against {name(x)}"
    table = _front_table(found, rows[is_front], facts, x)
    return Section(key=key, title=title, sentences=(sentence,), table=table, chart=chart)


def _point(found: Choices, row: dict[Any, Any], trial: dict[Any, Any], x: str) -> Point:
    y = found.results.objective
    facts = [f"{name(column)} {value_text(column, float(row[column]))}" for column in (y, x)]
    others = [column for column in COSTS if column != x and trial[column] == trial[column]]
    facts += [f"{name(column)} {value_text(column, float(trial[column]))}" for column in others]
    if row["is_confirmed"]:
        own = row_of(found.contenders[found.contenders["trial"] == row["trial"]].iloc[0])
        sure = interval(found, own)
        facts.append(f"confirmed: {name(found.column)} {score(found, own).text}" + (f" ({sure.text})" if sure else ""))
    kind = "front" if row["is_on_front"] else "completed" if row["is_completed"] else "stopped"
    return Point(
        x=float(row[x]),
        y=float(row[y]),
        arm=str(row["arm"]),
        trial=str(row["trial"]),
        kind=kind,
        is_confirmed=bool(row["is_confirmed"]),
        facts=tuple(facts),
        configuration=knobs(trial["configuration"]),
    )


def _front_table(found: Choices, front: pd.DataFrame, facts: pd.DataFrame, x: str) -> Table | None:
    y = found.results.objective
    configurations = facts.set_index("trial")["configuration"]
    rows: list[list[Cell]] = []
    for row in front.sort_values(x).to_dict("records"):
        trial = str(row["trial"])
        numbers = [measure(column, float(row[column]), rows=trial) for column in (y, x)]
        rows.append([trial, *numbers, knobs(configurations[trial]), Command(f"sweeper retrain {found.results.named} {trial}")])
    return Table(columns=("trial", name(y), name(x), "configuration", "train it again"), rows=cells(rows)) if rows else None


def facts(told: Report) -> dict[str, Any]:
    """Everything a report says, as plain data."""
    return {
        "study": told.study,
        "sweeper": __version__,
        "about": plain(told.subtitle),
        "caveats": [plain(caveat) for caveat in told.caveats],
        "answer": [_sentence(sentence) for sentence in told.answer],
        "choice": None if told.choice is None else dict(told.choice),
        "pairs": [dict(pair) for pair in told.pairs],
        "sections": {section.key: _section(section) for section in told.sections},
    }


def _section(section: Section) -> dict[str, Any]:
    table = section.table
    return {
        "title": section.title,
        "sentences": [_sentence(sentence) for sentence in section.sentences],
        "rule": section.note,
        "table": [] if table is None else [dict(zip(table.columns, map(_cell, row), strict=True)) for row in table.rows],
        "points": [_point_facts(point, section.chart) for point in section.chart.points]
        if isinstance(section.chart, Scatter)
        else [],
    }


def _point_facts(point: Point, chart: Scatter) -> dict[str, Any]:
    place = {chart.x: point.x, chart.y: point.y}
    return {"trial": point.trial, "arm": point.arm, **place, "kind": point.kind, "is_confirmed": point.is_confirmed}


def _sentence(sentence: Sentence) -> dict[str, Any]:
    return {"text": plain(sentence), "numbers": [_number(part) for part in sentence if isinstance(part, Number)]}


def _number(number: Number) -> dict[str, Any]:
    place = {"table": number.table, "rows": number.rows, "column": number.column, "how": number.how or "value"}
    return {"said": number.text, "value": number.value, **place}


def _cell(cell: Cell) -> Any:
    return _sentence(cell) if isinstance(cell, tuple) else _number(cell) if isinstance(cell, Number) else str(cell)
