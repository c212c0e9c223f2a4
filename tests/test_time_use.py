"""Where the time went: drivers, workers and arms, by value; the timeline draws it."""

from __future__ import annotations

import dataclasses
import math

import pandas as pd
import pytest

from sweeper.analysis.results import Results
from sweeper.analysis.time_use import run_of, run_starts, spans, time_shares, utilisation
from sweeper.errors import NoDataError
from sweeper.ledger.records import BEST_COLUMNS, EPOCH_COLUMNS, TRIAL_COLUMNS, Event, Kind
from sweeper.ledger.tables import runs
from sweeper.plots.timeline import frame, timeline
from tests import synthetic
from tests.test_plots import check_text, words

RUNS = pd.DataFrame(
    {"generation": [1, 2], "started": [100.0, 900.0], "ended": [140.0, 960.0], "workers": [2, 2], "ray_s": [10.0, 20.0]}
)
"""Two drivers of 40 and 60 seconds, with nothing for 760 seconds between them."""


def results(drivers: pd.DataFrame = RUNS) -> Results:
    """Two workers under the first driver, one under the second; a trial of b was interrupted and went on there."""
    rows = [
        # trial, attempt, epoch, worker, time, import, build, train, evaluate, checkpoint
        ("a-00000", 1, 1, "h:1", 120.0, 3.0, 2.0, 4.0, 0.5, 0.5),
        ("a-00000", 1, 2, "h:1", 126.0, None, None, 4.0, 1.0, 1.0),
        ("b-00000", 1, 1, "h:2", 130.0, 3.0, 5.0, 10.0, 1.0, 1.0),
        ("b-00000", 2, 2, "h:3", 950.0, 4.0, 6.0, 12.0, 2.0, 1.0),
    ]
    names = ["trial", "attempt", "epoch", "worker", "time", "import_s", "build_s", "train_s", "evaluate_s", "checkpoint_s"]
    epochs = pd.DataFrame(rows, columns=names).assign(stage="search", status="running")
    epochs["arm"] = epochs["trial"].str[0]
    trials = pd.DataFrame({"trial": ["a-00000", "b-00000"], "arm": ["a", "b"]}).assign(stage="search", status="completed")
    return Results(
        study="two",
        objectives=synthetic.OBJECTIVES,
        trials=trials.reindex(columns=[*TRIAL_COLUMNS, *BEST_COLUMNS]),
        epochs=epochs.reindex(columns=list(EPOCH_COLUMNS)),
        runs=drivers,
    )


def test_the_shares_of_arms() -> None:
    table = time_shares(results(), by="arm").set_index("arm")
    assert table.index.tolist() == ["a", "b", "all arms"]
    assert table["train_s"].tolist() == [8.0, 22.0, 30.0]
    assert table["epochs"].tolist() == [2, 2, 4]
    assert table.loc["a", "train_share"] == pytest.approx(8 / 16)


def test_utilisation_is_training_over_what_workers_were_there() -> None:
    assert utilisation(results()) == pytest.approx(30 / (2 * 40 + 2 * 60))
    older = RUNS.assign(workers=[None, 2])
    assert utilisation(results(older)) == pytest.approx(12 / (2 * 60)), "only drivers that recorded their workers count"
    assert math.isnan(utilisation(results(RUNS.iloc[:0])))


def test_every_epoch_belongs_to_the_driver_that_recorded_it() -> None:
    assert run_of(results()).tolist() == [1, 1, 1, 2]
    assert run_of(results(RUNS.iloc[1:])).isna().tolist() == [True, True, True, False]


def test_spans_leave_out_the_time_in_which_no_driver_worked() -> None:
    table = spans(results())
    assert table["trial"].tolist() == ["a-00000", "b-00000", "a-00000", "b-00000"]
    assert table["start"].tolist() == [10.0, 10.0, 20.0, 40 + 25.0]
    assert table["end"].tolist() == [20.0, 30.0, 26.0, 40 + 50.0]
    assert table["train_start"].tolist() == [15.0, 18.0, 20.0, 40 + 35.0]
    assert table["train_end"].tolist() == [19.0, 28.0, 24.0, 40 + 47.0]
    assert table["lane"].tolist() == [0, 1, 0, 0], "the third worker has the lane of the first"


def test_drivers_begin_where_the_one_before_ended() -> None:
    assert run_starts(results()) == {1.0: 0.0, 2.0: 40.0}


def test_without_known_drivers_the_first_work_is_the_beginning() -> None:
    table = spans(results(RUNS.iloc[:0]))
    assert table["start"].min() == 0.0
    assert table["end"].max() == 840.0


def test_drivers_are_read_from_their_events() -> None:
    events = [
        Event(kind=Kind.DRIVER_STARTED, time=110.0, generation=1, sequence=1, position=0, detail='{"workers": 2, "ray_s": 10.0}'),
        Event(kind=Kind.SUGGESTED, time=111.0, generation=1, sequence=2, position=0),
        Event(kind=Kind.EPOCH, time=140.0, generation=1, sequence=3, position=0),
        Event(kind=Kind.DRIVER_STARTED, time=900.0, generation=2, sequence=1, position=0, detail='{"schema": 2}'),
    ]
    assert runs(events).to_pylist() == [
        {"generation": 1, "started": 100.0, "ended": 140.0, "workers": 2, "ray_s": 10.0},
        {"generation": 2, "started": 900.0, "ended": 900.0, "workers": None, "ray_s": None},
    ]


def test_the_timeline_says_how_much_was_training() -> None:
    figure = timeline(results())
    check_text(figure)
    assert "two: 15% of the workers' time was training, 2 trials" in words(figure)
    assert "A dashed line: another driver began." in words(figure)


@pytest.mark.parametrize("size", [{}, {"num_arms": 1, "trials_per_arm": 1}, {"ablation_seeds": 2}])
def test_the_timeline_of_a_study_whose_drivers_are_not_known(size: dict[str, int]) -> None:
    check_text(timeline(synthetic.build(**size)))


def test_without_epochs_there_is_no_timeline() -> None:
    with pytest.raises(NoDataError, match="has no epoch to draw"):
        frame(synthetic.empty())
    timeless = results()
    timeless = dataclasses.replace(timeless, epochs=timeless.epochs.assign(time=math.nan))
    with pytest.raises(NoDataError):
        timeline(timeless)
