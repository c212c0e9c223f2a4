"""Statistics over seeds, against numbers worked out by hand and against scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sweeper.analysis.results import Results
from sweeper.analysis.seeds import paired_differences, repetitions, seeds_table
from sweeper.analysis.statistics import holm
from sweeper.errors import InputError, UnknownNameError
from sweeper.ledger.records import BEST_COLUMNS, EPOCH_COLUMNS, TRIAL_COLUMNS, trial_name
from sweeper.plots.seed_strip import seed_strip
from tests import synthetic

T_TWO, T_THREE = 12.7062047, 4.3026527
"""The 97.5 % points of Student's t with 1 and 2 degrees of freedom, from a printed table."""


def repeated(values: dict[str, list[float | str | None]], *, objective: tuple[str, str] = ("max", "val_accuracy")) -> Results:
    """A study whose arms have repetitions with seeds 1, 2, ...: a value each, or a status for those that have none."""
    rows = [
        {"trial": f"{arm}-00000", "arm": arm, "number": 0, "stage": "search", "seed": 99, "status": "completed"} for arm in values
    ]
    for row in rows:
        row[objective[1]] = 0.123
    for arm, given_values in values.items():
        for seed, value in enumerate(given_values, start=1):
            status = value if isinstance(value, str) else "completed"
            rows.append(
                {
                    "trial": f"{trial_name(arm, 0)}-s{seed}",
                    "arm": arm,
                    "number": 0,
                    "stage": "ablation",
                    "parent": f"{arm}-00000",
                    "seed": seed,
                    "status": status,
                    "max_epochs": 9,
                    # What a trial that failed or still runs reached is in its row, too.
                    objective[1]: 0.5 if isinstance(value, str) else value,
                }
            )
    trials = pd.DataFrame(rows).reindex(columns=[*TRIAL_COLUMNS, *BEST_COLUMNS])
    return Results(study="tiny", objectives=(objective,), trials=trials, epochs=pd.DataFrame(columns=list(EPOCH_COLUMNS)))


def test_the_table_by_hand() -> None:
    table = seeds_table(repeated({"a": [0.90, 0.92, 0.94], "b": [0.95, 0.97, "failed", "running", None]}))
    assert table[["arm", "parent"]].values.tolist() == [["b", "b-00000"], ["a", "a-00000"]]
    assert table[["n", "failures", "unfinished"]].values.tolist() == [[2, 2, 1], [3, 0, 0]]
    half_a, half_b = T_THREE * 0.02 / np.sqrt(3), T_TWO * np.sqrt(0.0002) / np.sqrt(2)
    expected = [
        [0.96, np.sqrt(0.0002), 0.96 - half_b, 0.96 + half_b, 0.95, 0.97],
        [0.92, 0.02, 0.92 - half_a, 0.92 + half_a, 0.90, 0.94],
    ]
    np.testing.assert_allclose(table[["mean", "sd", "low", "high", "min", "max"]].to_numpy(dtype=float), expected, rtol=1e-7)


def test_the_best_mean_is_first_whatever_better_means() -> None:
    values: dict[str, Any] = {"a": [0.2, 0.3], "b": [0.1, 0.2], "c": ["failed", "failed"], "d": [0.3, 0.4]}
    assert seeds_table(repeated(values))["arm"].tolist() == ["d", "a", "b", "c"]
    assert seeds_table(repeated(values, objective=("min", "val_loss")))["arm"].tolist() == ["b", "a", "d", "c"]


def test_one_seed_has_a_mean_and_nothing_else() -> None:
    table = seeds_table(repeated({"a": [0.9], "b": ["failed"]}))
    assert table["n"].tolist() == [1, 0]
    assert table["mean"].iloc[0] == 0.9 and np.isnan(table["mean"].iloc[1])
    assert table[["sd", "low", "high"]].isna().all().all()


def test_pairs_are_those_of_scipy() -> None:
    results = synthetic.build(num_arms=4, ablation_seeds=8)
    values = repetitions(results).pivot(index="seed", columns="parent", values="value")
    pairs = paired_differences(results)
    assert len(pairs) == 6
    for pair in pairs.to_dict("records"):
        both = values[[pair["first"], pair["second"]]].dropna()
        first, second = both.to_numpy().T
        expected = stats.ttest_rel(first, second)
        interval = expected.confidence_interval(0.95)
        assert (pair["n"], pair["excluded"]) == ((7, 1) if "cnn-00000" in (pair["first"], pair["second"]) else (8, 0))
        assert pair["difference"] == pytest.approx(np.mean(first - second))
        assert [pair["p"], pair["low"], pair["high"]] == pytest.approx([expected.pvalue, interval.low, interval.high])
        assert pair["sd"] == pytest.approx(np.std(first - second, ddof=1))
        assert pair["correlation"] == pytest.approx(stats.pearsonr(first, second).statistic)
        unpaired = np.var(first, ddof=1) + np.var(second, ddof=1)
        assert pair["variance_reduction"] == pytest.approx(1 - pair["sd"] ** 2 / unpaired)
    order = seeds_table(results)["parent"].tolist()
    assert [(order.index(pair["first"]), order.index(pair["second"])) for pair in pairs.to_dict("records")] == [
        (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)
    ]  # fmt: skip
    assert pairs["p_holm"].tolist() == pytest.approx(holm(pairs["p"].tolist()))


