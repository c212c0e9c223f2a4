"""Frames of results, by value."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeper.analysis import pareto, progress, results, summary, time_use
from sweeper.errors import InputError, UnknownNameError
from sweeper.ledger import records
from sweeper.ledger.records import BEST_COLUMNS, EPOCH_COLUMNS, TRIAL_COLUMNS
from tests import synthetic


@pytest.fixture(scope="module")
def digits() -> results.Results:
    return synthetic.build(confirm_seeds=2)


@pytest.fixture(scope="module")
def search(digits: results.Results) -> results.Results:
    return results.at_stage(digits, "search")


def tiny(*, objectives: tuple[tuple[str, str], ...] = synthetic.OBJECTIVES, **columns: list[Any]) -> results.Results:
    """Two trials of arm a and one of arm b, two epochs each, recorded in turn; `columns` replace columns of the trials."""
    names = ["a-00000", "a-00001", "b-00000"]
    facts = {"stage": "search", "epoch": 2, "status": "completed"}
    trials = pd.DataFrame(
        {"trial": names, "arm": ["a", "a", "b"], "number": [0, 1, 0], "val_accuracy": [0.5, 0.7, 0.6], "parameters": [10, 20, 30]}
        | columns
    ).assign(**{name: value for name, value in facts.items() if name not in columns})
    epochs = pd.DataFrame(
        {
            "trial": [*names, *names],
            "arm": ["a", "a", "b"] * 2,
            "epoch": [1] * 3 + [2] * 3,
            "val_accuracy": [0.2, 0.4, np.nan, 0.5, 0.7, 0.6],
            "time": [1.0, 2.0, 3.0, 4.0, 6.0, 5.0],
            "train_s": [1.0, 2.0, None, 4.0, 5.0, 6.0],
            "wait_s": [1.0, None, None, None, None, None],
            "worker": ["w1", "w2", None, "w1", "w2", None],
        }
    ).assign(stage="search", status="running")
    return results.Results(
        study="tiny",
        objectives=objectives,
        trials=trials.reindex(columns=[*TRIAL_COLUMNS, *BEST_COLUMNS]),
        epochs=epochs.reindex(columns=list(EPOCH_COLUMNS)).sample(frac=1.0, random_state=0),
    )


def test_results_need_their_columns_and_an_objective(digits: results.Results) -> None:
    with pytest.raises(InputError, match="table of trials lacks the columns macs"):
        dataclasses.replace(digits, trials=digits.trials.drop(columns="macs"))
    with pytest.raises(InputError, match="no objective"):
        dataclasses.replace(digits, objectives=())


def test_columns_of_none_become_numbers(digits: results.Results) -> None:
    trials = digits.trials.assign(macs=pd.Series([None] * len(digits.trials), dtype=object))
    assert dataclasses.replace(digits, trials=trials).trials["macs"].dtype == float


def test_tables_read_from_parquet_give_the_same_frames(digits: results.Results, tmp_path: Path) -> None:
    tables = {}
    for name, frame in (("trials", digits.trials), ("epochs", digits.epochs)):
        schema = pa.schema([records.schema().field(column) for column in frame.columns if column not in BEST_COLUMNS])
        for column in set(frame.columns) & set(BEST_COLUMNS):
            schema = schema.append(pa.field(column, pa.float64()))
        rows = frame.astype(object).where(frame.notna(), None).to_dict("list")
        pq.write_table(pa.table({key: rows[key] for key in schema.names}, schema=schema), tmp_path / f"{name}.parquet")
        tables[name] = pq.read_table(tmp_path / f"{name}.parquet").to_pandas()
    read = dataclasses.replace(digits, **tables)
    for function in (progress.learning_curves, progress.best_so_far, progress.last_values, pareto.trials_front):
        pd.testing.assert_frame_equal(function(read), function(digits), check_dtype=False)
    for summarise in (summary.arms_table, time_use.time_shares):
        pd.testing.assert_frame_equal(summarise(read), summarise(digits), check_dtype=False)


def test_stages_are_kept_apart(digits: results.Results) -> None:
    assert results.at_stage(digits, "search").trials["stage"].unique().tolist() == ["search"]
    assert len(results.at_stage(digits, "confirm").trials) == 6
    assert results.at_stage(digits, "all") is digits
    with pytest.raises(UnknownNameError, match="Did you mean 'confirm'"):
        results.at_stage(digits, "confirmed")


def test_arms_keep_their_order_and_say_their_architecture() -> None:
    found = synthetic.build(num_arms=16, trials_per_arm=1)
    assert list(results.arms(found)) == sorted(found.trials["arm"].unique())
    other = dataclasses.replace(found, trials=found.trials.iloc[::-1])
    assert results.arms(other) == results.arms(found)
    trials = found.trials.assign(architecture=["convnext"] * 16)
    labels = results.arm_labels(dataclasses.replace(found, trials=trials))
    assert (labels["convnext"], labels["cnn"]) == ("convnext", "cnn (convnext)")


def test_finished_and_comparable(search: results.Results) -> None:
    assert len(results.finished(search)) == 24
    assert results.comparable(search)["status"].unique().tolist() == ["completed"]
    unfinished = tiny(status=["completed", "running", "interrupted"])
    assert results.finished(unfinished)["trial"].tolist() == ["a-00000"]
    assert results.comparable(tiny(val_accuracy=[0.5, None, np.inf]))["trial"].tolist() == ["a-00000"]
    assert results.status_counts(unfinished.trials) == {
        "completed": 1,
        "stopped": 0,
        "failed": 0,
        "infeasible": 0,
        "unfinished": 2,
    }


def test_the_other_objectives_break_ties() -> None:
    tied = {"val_accuracy": [0.7, 0.7, 0.7]}
    assert results.ranked(tiny(**tied, parameters=[20, 10, 15]))["trial"].tolist() == ["a-00001", "b-00000", "a-00000"]
    assert results.ranked(tiny(**tied, parameters=[1, 1, 1]))["trial"].tolist() == ["a-00000", "a-00001", "b-00000"]
    assert results.ranked(tiny(objectives=(("min", "parameters"),)))["trial"].tolist() == ["a-00000", "a-00001", "b-00000"]


def test_best_trials_are_one_per_arm() -> None:
    assert results.best_trials(tiny())["trial"].tolist() == ["a-00001", "b-00000"]
    assert results.best_trials(tiny(status=["completed", "stopped", "failed"]))["trial"].tolist() == ["a-00000"]
    assert results.best_trials(synthetic.empty()).empty


def test_best_so_far_follows_the_clock_not_the_table() -> None:
    frame = progress.best_so_far(tiny())
    assert frame["trial"].tolist() == ["a-00000", "a-00001", "b-00000", "a-00000", "b-00000", "a-00001"]
    assert frame["epochs_spent"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["arm_epochs_spent"].tolist() == [1, 2, 1, 3, 2, 4]
    assert frame["best"].tolist() == [0.2, 0.4, 0.4, 0.5, 0.6, 0.7]
    np.testing.assert_equal(frame["arm_best"].to_numpy(), [0.2, 0.4, np.nan, 0.5, 0.6, 0.7])
    lowest = progress.best_so_far(tiny(objectives=(("min", "val_accuracy"),)))
    assert lowest["best"].tolist() == [0.2] * 6


def test_best_so_far_never_gets_worse(search: results.Results) -> None:
    frame = progress.best_so_far(search)
    assert frame["best"].is_monotonic_increasing
    assert len(frame) == len(search.epochs)
    assert all(rows["arm_best"].dropna().is_monotonic_increasing for _, rows in frame.groupby("arm"))
    assert progress.best_so_far(search, "val_loss")["best"].is_monotonic_decreasing


def test_learning_curves(search: results.Results) -> None:
    frame = progress.learning_curves(search)
    failed = frame[frame["status"] == "failed"]
    assert failed[["trial", "epoch", "is_last"]].values.tolist() == [["cnn-00003", 1, True]]
    assert frame.groupby("trial")["is_last"].sum().eq(1).all()
    assert frame[frame["is_best"]].groupby("arm")["trial"].nunique().to_dict() == {"cnn": 1, "resnet": 1, "vit": 1}
    last = frame[frame["is_last"] & (frame["status"] != "failed")].set_index("trial")["value"]
    pd.testing.assert_series_equal(last, search.trials.set_index("trial")["val_accuracy"][last.index], check_names=False)


def test_last_values(search: results.Results) -> None:
    frame = progress.last_values(search)
    assert len(frame) == 24
    assert frame.loc[frame["status"] == "failed", "value"].isna().all()
    assert frame.loc[frame["is_best"], "trial"].tolist() == ["cnn-00000", "resnet-00004", "vit-00004"]
    assert progress.trials_without_rows(search, frame.dropna(subset="value")) == {"failed": 1}


@pytest.mark.parametrize("function", [progress.learning_curves, progress.best_so_far, progress.last_values])
def test_progress_needs_a_known_metric_with_data(function: Any, search: results.Results) -> None:
    with pytest.raises(UnknownNameError, match="unknown metric 'macs'"):
        function(search, "macs")
    with pytest.raises(InputError, match="no values of train_loss"):
        function(tiny(), "train_loss")
    with pytest.raises(InputError, match="Columns with data: none"):
        function(synthetic.empty(), "val_accuracy")


def test_arms_table() -> None:
    table = summary.arms_table(tiny(status=["completed", "stopped", "running"]))
    expected = pd.DataFrame(
        {
            "arm": ["a", "b"],
            "trials": [2, 1],
            "completed": [1, 0],
            "stopped": [1, 0],
            "failed": [0, 0],
            "infeasible": [0, 0],
            "unfinished": [0, 1],
            "best_trial": ["a-00000", None],
            "value": [0.5, np.nan],
            "parameters": [10.0, np.nan],
            "epochs": [4, 2],
            "train_s": [12.0, 6.0],
        }
    )
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    assert summary.arms_table(synthetic.empty()).empty


def test_arms_table_of_a_stage(digits: results.Results) -> None:
    assert summary.arms_table(digits)["trials"].tolist() == [8, 8, 8]
    assert summary.arms_table(digits, stage="confirm")["trials"].tolist() == [2, 2, 2]


def test_time_shares() -> None:
    table = time_use.time_shares(tiny()).set_index("worker")
    assert table.index.tolist() == ["unknown", "w1", "w2", time_use.TOTALS["worker"]]
    assert table["epochs"].tolist() == [2, 2, 2, 6]
    assert table["train_s"].tolist() == [6.0, 5.0, 7.0, 18.0]
    assert table["total_s"].tolist() == [6.0, 6.0, 7.0, 19.0]
    assert table.loc["w1", "wait_share"] == pytest.approx(1 / 6)
    assert table.loc["w2", "wait_share"] == 0.0


def test_the_time_expected_counts_a_checkpoint_as_often_as_there_was_one() -> None:
    """Trial a-00000 took 1 s to build and 1 and 4 s for its epochs, of which one had a checkpoint of 3 s: 4 s an epoch."""
    found = tiny(build_s=[1.0, None, None])
    found.epochs.loc[(found.epochs["trial"] == "a-00000") & (found.epochs["epoch"] == 2), "checkpoint_s"] = 3.0
    assert summary.expected_seconds(found, [("a-00000", 10)]) == pytest.approx(1 + 10 * 4)
    assert summary.expected_seconds(found, [("a-00000", 10), ("a-00001", 2)]) == pytest.approx(41 + 2 * 3.5)
    assert summary.expected_seconds(found, [("c-00000", 1)]) is None


def test_the_sampling_error_by_hand() -> None:
    """Half the width is sqrt(z2 * (p * (1 - p) + z2 / 4)) / (1 + z2), where z2 is 1.96 squared over the number of images."""
    assert summary.sampling_error(0.5, 100) == pytest.approx(0.0961, abs=1e-4)
    assert summary.sampling_error(0.9, 7_178) == pytest.approx(0.00694, abs=1e-5)
    assert summary.sampling_error(1.0, 100) == pytest.approx(0.0185, abs=1e-4), "nothing is certain because all were right"


def test_shares_sum_to_one(digits: results.Results) -> None:
    table = time_use.time_shares(digits)
    assert table["total_s"].iloc[-1] == pytest.approx(table["total_s"].iloc[:-1].sum())
    assert table[[f"{name}_share" for name in time_use.ACTIVITIES]].sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert time_use.time_shares(synthetic.empty()).empty


def test_repetitions_change_nothing_that_is_said_about_the_search() -> None:
    without, repeated = synthetic.build(), synthetic.build(ablation_seeds=4, confirm_seeds=2)
    values = results.at_stage(repeated, "ablation").trials["val_accuracy"]
    assert values.max() > without.trials["val_accuracy"].max(), "a repetition would win if it could"
    for function in (summary.arms_table, time_use.time_shares, results.comparable, results.ranked, results.best_trials):
        # A column without any value may be of another type where other stages fill it.
        frames = [function(found).drop(columns="parent", errors="ignore") for found in (repeated, without)]
        pd.testing.assert_frame_equal(*frames, check_dtype=False)


def test_repetitions_compete_with_each_other() -> None:
    repeated = synthetic.build(ablation_seeds=4)
    alone = results.at_stage(repeated, "ablation")
    assert len(results.ranked(alone)) == 11
    assert summary.arms_table(repeated, stage="ablation")["best_trial"].str.contains("-00000-s").all()
