"""The answer: what to choose, why, what to choose below a limit, and what cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sweeper.analysis.power import MOST_SEEDS
from sweeper.analysis.results import status_counts
from sweeper.analysis.summary import validation_images
from sweeper.analysis.verdicts import MARGIN
from sweeper.plots import _quantities
from sweeper.report.choices import (
    HALF,
    Choices,
    Row,
    called,
    cost,
    frame_rows,
    interval,
    row_of,
    score,
    selection,
    short,
    with_size,
    within,
)
from sweeper.report.parts import (
    Cell,
    Number,
    Section,
    Sentence,
    Table,
    apart,
    cells,
    difference_text,
    interval_text,
    listing,
    measure,
    name,
    ratio,
    said,
    tally,
)

STEPS = 2
"""Smaller choices that the answer names."""

MOST_PAIRS = 36
"""Pairs up to which all are listed; of more, those of the choice."""

MOST_UNDECIDED = 2
"""Contenders that cannot be told apart from the choice and get a sentence each; all others share one."""

LIMITS = {"parameters": "trainable parameters", "latency_ms": "an image"}
"""By what the answer names smaller choices, and how it says so."""


def answer(found: Choices) -> tuple[Sentence, ...]:
    """The answer in sentences, the choice first; why there is none, if so."""
    best = found.best
    if best is None:
        return (chosen(found),)
    sentences = [chosen(found), *judged(found, best)]
    sentences += smaller(found, best)
    if math.isfinite(float(best["chance"])) and len(found.contenders) > 1:
        sentences.append(_chance(found, best))
    return tuple(sentences)


def _nothing(found: Choices) -> Sentence:
    trials = found.results.trials
    if trials.empty:
        return ("Nothing was trained yet, so there is nothing to choose.",)
    counts = {status: count for status, count in status_counts(trials).items() if count}
    words = {"stopped": "stopped early", "unfinished": "not ended"}
    told = [
        said("{} {}", tally(count, rows="all", column="status"), words.get(status, status)) for status, count in counts.items()
    ]
    if "completed" in counts:
        return said("No completed trial has a {}, so there is nothing to choose: {}.", name(found.column), listing(told))
    return said("No trial is completed, so there is nothing to choose: {}.", listing(told))


def chosen(found: Choices) -> Sentence:
    """What to choose and its score, or why nothing can be chosen."""
    best = found.best
    if best is None:
        return _nothing(found)
    limited = " within the limits" if found.is_limited else ""
    if not found.is_confirmed:
        count = tally(len(found.searched), rows="stage = search, status = completed", column="trial")
        several = len(found.searched) > 1
        rest = said("the best of {} completed trials{}", count, limited) if several else (f"the only completed trial{limited}",)
        return said("For now choose {}: {} {}, {}.", with_size(found, best), score(found, best), name(found.column), rest)
    sure = interval(found, best)
    seeds = tally(int(best["n"]), "seed", rows=selection(found, best), column="seed")
    spread = said("mean of {}, 95 % interval {}", seeds, sure) if sure else said("{}, so without an interval", seeds)
    others = len(found.contenders)
    most = "highest" if found.is_better_high(found.column) else "lowest"
    compared = tally(others, rows=f"stage = {found.stage}, status = completed", column="parent")
    why: Sentence = ("is that of the only confirmed configuration",)
    if others > 1:
        why = said("is the {} of {} confirmed configurations", most, compared)
    parts = (with_size(found, best), name(found.column), score(found, best), spread, why, limited)
    return said("Choose {}: its {} of {} ({}) {}{}.", *parts)


def suits(found: Choices) -> str:
    """What is said of a choice that nothing was compared with."""
    return "Nothing to compare it with" + (" is within the limits." if found.is_limited else " was trained to the end.")


def judged(found: Choices, best: Row) -> list[Sentence]:
    """How the choice compares with every other contender, in a sentence for each verdict there is."""
    if not found.is_confirmed:
        return _by_images(found, best)
    against = _against(found, best)
    told = []
    if better := against["better"]:
        told.append(said("It is better than {}.", listing([_apart(found, pair, "by {}{}") for pair in better])))
    if equal := against["equivalent"]:
        some = listing([_apart(found, pair, "{} behind{}") for pair in equal])
        told.append(said("Equally good, within {}: {}.", difference_text(found.column, MARGIN), some))
    for pair in against["worse"]:
        text = "Over the seeds that both completed, {} is better, {}."
        told.append(said(text, short(found, pair["other"]), said("by {}{}", difference(found, pair), _ends(found, pair))))
    undecided = against["undecided"]  # the closest rival first
    told += [_undecided(found, pair) for pair in undecided[:MOST_UNDECIDED]]
    if len(undecided) > MOST_UNDECIDED:
        rest = listing([short(found, pair["other"]) for pair in undecided[MOST_UNDECIDED:]])
        told.append(said("Nor can {}.", rest))
    return told


def _against(found: Choices, best: Row) -> dict[str, list[Row]]:
    """The pairs of the choice with the others, by verdict, in the order of the others; ``other`` is the row of the other one.

    Over the seeds that both completed, another one may be ahead of the choice, whose mean is the best over its own seeds.
    """
    rows = {row["trial"]: row for row in frame_rows(found.contenders)}
    against: dict[str, list[Row]] = {"better": [], "equivalent": [], "undecided": [], "worse": []}
    for pair in frame_rows(found.pairs):
        other = pair["second"] if pair["first"] == best["trial"] else pair["first"]
        if best["trial"] in (pair["first"], pair["second"]) and other in rows:
            is_behind = pair["second"] == best["trial"] and pair["verdict"] == "better"
            against["worse" if is_behind else pair["verdict"]].append({**pair, "other": rows[other]})
    return against


def difference(found: Choices, pair: Mapping[str, Any]) -> Number:
    """The difference of a pair as a number."""
    how = f"mean of the differences over {pair['n']:.0f} paired seeds"
    return apart(found.column, float(pair["difference"]), rows=_both(found, pair), how=how)


def _apart(found: Choices, pair: Row, template: str) -> Sentence:
    """Another contender, how far it lies apart, and the interval of that: ``cnn by 0.9 points (0.3 to 1.5)``."""
    return said(f"{{}} {template}", short(found, pair["other"]), difference(found, pair), _ends(found, pair))


def _range(found: Choices, pair: Mapping[str, Any]) -> Cell:
    """The interval of a difference; a dash where there is none."""
    text = interval_text(found.column, float(pair["low"]), float(pair["high"]), is_difference=True)
    how = "paired t interval, adjusted after Holm for the number of pairs"
    return Number(text=text, rows=_both(found, pair), column=found.column, how=how) if text else "–"


def _ends(found: Choices, pair: Mapping[str, Any]) -> Sentence:
    """The same in brackets; nothing where there is none."""
    ends = _range(found, pair)
    return said(" ({})", ends) if isinstance(ends, Number) else ()


def more_seeds(pair: Mapping[Any, Any]) -> int | None:
    """How many more seeds would settle an undecided pair; None where that is not known, or out of reach."""
    needed = pair["seeds_needed"]
    return None if needed is None or needed != needed else max(int(needed) - int(pair["n"]), 1)


def _undecided(found: Choices, pair: Row) -> Sentence:
    if not pair["n"]:
        return said(
            "{} shares no completed seed of the same length with it, so the two are not compared.", short(found, pair["other"])
        )
    parts = (short(found, pair["other"]), difference(found, pair), _ends(found, pair), settled_by(found, pair))
    return said("{} cannot be told apart from it: the difference is {}{}; {}.", *parts)


def settled_by(found: Choices, pair: Mapping[str, Any]) -> Sentence:
    """How many more seeds would settle an undecided pair, in words."""
    more = more_seeds(pair)
    if more is not None:
        how = "seeds that settle it in 80 % of cases if it is as observed, less those there are"
        text = f"about {_quantities.count(more, 'more seed')}"
        number = Number(text=text, value=more, rows=_both(found, pair), column=found.column, how=how)
        return said("{} would settle it", number)
    if not pair["n"]:
        return ("seeds that both complete, of the same length",)
    if not math.isfinite(float(pair["smallest"])):
        return ("the seeds do not tell how much that varies",)
    return (f"more than {MOST_SEEDS:,} seeds would be needed",)


def _both(found: Choices, pair: Mapping[str, Any]) -> str:
    return f"stage = {found.stage}, parent = {pair['first']} and {pair['second']}"


def pairs_section(found: Choices) -> Section | None:
    """Every pair of confirmed configurations with its verdict; None without pairs."""
    if found.pairs.empty:
        return None
    counts = found.pairs["verdict"].value_counts()
    words = {"better": "decided", "equivalent": "equivalent", "undecided": "undecided"}
    every, best = frame_rows(found.pairs), str(found.contenders["trial"].iloc[0])
    shown = every if len(every) <= MOST_PAIRS else [pair for pair in every if best in (pair["first"], pair["second"])]
    pairs_of = f"stage = {found.stage}, every two parents"
    told = {word: tally(int(counts[one]), rows=pairs_of, column=found.column) for one, word in words.items() if one in counts}
    some = listing([said("{} {}", number, word) for word, number in told.items()])
    rows = [
        [
            str(pair["first"]),
            str(pair["second"]),
            difference(found, pair),
            _range(found, pair),
            pair["verdict"],
            _settles(found, pair),
        ]
        for pair in shown
    ]
    note = (
        "Paired over the seeds that both completed; intervals and verdicts are adjusted after Holm for the number of pairs. "
        f"Better: the interval is above 0. Equivalent: the difference is below {difference_text(found.column, MARGIN)} (TOST)."
    )
    columns = ("first", "second", "difference", "interval", "verdict", "what would settle it")
    sentence = said("Of {}, {}.", tally(len(found.pairs), "pair", rows=pairs_of, column=found.column), some)
    sentences = [sentence]
    if len(shown) < len(every):
        sentences.append(said("Listed are those of the choice, {}; report.json has all.", best))
    table = Table(columns=columns, rows=cells(rows))
    return Section(key="pairs", title="Which differ?", sentences=tuple(sentences), note=note, table=table)


def _settles(found: Choices, pair: Mapping[str, Any]) -> Cell:
    return settled_by(found, pair) if pair["verdict"] == "undecided" else ""


def _by_images(found: Choices, best: Row) -> list[Sentence]:
    """Without repetitions: which arms the number of images alone cannot tell from the best one."""
    others = found.contenders.iloc[1:]
    images = images_of(found, best)
    column = found.column
    if others.empty or images is None or not column.endswith("_accuracy"):
        return []
    scores = others["score"].astype(float).to_list()
    own = float(best["score"])
    reach = [reach_of_images(own, score, images) for score in scores]
    close = [row_of(row) for (_, row), far in zip(others.iterrows(), reach, strict=True) if own - float(row["score"]) <= far]
    if not close:
        return []
    how = "95 % sampling error of the difference of two accuracies"
    bound = apart(column, max(reach), rows=str(best["trial"]), how=how)
    some = listing([said("{} with {}", short(found, row), score(found, row)) for row in close])
    text = "On {} images chance alone makes up to {} between two of them, so these may be as good: {}."
    return [said(text, measure("dataset", images, rows=str(best["trial"]), text=f"{images:,}"), bound, some)]


def reach_of_images(one: float, other: float, images: int) -> float:
    """How far two accuracies on so many images may lie apart by chance alone: 95 % sampling error of their difference."""
    return float(1.96 * math.sqrt((one * (1 - one) + other * (1 - other)) / images))


def images_of(found: Choices, row: Mapping[str, Any]) -> int | None:
    """The validation images a trial was scored on; None where that is not known."""
    trials = found.results.trials
    own = trials.loc[trials["trial"] == row["trial"], "dataset"]
    return validation_images(own.iloc[0]) if len(own) else None


def smaller(found: Choices, best: Row) -> list[Sentence]:
    """What to choose with at most half of what the choice needs, then with at most half of that; each choice once."""
    rows: dict[str, Row] = {}
    limits: dict[str, list[tuple[str, float]]] = {}
    for column in LIMITS:
        above = best
        for _ in range(STEPS):
            most = HALF * float(above[column])
            inside = within(found.contenders if found.is_confirmed else found.searched, {column: most})
            if inside.empty:  # also where the limit is not known
                break
            above = row_of(inside.iloc[0])
            rows[above["trial"]] = above
            limits.setdefault(above["trial"], []).append((column, most))
    return [_below(found, best, row, limits[trial]) for trial, row in rows.items()]


def _below(found: Choices, best: Row, below: Row, limits: list[tuple[str, float]]) -> Sentence:
    """A smaller choice, below which limits, and its price: a lower score."""
    rows = f"{selection(found, best)}; {selection(found, below)}"
    less = apart(found.column, float(best["score"]) - float(below["score"]), rows=rows)
    word = "less" if found.is_better_high(found.column) else "more"
    prices = []
    for column, _ in limits:
        times = ratio(column, float(best[column]) / max(float(below[column]), 1e-12), rows=rows)
        prices.append(said("{} ({} {})", cost(found, below, column), times, "fewer" if column == "parameters" else "faster"))
    halves: list[str | Number] = []
    for place, (column, limit) in enumerate(limits):
        how = f"{HALF:g} × the choice above"
        halves += [" or " if place else "", measure(column, limit, rows=selection(found, best), how=how), f" {LIMITS[column]}"]
    most = tuple(part for part in halves if part)
    return said("Below {} choose {}: {}, {} {}, with {}.", most, called(below), score(found, below), less, word, listing(prices))


def _chance(found: Choices, best: Row) -> Sentence:
    value = float(best["chance"])
    how = "chance of the best true mean, from draws of what the seeds leave open"
    number = Number(
        text="above 99 %" if value >= 0.995 else f"{100 * value:.0f} %",
        value=value,
        rows=f"stage = {found.stage}",
        column=found.column,
        how=how,
    )
    return said("The chance that {} is the best of all is {}.", str(best["arm"]), number)


def pairs(found: Choices) -> tuple[dict[str, Any], ...]:
    """Facts of each pair of confirmed configurations, for JSON."""
    return tuple(
        {
            "a": pair["first"],
            "b": pair["second"],
            "verdict": pair["verdict"],
            "difference": pair["difference"],
            "interval": [pair["low"], pair["high"]],
            "seeds_needed": None if more_seeds(pair) is None else int(pair["seeds_needed"]),
            "seeds": int(pair["n"]),
            "p_holm": pair["p_holm"],
            "smallest": pair["smallest"],
            "column": found.column,
        }
        for pair in frame_rows(found.pairs)
    )


def choice(found: Choices) -> dict[str, Any] | None:
    """Facts of the choice, for JSON; None where there is none."""
    best = found.best
    if best is None:
        return None
    facts = {
        name: best[name] for name in ("trial", "arm", "score", "low", "high", "n", "parameters", "macs", "latency_ms", "train_s")
    }
    return {**facts, "column": found.column, "is_confirmed": found.is_confirmed, "configuration": best["configuration"]}