def test_a_pair_by_hand() -> None:
    """Differences 0.01, 0.02, 0.03: mean 0.02, sd 0.01, t = 0.02 / (0.01 / sqrt 3) = 3.4641, p = 0.0742."""
    (pair,) = paired_differences(repeated({"a": [0.91, 0.94, 0.97], "b": [0.90, 0.92, 0.94]})).to_dict("records")
    assert (pair["first"], pair["second"], pair["n"], pair["excluded"]) == ("a-00000", "b-00000", 3, 0)
    half = T_THREE * 0.01 / np.sqrt(3)
    found = [pair[name] for name in ("difference", "sd", "low", "high", "p", "p_holm", "correlation")]
    assert found == pytest.approx([0.02, 0.01, 0.02 - half, 0.02 + half, 0.07418, 0.07418, 1.0], rel=1e-4)
    # Variances 0.0009 and 0.0004 unpaired, 0.0001 paired.
    assert pair["variance_reduction"] == pytest.approx(1 - 0.0001 / 0.0013)


def test_only_seeds_that_both_completed_count() -> None:
    values: dict[str, Any] = {"a": [0.90, "failed", 0.94, None, 0.95], "b": [0.80, 0.82, 0.85, 0.83]}
    (pair,) = paired_differences(repeated(values)).to_dict("records")
    assert (pair["n"], pair["excluded"]) == (2, 3)
    assert pair["difference"] == pytest.approx((0.10 + 0.09) / 2)
    assert np.isnan(pair["correlation"]) and np.isnan(pair["variance_reduction"]), "two points always lie on a line"


def test_configurations_trained_for_different_lengths_are_not_compared() -> None:
    """As after an extension: what was repeated before it is shorter than what is repeated now."""
    results = repeated({"a": [0.91, 0.94, 0.97], "b": [0.90, 0.92, 0.94], "c": [0.7, 0.8, 0.9]})
    is_longer = (results.trials["arm"] == "a") & (results.trials["stage"] == "ablation")
    results.trials.loc[is_longer, "max_epochs"] = 27
    assert seeds_table(results)[["arm", "max_epochs", "n"]].values.tolist() == [["a", 27, 3], ["b", 9, 3], ["c", 9, 3]]
    pairs = paired_differences(results)
    assert pairs[["first", "second", "n", "excluded"]].values.tolist() == [
        ["a-00000", "b-00000", 0, 3], ["a-00000", "c-00000", 0, 3], ["b-00000", "c-00000", 3, 0]
    ]  # fmt: skip
    assert pairs[["difference", "p", "p_holm"]].isna().all(axis=1).tolist() == [True, True, False]
    caption = seed_strip(results).get_supxlabel()
    assert caption.replace("\n", " ").endswith("a-00000 and b-00000 were trained for 27 and 9 epochs, so they are not compared.")


def test_too_few_seeds_are_no_test() -> None:
    frame = paired_differences(repeated({"a": [0.9], "b": [0.8], "c": ["failed"]}))
    by_pair = frame.set_index(["first", "second"])
    assert by_pair["n"].tolist() == [1, 0, 0]
    assert by_pair["difference"].iloc[0] == pytest.approx(0.1)
    assert frame[["sd", "low", "high", "p", "p_holm", "correlation", "variance_reduction"]].isna().all().all()


def test_equal_differences_do_not_prove_a_difference() -> None:
    """Accuracies are multiples of one image: with few seeds, equal differences are chance, and t would be infinite."""
    pair = paired_differences(repeated({"a": [0.3, 0.6, 0.9], "b": [0.2, 0.5, 0.8]})).iloc[0]
    assert pair["difference"] == pytest.approx(0.1) and pair["sd"] == 0.0
    assert np.isnan(pair["p"]) and np.isnan(pair["low"])
    assert pair["variance_reduction"] == pytest.approx(1.0)
    same = paired_differences(repeated({"a": [0.3, 0.3, 0.3], "b": [0.2, 0.2, 0.2]})).iloc[0]
    assert np.isnan(same["correlation"]) and np.isnan(same["variance_reduction"])


def test_stages_do_not_mix() -> None:
    results = synthetic.build(ablation_seeds=3, confirm_seeds=2)
    assert seeds_table(results)["n"].tolist() == [3, 3, 3]
    assert seeds_table(results, stage="confirm")["n"].tolist() == [2, 2, 2]
    for stage in ("search", "all"):
        with pytest.raises(UnknownNameError, match=r"Allowed: ablation, confirm"):
            seeds_table(results, stage=stage)


def test_what_cannot_be_asked() -> None:
    results = synthetic.build(ablation_seeds=2)
    with pytest.raises(UnknownNameError, match="Did you mean 'val_loss'"):
        seeds_table(results, column="valloss")
    for confidence in (0.0, 1.0, 95.0, float("nan")):
        with pytest.raises(InputError, match=r"between 0 and 1; for example 0\.95"):
            paired_differences(results, confidence=confidence)


def test_without_repetitions_the_tables_are_empty_and_have_their_columns() -> None:
    for results in (synthetic.build(), synthetic.empty()):
        assert seeds_table(results).empty and "unfinished" in seeds_table(results)
        assert paired_differences(results).empty and "p_holm" in paired_differences(results)
