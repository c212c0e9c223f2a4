"""Forest and chance matrix: pairs of repeated configurations, by value, and their drawings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweeper.analysis.chances import chances, stage_of_seeds
from sweeper.analysis.verdicts import verdicts
from sweeper.errors import NoDataError, UnknownNameError
from sweeper.plots import chance_matrix as matrix_module
from sweeper.plots import forest as forest_module
from sweeper.plots.chance_matrix import chance_matrix
from sweeper.plots.forest import forest
from sweeper.plots.pareto_seeds import pareto_seeds
from tests import synthetic
from tests.test_plots import check_text, words
from tests.test_seeds import repeated


def test_chances_by_hand() -> None:
    """Seeds 1 and 2 are won by a, 3 is a tie, 4 is b's, and 5 is not b's."""
    values: dict[str, Any] = {"a": [0.9, 0.8, 0.7, 0.6, 0.5], "b": [0.8, 0.7, 0.7, 0.7, "failed"], "c": ["failed"]}
    table = chances(repeated(values)).set_index(["first", "second"])
    assert table.loc[("b-00000", "a-00000")].tolist() == [4, 1, 1, 1.5 / 4]
    assert table.loc[("a-00000", "b-00000")].tolist() == [4, 2, 1, 2.5 / 4]
    assert table.loc[("a-00000", "c-00000"), "n"] == 0 and np.isnan(table.loc[("a-00000", "c-00000"), "chance"])
    shown = matrix_module.frame(repeated(values))
    assert set(shown["first"]) == {"a-00000", "b-00000"}, "what has no value is left out"


def test_a_low_loss_wins() -> None:
    results = repeated({"a": [0.1, 0.2], "b": [0.3, 0.1]}, objective=("min", "val_loss"))
    table = chances(results).set_index("first")
    assert table["wins"].to_dict() == {"a-00000": 1, "b-00000": 1}
    assert table.index.tolist() == ["a-00000", "b-00000"], "the lower mean is first"
    results = repeated({"a": [0.1, 0.2, 0.12], "b": [0.3, 0.41, 0.33]}, objective=("min", "val_loss"))
    (pair,) = forest_module.frame(results).to_dict("records")
    assert pair["difference"] == pytest.approx((0.2 + 0.21 + 0.21) / 3) and 0 < pair["low"] < pair["high"]
    assert pair["verdict"] == "better"


def test_every_two_chances_are_one_and_repetitions_of_other_lengths_do_not_count() -> None:
    results = synthetic.build(num_arms=4, ablation_seeds=8)
    table = matrix_module.frame(results).pivot(index="first", columns="second", values="chance")
    both = (table + table.T).to_numpy(float)
    np.testing.assert_allclose(both[~np.isnan(both)], 1.0)
    results.trials.loc[(results.trials["arm"] == "cnn") & (results.trials["stage"] == "ablation"), "max_epochs"] = 99
    assert set(chances(results).query("first == 'cnn-00000'")["n"]) == {0}


def test_verdicts_are_those_of_the_analysis() -> None:
    results = synthetic.build(num_arms=6, ablation_seeds=5)
    pairs = forest_module.frame(results)
    pd.testing.assert_frame_equal(pairs, verdicts(results, stage="ablation"))
    assert {"better", "undecided"} <= set(pairs["verdict"])
    values: dict[str, Any] = {"a": [0.90, 0.901, 0.902, 0.1], "b": [0.80, 0.802, 0.801, 0.05], "c": ["failed"] * 4}
    assert forest_module.frame(repeated(values))["first"].tolist() == ["a-00000"], "what has no value is left out"


def test_two_that_are_nearly_the_same_are_equivalent() -> None:
    shared = np.linspace(0.8, 0.9, 10)
    values: dict[str, Any] = {"a": [*shared], "b": [*(shared + 0.0005 * np.cos(np.arange(10)))]}
    figure = forest(repeated(values))
    check_text(figure)
    assert "b and a are equivalent in validation accuracy" in words(figure) or "a and b are equivalent" in words(figure)
    assert "Shaded: differences up to 0.5 points" in words(figure)


def test_what_is_tested_is_judged_by_its_test() -> None:
    results = synthetic.build(confirm_seeds=3)
    is_confirmed = results.trials["stage"] == "confirm"
    tested = results.trials.assign(test_accuracy=(1.0 - results.trials["val_accuracy"]).where(is_confirmed))
    results = dataclasses.replace(results, trials=tested)
    best = tested[is_confirmed].groupby("parent")["test_accuracy"].mean().idxmax()
    assert forest_module.frame(results)["first"].iloc[0] == best == matrix_module.frame(results)["first"].iloc[0]
    assert "test accuracy" in words(forest(results)) and "test accuracy" in words(chance_matrix(results))


def test_confirmed_trials_come_before_those_of_an_ablation() -> None:
    assert stage_of_seeds(synthetic.build(ablation_seeds=2)) == "ablation"
    both = synthetic.build(ablation_seeds=2, confirm_seeds=3)
    assert stage_of_seeds(both) == "confirm"
    assert set(forest_module.frame(both)["n"]) == {3}
    assert set(matrix_module.frame(both, stage="ablation")["n"]) == {2}
    assert "Stage confirm: 9 completed" in forest(both).get_supxlabel()


@pytest.mark.long
@pytest.mark.parametrize(("arms", "seeds"), [(2, 2), (16, 5)])
def test_the_drawings(arms: int, seeds: int) -> None:
    results = synthetic.build(num_arms=arms, trials_per_arm=2, ablation_seeds=seeds)
    for draw in (forest, chance_matrix):
        check_text(draw(results))
    assert ("The first 28 pairs are shown" in words(forest(results))) == (arms == 16)


def test_what_was_trained_for_different_lengths_is_not_compared() -> None:
    results = synthetic.build(num_arms=2, ablation_seeds=3)
    results.trials.loc[(results.trials["arm"] == "cnn") & (results.trials["stage"] == "ablation"), "max_epochs"] = 99
    assert "no shared seed of equal length" in words(forest(results))
    assert "were trained for 9 to 99 epochs" in words(pareto_seeds(results))
    check_text(chance_matrix(results))


def test_several_configurations_of_an_arm_are_named_by_their_trials() -> None:
    results = synthetic.build(num_arms=2, ablation_seeds=3)
    is_last = results.trials["trial"] == "resnet-00000-s3"
    results.trials.loc[is_last, ["parent", "trial", "seed"]] = ["resnet-00004", "resnet-00004-s1", 1]
    labels = [label.get_text() for label in chance_matrix(results).axes[0].get_yticklabels()]
    assert sorted(labels) == ["cnn", "resnet-00000", "resnet-00004"]


def test_without_two_configurations_the_error_says_what_to_do() -> None:
    for module in (forest_module, matrix_module):
        for results in (synthetic.build(), synthetic.build(num_arms=1, ablation_seeds=3), synthetic.empty()):
            with pytest.raises(NoDataError, match=r"no two configurations .* sweeper ablate digits --seeds 3$"):
                module.frame(results)
        with pytest.raises(UnknownNameError, match="unknown stage of repetitions 'search'"):
            module.frame(synthetic.build(ablation_seeds=2), stage="search")
