"""Knob importance and slices: against a score whose knobs are known, and their drawings."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweeper.analysis.importance import knob_importance, knob_table, scores
from sweeper.analysis.results import Results
from sweeper.errors import NoDataError, UnknownNameError
from sweeper.ledger.records import BEST_COLUMNS, EPOCH_COLUMNS, TRIAL_COLUMNS
from sweeper.plots import knob_importance as importance_module
from sweeper.plots import slices as slices_module
from tests import synthetic
from tests.test_plots import check_text, words


def searched(count: int = 40, *, is_noise: bool = False) -> Results:
    """An arm whose score depends on its rate, on its optimizer a little and on nothing else; momentum belongs to sgd."""
    stream = np.random.default_rng(3)
    rows = []
    for number in range(count):
        knobs: dict[str, Any] = {
            "rate": float(10 ** stream.uniform(-4, -1)),
            "optimizer": ["adam", "sgd"][number % 2],
            "width": int(stream.integers(8, 64)),
            "is_dense": bool(stream.random() < 0.5),
            "fixed": 3,
        }
        if knobs["optimizer"] == "sgd":
            knobs["momentum"] = float(stream.random())
        score = stream.random() if is_noise else 0.9 - 0.1 * abs(np.log10(knobs["rate"]) + 2) - 0.02 * (number % 2)
        rows.append({"trial": f"a-{number:05d}", "number": number, "val_accuracy": score, "configuration": json.dumps(knobs)})
    trials = pd.DataFrame(rows).assign(arm="a", stage="search", status="completed", epoch=9, max_epochs=9)
    return Results(
        study="tiny",
        objectives=synthetic.OBJECTIVES,
        trials=trials.reindex(columns=[*TRIAL_COLUMNS, *BEST_COLUMNS]),
        epochs=pd.DataFrame(columns=list(EPOCH_COLUMNS)),
    )


def test_what_decides_is_important_and_nothing_else_is() -> None:
    table = knob_importance(searched()).set_index("knob")
    assert table.index[:2].tolist() == ["rate", "optimizer"]
    assert table.loc["rate", "importance"] > 0.5
    assert (table.loc[["width", "is_dense", "momentum"], "importance"].abs() < 0.05).all()
    assert "fixed" not in table.index, "a knob that never differs explains nothing"
    assert (table["low"] <= table["importance"]).all() and (table["importance"] <= table["high"]).all()
    assert set(table["trials"]) == {40} and table["explained"].iloc[0] > 0.5
    pd.testing.assert_frame_equal(knob_importance(searched()).set_index("knob"), table)


def test_of_noise_nothing_is_explained_and_the_bars_are_hollow() -> None:
    results = searched(is_noise=True)
    assert knob_importance(results)["explained"].iloc[0] < importance_module.LEAST_EXPLAINED
    figure = importance_module.knob_importance(results)
    check_text(figure)
    assert "the knobs explain hardly anything" in words(figure) and "the bars mean nothing" in words(figure)
    assert all(bar.get_facecolor()[3] == 0 for bar in figure.axes[0].patches)


def test_scores_are_ranks_by_how_far_trials_came() -> None:
    results = searched(7)
    rows = [
        ("completed", None, 9, 0.7),
        ("completed", None, 18, 0.8),
        ("stopped", "rung", 3, 0.9),
        ("stopped", "rung", 1, 0.95),
        ("failed", "nan", 2, np.nan),
        ("failed", "died", 5, 0.99),
        ("running", None, 5, 0.99),
    ]
    ends = pd.DataFrame(rows, columns=["status", "reason", "epoch", "val_accuracy"])
    results = dataclasses.replace(results, trials=results.trials.assign(**ends))
    by_trial = scores(results, "a")
    assert [by_trial[f"a-{number:05d}"] for number in (4, 3, 2, 0, 1)] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert len(by_trial) == 5
    assert scores(results, "a", "parameters").to_dict() == {"a-00004": 0.0}, "the others have no size here"


def test_the_table_of_knobs_has_gaps_where_a_trial_lacks_one() -> None:
    table = knob_table(searched(6), "a")
    assert list(table) == ["rate", "optimizer", "width", "is_dense", "momentum"]
    assert table["momentum"].isna().tolist() == [True, False] * 3


def test_slices_hold_every_trial_that_has_the_knob() -> None:
    results = searched(20)
    results.trials.loc[3, ["status", "val_accuracy"]] = ["stopped", 0.5]
    results.trials.loc[4, "status"] = "failed"
    frame = slices_module.frame(results, knobs=9)
    assert list(frame.columns) == ["arm", "knob", "trial", "status", "value", "score"]
    sizes = frame.groupby("knob").size().to_dict()
    assert sizes == {"rate": 19, "optimizer": 19, "width": 19, "is_dense": 19, "momentum": 10}
    row = frame[(frame["knob"] == "rate") & (frame["trial"] == "a-00003")].iloc[0]
    assert (row["status"], row["score"]) == ("stopped", 0.5)
    assert row["value"] == json.loads(results.trials["configuration"][3])["rate"]
    assert frame["knob"].iloc[0] == knob_importance(results)["knob"].iloc[0]


@pytest.mark.long
def test_the_drawings() -> None:
    results = synthetic.build(num_arms=3, trials_per_arm=12)
    small = dataclasses.replace(results, trials=results.trials.drop(results.trials.query("arm == 'vit'").index[5:]))
    for module, draw in ((importance_module, importance_module.knob_importance), (slices_module, slices_module.slices)):
        figure = draw(small)
        check_text(figure)
        assert sum(axes.get_visible() for axes in figure.axes) == {importance_module: 2, slices_module: 4}[module]
    assert "nothing that differs: vit" in words(importance_module.knob_importance(small))
    check_text(slices_module.slices(searched()))


def test_too_few_trials_are_an_error_that_says_what_to_do() -> None:
    for module in (importance_module, slices_module):
        with pytest.raises(NoDataError, match=r"no arm with 10 ranked trials .*\(trials: a 9\).* sweeper resume tiny --trials N"):
            module.frame(searched(9))
        with pytest.raises(NoDataError, match=r"\(trials: none\)"):
            module.frame(synthetic.empty())
        with pytest.raises(UnknownNameError, match="unknown column 'accuracy'"):
            module.frame(searched(12), column="accuracy")
