"""Verdicts, the chance of being the best and what is said of them, against scipy and by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sweeper.analysis.results import Results
from sweeper.analysis.verdicts import (
    CONFIRMED,
    VERDICTS,
    Case,
    chances_of_best,
    confirmed,
    decided,
    headline_column,
    verdicts,
    words,
)
from sweeper.errors import InputError, UnknownNameError
from sweeper.ledger.records import BEST_COLUMNS, EPOCH_COLUMNS, TRIAL_COLUMNS
from tests import synthetic

A, B, C = [0.95, 0.96, 0.94, 0.97, 0.95], [0.91, 0.93, 0.90, 0.92, 0.92], [0.911, 0.929, 0.901, 0.921, 0.919]
"""A is above B and C, which differ by a tenth of a point either way."""


def study(values: dict[str, list[float | str]], column: str = "test_accuracy", stage: str = "confirm") -> Results:
    """Arms with confirmed trials of seeds 1001, ...: a value each, or a status for those that have none."""
    rows: list[dict[str, Any]] = []
    for arm, given_values in values.items():
        facts = {"arm": arm, "number": 0, "parameters": 1000, "macs": 5000, "configuration": "{}", "val_accuracy": 0.5}
        searched = {"stage": "search", "status": "completed", "seed": 7, "latency_ms_batch32": 9.0, "max_epochs": 3}
        rows.append({"trial": f"{arm}-00000", **facts, **searched})
        for seed, value in enumerate(given_values, start=1001):
            status = value if isinstance(value, str) else "completed"
            own = {"trial": f"{arm}-00000-s{seed}", "stage": stage, "parent": f"{arm}-00000", "seed": seed, "status": status}
            times = {"max_epochs": 9, "train_s": 10.0 + seed - 1000, "latency_ms": 1.0 + (seed == 1001)}
            rows.append(facts | own | times | {column: 0.3 if isinstance(value, str) else value})
    trials = pd.DataFrame(rows).reindex(columns=list(dict.fromkeys([*TRIAL_COLUMNS, *BEST_COLUMNS, column])))
    epochs = pd.DataFrame(columns=list(EPOCH_COLUMNS))
    return Results(study="tiny", objectives=(("max", "val_accuracy"),), trials=trials, epochs=epochs)


def said(results: Results, **asked: Any) -> list[str]:
    """The sentence on every pair."""
    names = {f"{arm}-00000": arm for arm in "abcd"}
    pairs = verdicts(results, **asked).to_dict("records")
    return [words(pair, column=asked.get("column") or headline_column(results), names=names) for pair in pairs]


def test_the_headline_is_the_test_split_where_a_confirmed_trial_saw_it() -> None:
    assert headline_column(study({"a": ["failed", 0.9]})) == "test_accuracy"
    assert headline_column(study({"a": ["failed", float("nan")]})) == "val_accuracy"
    assert headline_column(study({"a": [0.9]}, stage="ablation")) == "val_accuracy"
    assert headline_column(synthetic.build(confirm_seeds=2)) == "val_accuracy"
    assert headline_column(synthetic.empty()) == "val_accuracy"


def test_an_ablation_is_judged_by_the_objective_whatever_is_confirmed() -> None:
    both, confirm = synthetic.build(confirm_seeds=3, ablation_seeds=3), study({"a": A})
    trials = pd.concat([both.trials, confirm.trials])
    results = dataclasses.replace(both, trials=trials)
    assert headline_column(results) == "test_accuracy"
    pd.testing.assert_frame_equal(verdicts(results, stage="ablation"), verdicts(both, stage="ablation"))


def test_what_is_confirmed() -> None:
    found = confirmed(study({"b": B, "a": A, "c": ["failed", "failed"]}))
    assert tuple(found) == CONFIRMED
    assert found[["arm", "parent", "n"]].values.tolist() == [["a", "a-00000", 5], ["b", "b-00000", 5], ["c", "c-00000", 0]]
    interval = stats.ttest_1samp(A, 0.0).confidence_interval(0.95)
    first = found.iloc[0]
    assert [first["mean"], first["low"], first["high"]] == pytest.approx([np.mean(A), interval.low, interval.high])
    assert first[["parameters", "macs", "configuration"]].tolist() == [1000, 5000, "{}"]
    # Medians of latencies, the mean of the times of completed seeds; the latency of 32 images is known of the parent alone.
    assert first[["latency_ms", "latency_ms_batch32", "train_s"]].tolist() == [1.0, 9.0, 13.0]
    assert np.isnan(found["train_s"].iloc[2]) and np.isnan(found["chance_of_best"].iloc[2])
    assert found["chance_of_best"].iloc[:2].sum() == pytest.approx(1.0)


def test_the_verdict_on_one_pair_is_that_of_its_t_test() -> None:
    (pair,) = verdicts(study({"b": B, "a": A})).to_dict("records")
    expected = stats.ttest_rel(A, B)
    interval = expected.confidence_interval(0.95)
    assert tuple(pair) == VERDICTS
    assert [pair[name] for name in ("first", "second", "n", "verdict")] == ["a-00000", "b-00000", 5, "better"]
    found = [pair[name] for name in ("difference", "low", "high", "p", "p_holm")]
    assert found == pytest.approx([0.038, interval.low, interval.high, expected.pvalue, expected.pvalue])
    assert pair["seeds_needed"] is None


def test_intervals_are_as_wide_as_the_step_of_holm_that_decides_them() -> None:
    found = verdicts(study({"a": A, "b": B, "c": C})).set_index(["first", "second"])
    assert found["verdict"].to_dict() == {
        ("a-00000", "c-00000"): "better",
        ("a-00000", "b-00000"): "better",
        ("c-00000", "b-00000"): "equivalent",
    }
    order = found["p"].sort_values().index
    for (first, second), tests in zip(order, (3, 2, 1), strict=True):
        values = {"a-00000": A, "b-00000": B, "c-00000": C}
        interval = stats.ttest_rel(values[first], values[second]).confidence_interval(1 - 0.05 / tests)
        assert found.loc[(first, second), ["low", "high"]].tolist() == pytest.approx([interval.low, interval.high])


CASES = st.lists(st.builds(Case, st.floats(0, 0.1), st.floats(1e-4, 0.1), st.integers(2, 12)) | st.none(), max_size=6)


@settings(max_examples=30)
@given(CASES, st.floats(0, 0.05))
def test_better_is_an_interval_above_0_and_a_rejection_after_holm(cases: list[Case | None], margin: float) -> None:
    for case, found in zip(cases, decided(cases, margin=margin), strict=True):
        if case is None:
            assert found.verdict == "undecided" and np.isnan([found.low, found.high, found.p, found.smallest]).all()
            continue
        assert (found.verdict == "better") == (found.p_holm <= 0.05)
        assert (found.verdict == "better") == (found.low > 0) or found.low == pytest.approx(0, abs=1e-9)
        assert found.p <= found.p_holm and found.smallest > 0
        assert found.seeds_needed is None or (found.verdict == "undecided" and found.seeds_needed > case.n)


def test_less_is_better_for_a_loss() -> None:
    (pair,) = verdicts(study({"a": A, "b": B}, "test_loss"), column="test_loss").to_dict("records")
    assert (pair["first"], pair["verdict"]) == ("b-00000", "better")
    assert pair["difference"] == pytest.approx(0.038) and 0 < pair["low"] < 0.038 < pair["high"]
    assert confirmed(study({"a": A, "b": B}, "test_loss"), column="test_loss")["chance_of_best"].iloc[0] > 0.99


def test_only_common_seeds_are_compared_and_they_say_who_is_first() -> None:
    """By itself b has the better mean, a has it over the two seeds that both have."""
    results = study({"a": ["failed", 0.90, 0.92, "running"], "b": [0.99, 0.89, 0.90, float("nan")]})
    assert confirmed(results)["arm"].tolist() == ["b", "a"]
    (pair,) = verdicts(results).to_dict("records")
    assert (pair["first"], pair["n"], pair["verdict"]) == ("a-00000", 2, "undecided")
    assert pair["difference"] == pytest.approx(0.015)


def test_sentences() -> None:
    assert said(study({"a": A, "b": B, "c": C})) == [
        "a beats c by 3.8 points [2.5, 5.1] over 5 seeds",
        "a beats b by 3.8 points [2.5, 5.1] over 5 seeds",
        "c and b are equivalent within ±0.5 points: 0.02 [-0.12, 0.16] over 5 seeds",
    ]
    assert said(study({"a": [0.90, 0.92, 0.94, 0.91], "b": [0.90, 0.90, 0.93, 0.92]})) == [
        "a and b cannot be told apart: 4 seeds can find 3.7 points; about 55 seeds would settle it"
    ]
    assert said(study({"a": [0.9, 0.8, 0.7], "b": [0.7, 0.8, 0.9]})) == [
        "a and b cannot be told apart: 3 seeds can find no difference at all; more than 100 seeds would be needed"
    ]
    assert said(study({"a": [0.93], "b": [0.9]})) == [
        "a and b cannot be told apart: one seed does not tell how much seeds vary, 3.0 points may be chance"
    ]
    assert said(study({"a": [0.93, 0.94], "b": [0.92, 0.93]})) == [
        "a and b cannot be told apart: they differ by 1.0 points with each of 2 seeds, which does not tell how much that varies"
    ]
    assert said(study({"a": [0.9, "failed"], "b": ["failed", 0.9]})) == [
        "a and b share no completed seed of one length, so they are not compared"
    ]
    assert said(study({"a": A, "b": B}, "test_loss"), column="test_loss") == ["b beats a by 0.038 [0.0276, 0.0484] over 5 seeds"]


def test_without_pairs_there_is_an_empty_table() -> None:
    for results in (synthetic.empty(), synthetic.build(), study({"a": A})):
        assert verdicts(results).empty and tuple(verdicts(results)) == VERDICTS
    assert confirmed(synthetic.build()).empty
    (only,) = confirmed(study({"a": A})).to_dict("records")
    assert only["n"] == 5 and np.isnan(only["chance_of_best"])


def test_what_cannot_be_asked() -> None:
    results = study({"a": A, "b": B})
    for ask in (confirmed, verdicts):
        with pytest.raises(UnknownNameError, match="Allowed: ablation, confirm"):
            ask(results, stage="search")
        with pytest.raises(UnknownNameError, match="Did you mean 'test_accuracy'"):
            ask(results, column="test_acuracy")
    for margin in (-0.1, float("nan")):
        with pytest.raises(InputError, match=r"a margin of .* is not possible; it is 0 or more"):
            verdicts(results, margin=margin)
    with pytest.raises(InputError, match=r"between 0 and 1; for example 0\.95"):
        verdicts(results, confidence=95)


def test_the_chance_of_the_better_of_two_is_what_its_t_test_leaves() -> None:
    for other in (B, [0.94, 0.97, 0.93, 0.96, 0.94], [0.96, 0.94, 0.95, 0.95, 0.97]):
        one_sided = stats.ttest_rel(A, other, alternative="greater").pvalue
        assert chances_of_best(np.array([A, other]).T) == pytest.approx([1 - one_sided, one_sided], abs=0.01)


@settings(max_examples=10)
@given(st.permutations(range(4)))
def test_chances_are_shares_whatever_the_order(order: list[int]) -> None:
    values = np.array([A, B, C, [0.96, 0.94, 0.95, 0.95, 0.97]]).T
    values[3:, 1] = np.nan  # it stopped after three seeds
    found = chances_of_best(values)
    assert found.sum() == pytest.approx(1.0) and (found >= 0).all()
    assert chances_of_best(values[:, order]) == pytest.approx(found[order], abs=1e-9)


def test_chances_where_seeds_tell_nothing() -> None:
    assert chances_of_best(np.array([A, A]).T).tolist() == [0.5, 0.5]
    assert np.isnan(chances_of_best([[0.9, 0.8]])).all()
    assert np.isnan(chances_of_best([[0.9, 0.8], [0.8, 0.7]])).all(), "the same difference for every seed"
    one_seed = chances_of_best(np.array([A, B, [0.99, *[np.nan] * 4]]).T)
    assert one_seed[0] > 0.99 and np.isnan(one_seed[2])
    assert len(chances_of_best(np.empty((0, 0)))) == 0
