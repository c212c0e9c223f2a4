"""What limits a report: what is unfinished, not confirmed, or measured otherwise than one would think."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sweeper.analysis.latency import warning
from sweeper.analysis.results import Results, arms, status_counts
from sweeper.analysis.summary import sampling_error
from sweeper.ledger.records import Status
from sweeper.report.answer import images_of
from sweeper.report.choices import Choices
from sweeper.report.parts import Command, Sentence, listing, measure, said, tally


def caveats(found: Choices, notes: Sequence[str] = ()) -> tuple[Sentence, ...]:
    """What limits everything that follows, the most serious first.

    Args:
        found: What can be chosen.
        notes: Caveats that the tables do not tell, such as a driver that is at work.
    """
    results = found.results
    told: list[Sentence] = [(note,) for note in notes]
    if unfinished := status_counts(results.trials)["unfinished"]:
        number = tally(unfinished, "trial", rows="status = pending, running, paused or interrupted", column="status")
        verb = "has" if unfinished == 1 else "have"
        told.append(said("The study is unfinished: {} {} not ended. What follows may change.", number, verb))
    if gaps := _gaps(results):
        command = Command(f"sweeper audit {results.named}")
        told.append(said("Part of the results is missing: rows of {}. What is missing is told by {}", gaps, command))
    told += _seeds(found) if found.is_confirmed else _not_confirmed(found)
    if len(arms(results)) == 1:
        told.append((f"The study has one arm, {arms(results)[0]}: there is no other architecture to compare it with.",))
    told += _of_the_data(results)
    if results.resources:
        text = "Arms were given different resources: their scores can be compared, seconds and memory of training cannot."
        told.append((text,))
    if unsure := warning(results):
        command = Command(f"sweeper measure {results.named} --anew")
        told.append(said("{} Let nothing else run on the machine, then measure again: {}", unsure, command))
    lengths = results.trials.loc[results.trials["status"] == Status.COMPLETED, "max_epochs"].dropna()
    if lengths.nunique() > 1:
        ends = f"{lengths.min():.0f} to {lengths.max():.0f} epochs"
        number = measure("max_epochs", float("nan"), rows="status = completed", how="smallest and largest", text=ends)
        told.append(said("Completed trials were trained for {}; the longer training may pass for the better network.", number))
    return tuple(told)


def _gaps(results: Results) -> Sentence:
    """The trials that lack their configuration or an epoch; empty where none does."""
    trials = results.trials
    there = trials["trial"].map(results.epochs.groupby("trial").size()).astype(float).fillna(0.0)
    is_short = trials["configuration"].isna() | (there < trials["epoch"].astype(float).fillna(0.0))
    return (
        (tally(int(is_short.sum()), "trial", rows="configuration missing, or fewer epochs than epoch", column="trial"),)
        if is_short.any()
        else ()
    )


def _seeds(found: Choices) -> list[Sentence]:
    """Of a confirmed study: seeds that are too few, and scores that are not of the test split."""
    told: list[Sentence] = []
    alone = found.contenders.loc[found.contenders["n"] < 2, "arm"].astype(str).to_list()
    if alone:
        text = "One seed tells no spread, so there is no interval and no verdict for {}. More seeds: {}"
        told.append(said(text, listing(alone), Command(f"sweeper confirm {found.results.named} --seeds 5")))
    if found.results.looks > 1:
        text = (
            f"Seeds were added after the arms had been judged: they were judged {found.results.looks} times. Where arms are "
            "alike, a false better is then more frequent: 9 % of pairs with a second look, 5 % where as many seeds were asked "
            "for at once."
        )
        told.append((text,))
    fewest, most = int(found.contenders["n"].min()), int(found.contenders["n"].max())
    if fewest < most:
        number = measure(
            "seed", fewest, rows=f"stage = {found.stage}, status = completed", how="count", text=f"{fewest} to {most}"
        )
        told.append(
            said("The configurations completed {} seeds, so their means are not over the same ones; differences are.", number)
        )
    if not found.column.startswith("test_"):
        told.append(
            ("No test split was evaluated: scores are of the validation split, on which the configurations were chosen.",)
        )
    return told


def _not_confirmed(found: Choices) -> list[Sentence]:
    best = found.best
    if best is None:
        return []
    text = "Nothing is confirmed: a score is of one training, on the validation split that also chose it."
    told: list[Sentence] = [(text,)]
    images = images_of(found, best)
    if images is not None and found.column.endswith("_accuracy"):
        half = sampling_error(float(best["score"]), images)
        how = "half of Wilson's 95 % interval of the best score"
        number = measure(found.column, half, rows=str(best["trial"]), how=how, text=f"±{100 * half:.1f} points")
        seen = measure("dataset", images, rows=str(best["trial"]), how="validation_images", text=f"{images:,}")
        told = [said("{} {} images alone leave {}; choosing and seeds come on top.", text, seen, number)]
    command = Command(f"sweeper confirm {found.results.named}")
    return [*told, said("Confirm the best configurations on fresh seeds: {}", command)]


def _of_the_data(results: Results) -> list[Sentence]:
    facts = datasets(results)
    told: list[Sentence] = []
    if any(one.get("validation_includes_test") for one in facts):
        told.append(("The validation split includes the test images, as the study asks: no unseen images are left to test on.",))
    if len({json.dumps(one, sort_keys=True) for one in facts}) > 1:
        told.append(("The trials were not all measured on the same data; see how it was measured.",))
    return told


def datasets(results: Results) -> list[dict[str, Any]]:
    """What the trials say they were trained on, each once."""
    return [json.loads(text) for text in results.trials["dataset"].dropna().unique()]
