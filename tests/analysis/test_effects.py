"""Effects of changes, by value."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sweeper.analysis.effects import effects
from sweeper.analysis.results import Results
from sweeper.errors import NoDataError
from sweeper.ledger.records import EPOCH_COLUMNS
from sweeper.plots import effects as plot
from tests.test_seeds import repeated

VALUES = {"base": [0.80, 0.81, 0.82], "up": [0.90, 0.911, 0.919], "down": [0.60, 0.612, 0.617], "same": [0.801, 0.809, 0.8205]}


@pytest.fixture
def results() -> Results:
    made = repeated(VALUES)  # type: ignore[arg-type]
    trials = made.trials.assign(
        stage=made.trials["stage"].replace("ablation", "confirm"), test_accuracy=made.trials["val_accuracy"]
    )
    trials = trials.assign(parameters=1000.0, max_epochs=3)
    rows = [
        {**{name: trial.get(name) for name in EPOCH_COLUMNS}, "epoch": epoch, "val_accuracy": trial["val_accuracy"] * epoch / 3}
        for trial in trials[trials["stage"] == "confirm"].to_dict("records")
        for epoch in (1, 2, 3)
    ]
    epochs = pd.DataFrame(rows, columns=list(EPOCH_COLUMNS))
    return Results(study="made", objectives=made.objectives, trials=trials, epochs=epochs, baseline="base")


def test_each_change_is_compared_with_the_baseline(results: Results) -> None:
    table = effects(results).set_index("arm")
    assert table.index.to_list() == ["base", "up", "same", "down"], "the baseline, then by effect"
    assert table["verdict"].to_list()[1:] == ["better", "equivalent", "worse"]
    differences = np.subtract(VALUES["down"], VALUES["base"])
    assert table.loc["down", "difference"] == pytest.approx(differences.mean())
    p = stats.ttest_rel(VALUES["down"], VALUES["base"]).pvalue
    assert table.loc["down", "p_holm"] >= p
    assert table.loc["down", "low"] < table.loc["down", "difference"] < table.loc["down", "high"] < 0
    assert np.isnan(table.loc["base", "difference"])
    assert table["epochs_to_reach"].to_list()[:2] == [3, 3]
    assert np.isnan(table.loc["down", "epochs_to_reach"]), "it never comes to 95 % of the baseline"


def test_without_a_baseline_or_seeds_there_is_nothing_to_compare(results: Results) -> None:
    with pytest.raises(NoDataError, match=r"to compare with: it names none\. A study file does, for example baseline: base"):
        effects(dataclasses.replace(results, baseline=None))
    searched = dataclasses.replace(results, trials=results.trials[results.trials["stage"] == "search"])
    with pytest.raises(NoDataError, match=r"'base' is not confirmed\. Run: sweeper confirm made"):
        effects(searched)


def test_a_difference_that_is_the_same_for_every_seed_is_told_and_undecided(results: Results) -> None:
    shifted = results.trials["test_accuracy"].where(results.trials["arm"] != "same", results.trials["test_accuracy"] * 0 + 0.5)
    base = results.trials["arm"] == "base"
    trials = results.trials.assign(test_accuracy=shifted.mask(base, 0.25))
    row = effects(dataclasses.replace(results, trials=trials)).set_index("arm").loc["same"]
    assert (row["difference"], row["verdict"]) == (0.25, "undecided")


def test_the_figure_says_what_helps(results: Results) -> None:
    picture = plot.effects(results)
    assert "better with up; worse with down" in " ".join(picture.get_suptitle().split())
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == ["up  (1,000)", "same  (1,000)", "down  (1,000)"]
