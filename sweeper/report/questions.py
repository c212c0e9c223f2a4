"""Is it worth what it costs? More parameters, more multiply-accumulates, more training time."""

from __future__ import annotations

import math

from sweeper.analysis.pareto import front
from sweeper.report.answer import images_of, reach_of_images
from sweeper.report.choices import Choices, Row, called, cost, frame_rows, row_of, score, selection, short
from sweeper.report.parts import Number, Point, Scatter, Section, Sentence, apart, listing, measure, name, ratio, said, tally

FEWEST = 5
"""Trials from which a rank correlation is told."""

SEARCHED = "stage = search, status = completed"

NOTHING = "The rows cannot tell."

WORTH_DOUBLING = 4.0
"""Ratio of costs from which a gain is told for each doubling, too."""


def more_parameters(found: Choices) -> Section:
    """Do more parameters buy accuracy? The rank correlation over completed trials, and what the smaller half reaches."""
    title = "Do more parameters buy accuracy?"
    column = found.results.objective
    rows = found.searched.dropna(subset=["parameters", "score"])
    note = (
        "Spearman's rank correlation over completed trials of the search, one per configuration; it counts as there beyond "
        "1.96 / √(n − 1). A search does not sample evenly: it looks longest where scores are good."
    )
    if len(rows) < FEWEST or rows["parameters"].nunique() < 2:
        known = tally(len(rows), rows=SEARCHED, column="parameters")
        template = "{} It takes {} completed trials of known, different sizes; of known size are {}."
        text = said(template, NOTHING, f"{FEWEST}", known)
        return Section(key="parameters", title=title, sentences=(text,), note=note)
    size, value = rows["parameters"].astype(float), rows["score"].astype(float)
    sign = 1.0 if found.is_better_high(column) else -1.0
    strength = float(size.rank().corr(sign * value.rank()))
    bound = 1.96 / math.sqrt(len(rows) - 1)
    shown = f"{strength:.2f}".replace("-", "−")
    number = Number(text=shown, value=strength, rows=SEARCHED, column=f"parameters, {column}", how="Spearman's rank correlation")
    count = tally(len(rows), rows=SEARCHED, column="trial")
    verdict = (
        "Larger ones are better" if strength > bound else "Larger ones are worse" if strength < -bound else "No clear relation"
    )
    good = "" if sign > 0 else " (lower is better: the sign is turned)"
    template = "{}: over {} completed trials, size and {} have a rank correlation of {}{}."
    sentences = [said(template, verdict, count, name(column), number, good)]
    median = float(size.median())
    small, large = rows[size <= median], rows[size > median]
    if len(large):
        sentences.append(_halves(found, row_of(small.iloc[0]), row_of(large.iloc[0]), median, column))
    return Section(key="parameters", title=title, sentences=tuple(sentences), note=note)


def _halves(found: Choices, small: Row, large: Row, median: float, column: str) -> Sentence:
    low, high = score(found, small, is_confirmed=False), score(found, large, is_confirmed=False)
    most = measure("parameters", median, rows=SEARCHED, how="median")
    gained = (float(large["score"]) - float(small["score"])) * (1.0 if found.is_better_high(column) else -1.0)
    rows = f"{large['trial']}; {small['trial']}"
    word = "more" if found.is_better_high(column) == (gained >= 0) else "less"
    times = ratio("parameters", float(large["parameters"]) / max(float(small["parameters"]), 1.0), rows=rows)
    brings = said("{} {}", apart(column, gained, rows=rows), word) if gained else ("the same",)
    text = "Up to {} parameters the best is {} with {}; above, {} with {}: {} for {} the parameters."
    return said(text, most, called(small), low, called(large), high, brings, times)


