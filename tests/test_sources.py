"""Sources of chance, by value."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sweeper.analysis.gain import gains
from sweeper.analysis.results import Results
from sweeper.analysis.seeds import seeds_table
from sweeper.analysis.sources import sources_of_variance
from tests.test_seeds import repeated

VALUES = {"order": [0.80, 0.82, 0.84], "init": [0.70, 0.90], "split": [0.5]}


@pytest.fixture
def results() -> Results:
    """Repetitions as usual, and some that vary one source each."""
    usual = repeated({"a": [0.81, 0.83]})
    row = usual.trials[usual.trials["stage"] == "ablation"].iloc[0]
    named = [
        {**row, "trial": f"a-00000-{varies}{seed}", "seed": seed, "varies": varies, "val_accuracy": value}
        for varies, values in VALUES.items()
        for seed, value in enumerate(values, start=1)
    ]
    trials = pd.concat([usual.trials, pd.DataFrame(named)], ignore_index=True)
    return Results(
        study="tiny",
        objectives=usual.objectives,
        trials=trials.assign(dataset=json.dumps({"validation_images": 400})),
        epochs=usual.epochs,
    )


def test_each_source_has_its_own_deviation(results: Results) -> None:
    table = sources_of_variance(results).set_index("varies")
    assert table.index.to_list() == ["init", "order", "split", "training", "images"]
    assert table["n"].to_list() == [2, 3, 1, 2, 400]
    assert table.loc["order", "sd"] == pytest.approx(0.02)
    low, high = (0.02 * np.sqrt(2 / stats.chi2.ppf(share, 2)) for share in (0.975, 0.025))
    assert table.loc["order", ["low", "high"]].to_list() == pytest.approx([low, high])
    assert np.isnan(table.loc["split", "sd"])
    mean = np.mean([*VALUES["order"], *VALUES["init"], *VALUES["split"], 0.81, 0.83])
    assert table.loc["images", "sd"] == pytest.approx(np.sqrt(mean * (1 - mean) / 400))


def test_other_tables_leave_them_out(results: Results) -> None:
    assert seeds_table(results)["n"].to_list() == [2]
    assert gains(results) == gains(repeated({"a": [0.81, 0.83]}))


def test_a_study_without_repetitions_has_no_source() -> None:
    assert sources_of_variance(repeated({"a": []})).empty
