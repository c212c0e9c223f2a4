"""Do the models err on the same images? And what their average would be worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sweeper.analysis.ensemble import ensemble_accuracy
from sweeper.analysis.predictions import Answers, answers, error_overlap, split_of
from sweeper.plots import _quantities
from sweeper.report.choices import Choices, Row, frame_rows, short
from sweeper.report.parts import Cell, Number, Section, Sentence, Table, cells, name, said, tally

COLUMNS = "label, probabilities"
"""What errors are computed from."""


def same_images(found: Choices) -> Section | None:
    """The answer, from the predictions of the contenders; None unless two of them have any."""
    results = found.results
    if results.predictions.empty or not found.is_confirmed:
        return None
    split = split_of(results)
    told = answers(results, split)
    called = {str(row["trial"]): short(found, row) for row in frame_rows(found.contenders)}
    parents = [parent for parent in called if any(one.parent == parent for one in told)]
    if len(parents) < 2:
        return None
    overlaps = {(row["first"], row["second"]): row for row in frame_rows(error_overlap(results, split)) if row["pairs"]}
    sentences = [
        *_all_or_any(told, parents, split),
        *_pairs(overlaps, parents, called),
        *_ensemble(found, told, parents, called, split),
    ]
    pairs = [(first, second) for place, first in enumerate(parents) for second in parents[place:]]
    rows = [_row(called, overlaps[pair]) for pair in pairs if pair in overlaps]
    note = (
        f"Computed for every two trainings of the same seed, on {split} images, and averaged over seeds; of one network, for "
        "every two of its seeds. Kappa is 0 for models that err independently, 1 for the same errors."
    )
    table = Table(columns=("models", "both wrong, of either wrong", "Cohen's kappa", "pairs of trainings"), rows=cells(rows))
    title = "Do they err on the same images?"
    return Section(key="same_images", title=title, sentences=tuple(sentences), note=note, table=table)


def _row(called: dict[str, str], overlap: Row) -> list[Cell]:
    first, second = overlap["first"], overlap["second"]
    models = f"{called[first]}, {'another seed of it' if first == second else called[second]}"
    rows = f"parent = {' and '.join(dict.fromkeys([first, second]))}"
    text = f"{overlap['kappa']:.2f}".replace("nan", "–")
    kappa = Number(text=text, value=overlap["kappa"], rows=rows, column=COLUMNS, how="Cohen's kappa, mean", table="predictions")
    return [models, _shared(overlap), kappa, tally(int(overlap["pairs"]), rows=rows, column="seed", table="predictions")]


def _number(value: float, parents: Sequence[str], how: str) -> Number:
    rows = f"parent = {' and '.join(dict.fromkeys(parents))}"
    return Number(text=f"{100 * value:.1f} %", value=value, rows=rows, column=COLUMNS, how=how, table="predictions")


def _shared(row: Row) -> Number | str:
    if row["jaccard"] != row["jaccard"]:
        return "–"
    return _number(row["jaccard"], [row["first"], row["second"]], "images both get wrong / images either gets wrong, mean")


def _of_all(told: list[Answers], parents: list[str]) -> list[list[Answers]]:
    """For each seed with which all contenders have predictions of the same images: the answers, in the order of contenders."""
    by_seed = {(one.seed, one.parent): one for one in told}
    found = []
    for seed in sorted({one.seed for one in told}):
        own = [by_seed[seed, parent] for parent in parents if (seed, parent) in by_seed]
        if len(own) == len(parents) and all(np.array_equal(own[0].rows, one.rows) for one in own):
            found.append(own)
    return found


def _all_or_any(told: list[Answers], parents: list[str], split: str) -> list[Sentence]:
    together = [np.stack([one.is_wrong for one in own]) for own in _of_all(told, parents)]
    if not together:
        return []
    over = f", mean over {_quantities.count(len(together), 'seed')}"
    every = _number(float(np.mean([wrong.all(axis=0).mean() for wrong in together])), parents, f"share that all get wrong{over}")
    some = _number(float(np.mean([wrong.any(axis=0).mean() for wrong in together])), parents, f"share that one gets wrong{over}")
    whose = "both" if len(parents) == 2 else f"all {len(parents)}"
    rows = f"parent = {' and '.join(parents)}, split = {split}"
    images = tally(together[0].shape[1], rows=rows, column="row", table="predictions")
    return [said("Of {} {} images {} are wrong for {} models, {} for at least one.", images, split, every, whose, some)]


def _pairs(overlaps: dict[tuple[str, str], Row], parents: list[str], called: dict[str, str]) -> list[Sentence]:
    known = [overlaps[pair] for pair in overlaps if overlaps[pair]["jaccard"] == overlaps[pair]["jaccard"]]
    known = [row for row in known if {row["first"], row["second"]} <= called.keys()]
    pairs = [row for row in known if parents.index(row["first"]) < parents.index(row["second"])]
    if not pairs:
        return []
    most, least = max(pairs, key=lambda row: row["jaccard"]), min(pairs, key=lambda row: row["jaccard"])
    text = "Of the images that {} or {} gets wrong, {} are wrong for both."
    told = [said(text, called[most["first"]], called[most["second"]], _shared(most))]
    if least is not most:
        told.append(said("{} and {} share least: {}.", called[least["first"]], called[least["second"]], _shared(least)))
    if own := [row for row in known if row["first"] == row["second"]]:
        same = max(own, key=lambda row: row["jaccard"])
        told.append(said("Two trainings of {} alone share {}.", called[same["first"]], _shared(same)))
    return told


def _ensemble(found: Choices, told: list[Answers], parents: list[str], called: dict[str, str], split: str) -> list[Sentence]:
    together = _of_all(told, parents)
    if not together:
        return []
    seeds = [own[0].seed for own in together]
    trials = found.results.trials[found.results.trials["stage"] == found.stage]
    of_seed = [list(trials.loc[(trials["seed"] == seed) & trials["parent"].isin(parents), "trial"]) for seed in seeds]
    over = f", mean over {_quantities.count(len(seeds), 'seed')}"
    value = float(np.mean([ensemble_accuracy(found.results, own, split=split) for own in of_seed]))
    voted = _number(value, parents, f"accuracy of the mean of the probabilities{over}")
    single = {
        parent: float(np.mean([1 - own[place].is_wrong.mean() for own in together])) for place, parent in enumerate(parents)
    }
    best = max(parents, key=lambda parent: single[parent])
    alone = _number(single[best], [best], f"accuracy{over}")
    text = "Averaging their probabilities gives {} {}; the best of these models alone, {}, {}."
    return [said(text, voted, name(f"{split}_accuracy"), called[best], alone)]