def worth(found: Choices, *, column: str, key: str, title: str, what: str) -> Section:
    """Is a cost justified? Among the contenders: who pays more and scores no better, and what the front pays for its gains.

    Args:
        found: The contenders.
        column: The cost.
        key: Of the section.
        title: Of the section.
        what: The cost in words: ``multiply-accumulates``.
    """
    rows = found.contenders.dropna(subset=[column, "score"])
    whose = "the confirmed configurations" if found.is_confirmed else "the best trial of each arm"
    chance = "see which differ" if found.is_confirmed else "with one training each, that may be chance"
    note = f"What needs more and scores no better than another is not worth it; {chance}."
    if len(rows) < 2:
        text = f"{NOTHING} To compare takes two contenders with a value of {name(column)}; there {_are(len(rows))}."
        return Section(key=key, title=title, sentences=((text,),), note=note)
    goals = ("min", "max" if found.is_better_high(found.column) else "min")
    marked = front(rows, x=column, y="score", x_goal=goals[0], y_goal=goals[1])
    kept = frame_rows(marked[marked["is_on_front"]].sort_values(column))
    lost = frame_rows(marked[~marked["is_on_front"]])
    sentences = [_front_pays(found, kept, column, what), *_not_worth(found, kept, lost, column, what)]
    points = tuple(
        Point(
            x=float(row[column]),
            y=float(row["score"]),
            arm=str(row["arm"]),
            trial=str(row["trial"]),
            kind="front" if row["is_on_front"] else "completed",
        )
        for row in frame_rows(marked)
    )
    caption = f"Drawn: {whose}; the line joins those that no other beats in both."
    chart = Scatter(x=column, y=found.column, goals=goals, points=points, caption=caption)
    return Section(key=key, title=title, sentences=tuple(sentences), note=note, chart=chart)


def _are(number_of: int) -> str:
    return "is none" if not number_of else "is one"


def _front_pays(found: Choices, kept: list[Row], column: str, what: str) -> Sentence:
    first, last = kept[0], kept[-1]
    if len(kept) == 1:
        return said("No: {} has the best score with the least {} ({}).", short(found, first), what, cost(found, first, column))
    gained = abs(float(last["score"]) - float(first["score"]))
    times = float(last[column]) / max(float(first[column]), 1e-12)
    rows = f"{selection(found, last)}; {selection(found, first)}"
    doubling: Sentence = ()
    if times >= WORTH_DOUBLING:
        each = apart(found.column, gained / math.log2(times), rows=rows, how="difference / log2(ratio)")
        doubling = said(" ({} for each doubling)", each)
    word = "more" if found.is_better_high(found.column) else "less"
    return said(
        "{}, the best, takes {} the {} of {} ({} against {}) for {} {}{}{}.",
        short(found, last),
        ratio(column, times, rows=rows),
        what,
        short(found, first),
        cost(found, last, column),
        cost(found, first, column),
        apart(found.column, gained, rows=rows),
        word,
        doubling,
        ", which may be chance" if may_be_chance(found, last, first) else "",
    )


def may_be_chance(found: Choices, one: Row, other: Row) -> bool:
    """Whether one contender is not shown to be better than another: by its seeds, or else by the number of images alone."""
    if found.is_confirmed:
        rows = found.pairs
        pair = rows[(rows["first"] == one["trial"]) & (rows["second"] == other["trial"])]
        return not bool((pair["verdict"] == "better").any())
    images = images_of(found, one)
    if images is None or not found.column.endswith("_accuracy"):
        return True
    return abs(float(one["score"]) - float(other["score"])) <= reach_of_images(float(one["score"]), float(other["score"]), images)


def _not_worth(found: Choices, kept: list[Row], beaten: list[Row], column: str, what: str) -> list[Sentence]:
    """Who is beaten by one that needs no more: named with the one of the front that beats it by most."""
    told: list[Sentence] = []
    sign = 1.0 if found.is_better_high(found.column) else -1.0
    for row in beaten:
        beats = [other for other in kept if float(other[column]) <= float(row[column])]
        best = max(beats, key=lambda other: sign * float(other["score"]))
        rows = f"{selection(found, row)}; {selection(found, best)}"
        times = ratio(column, float(row[column]) / max(float(best[column]), 1e-12), rows=rows)
        lost = float(best["score"]) - float(row["score"])
        less = (
            said("{} {}", apart(found.column, lost, rows=rows), "less" if sign > 0 else "more") if lost else ("the same score",)
        )
        told.append(said("{} ({} the {} of {}, {})", short(found, row), times, what, short(found, best), less))
    return [said("Not worth it: {}.", listing(told))] if told else []


def questions(found: Choices) -> list[Section]:
    """All questions that are answered from scores and costs, in the order of a report."""
    macs = worth(found, column="macs", key="macs", title="Are the MACs justified?", what="multiply-accumulates")
    time = worth(found, column="train_s", key="time", title="Is the training time worth it?", what="training time")
    return [more_parameters(found), macs, time]
