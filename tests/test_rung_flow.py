"""Rung flow: how far trials came, by value, and its drawing."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from sweeper.analysis.progress import rungs
from sweeper.analysis.results import Results
from sweeper.errors import NoDataError
from sweeper.ledger.records import BEST_COLUMNS, EPOCH_COLUMNS, TRIAL_COLUMNS
from sweeper.plots.rung_flow import frame, rung_flow
from tests import synthetic
from tests.test_plots import check_text, words

ROWS = [
    ("a-00000", "completed", "max_epochs", 9),
    ("a-00001", "stopped", "rung", 1),
    ("a-00002", "paused", "rung", 3),
    ("a-00003", "failed", "nan", 1),
    ("a-00004", "failed", "infeasible", None),
    ("a-00005", "running", None, 5),
    ("a-00006", "pending", None, None),
    ("a-00000-e18", "running", None, 12),
    ("b-00000", "stopped", "rung", 3),
    ("b-00001", "completed", "max_epochs", 9),
]
"""Rungs at 1 and 3 of 9 epochs; one draw that the network refused, and one training anew for more epochs."""


def results() -> Results:
    trials = pd.DataFrame(ROWS, columns=["trial", "status", "reason", "epoch"]).assign(stage="search", max_epochs=9)
    trials["arm"] = trials["trial"].str[0]
    return Results(
        study="rungs",
        objectives=synthetic.OBJECTIVES,
        trials=trials.reindex(columns=[*TRIAL_COLUMNS, *BEST_COLUMNS]),
        epochs=pd.DataFrame(columns=list(EPOCH_COLUMNS)),
    )


def test_who_ended_where_by_hand() -> None:
    table = rungs(results()).set_index(["arm", "epoch"])
    assert list(table.columns) == ["reached", "stopped", "paused", "failed", "unfinished", "completed"]
    assert table.loc["a"].to_numpy().tolist() == [[5, 1, 0, 0, 1, 0], [3, 0, 1, 1, 0, 0], [1, 0, 0, 0, 1, 1]]
    assert table.loc["b"].to_numpy().tolist() == [[2, 0, 0, 0, 0, 0], [2, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1]]


def test_every_trial_is_somewhere_and_those_that_went_on_reached_the_next_rung() -> None:
    made = synthetic.build(num_arms=6, trials_per_arm=30, max_epochs=27)
    table = frame(made)
    ends = ["stopped", "paused", "failed", "unfinished", "completed"]
    assert table.groupby("arm")[ends].sum().sum(axis=1).to_dict() == made.trials.groupby("arm").size().to_dict()
    for _, rows in table.groupby("arm"):
        lost = rows["stopped"] + rows["paused"] + rows["failed"].shift(-1, fill_value=0)
        assert (rows["reached"] - lost).tolist()[:-1] == rows["reached"].tolist()[1:]


@pytest.mark.parametrize("arms", [1, 16])
def test_the_drawing(arms: int) -> None:
    made = synthetic.build(num_arms=arms, trials_per_arm=20, max_epochs=27)
    figure = rung_flow(made)
    check_text(figure)
    widths = sum(bar.get_width() for bar in figure.axes[0].patches)
    assert widths == len(made.trials), "a bar is as long as the number of trials"


def test_trials_are_counted_in_whole_numbers() -> None:
    axes = rung_flow(synthetic.build(trials_per_arm=2)).axes[0]
    assert axes.get_xticks().tolist() == [0, 1, 2]


def test_waiting_trials_are_told_apart_from_stopped_ones() -> None:
    figure = rung_flow(results())
    check_text(figure)
    said = words(figure)
    assert "2 of 8 trials were trained to the end, 2 stopped early, 1 waiting" in said
    assert all(
        name in said for name in ("stopped at 1", "stopped at 3", "waits at 3", "failed", "unfinished", "1 wait at a rung")
    )


def test_without_an_epoch_there_is_nothing_to_draw() -> None:
    for made in (synthetic.empty(), dataclasses.replace(results(), trials=results().trials.assign(epoch=None))):
        with pytest.raises(NoDataError, match=r"no trial that trained an epoch yet\. Let a trial finish"):
            frame(made)
