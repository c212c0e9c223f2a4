"""The confirm stage: who is confirmed, who is left out of a race, what a trial of it leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweeper.datasets import Split
from sweeper.datasets._splits import carved_anew
from sweeper.errors import InputError, LedgerError
from sweeper.ledger import predictions
from sweeper.ledger.records import Stage, Status
from sweeper.search import confirmation, details, repetition
from sweeper.search.study import Search
from sweeper.storage import place
from tests.test_repetition import best, searched
from tests.test_search import curve, search_of, seconds, study
from tests.virtual_clock import VirtualClock


def test_the_best_of_each_arm_are_trained_on_fresh_paired_seeds() -> None:
    search = searched().search
    planned = confirmation.plan(search, per_arm=1, num_seeds=3)
    parents = best(search)
    assert [(one.parent, one.seed) for one in planned] == [(parent, seed) for seed in (1001, 1002, 1003) for parent in parents]
    assert {one.stage for one in planned} == {Stage.CONFIRM}
    assert all(one.configuration == search.trials[one.parent].configuration for one in planned)
    assert not {one.trial for one in planned} & {one.trial for one in repetition.plan(search, parents, 1000)}
    more = confirmation.plan(search, per_arm=2, num_seeds=1)
    assert [one.parent for one in more] == [
        trial.trial for arm in search.spec.arms for trial in confirmation.best(search, arm)[:2]
    ]


def test_they_are_trained_to_their_end_and_a_second_call_adds_what_is_missing() -> None:
    clock = searched()
    clock.record(details.planned_event(confirmation.plan(clock.search, per_arm=1, num_seeds=2)))
    clock.run()
    confirmed = clock.search.of_stage(Stage.CONFIRM)
    assert {(trial.status, trial.epoch) for trial in confirmed} == {(Status.COMPLETED, clock.search.spec.budget.max_epochs)}
    assert confirmation.plan(clock.search, per_arm=1, num_seeds=2) == []
    assert {one.seed for one in confirmation.plan(clock.search, per_arm=1, num_seeds=4)} == {1003, 1004}
    folded = Search(clock.search.spec, clock.search.spaces).fold(clock.log)
    assert folded.trials == clock.search.trials


def test_a_search_that_has_not_ended_is_not_confirmed() -> None:
    unfinished = VirtualClock(search_of(study()), 2, curve(0), seconds(0))
    unfinished.run(max_events=9)
    with pytest.raises(InputError, match="of its search left"):
        confirmation.plan(unfinished.search, per_arm=1, num_seeds=2)


def test_a_race_is_looked_at_after_two_seeds() -> None:
    clock = searched(trials=6, arms=3)
    ends = {"arm0": (0.9, 0.91), "arm1": (0.899, 0.912), "arm2": (0.1, 0.112)}

    def value(trial: str, epoch: int) -> float:
        return ends[trial[:4]][int(trial[-1]) - 1] if "-s100" in trial else 0.5

    clock.curve = value
    race = {"per_arm": 1, "num_seeds": 4, "is_racing": True}
    first = confirmation.plan(clock.search, **race)  # type: ignore[arg-type]
    assert {one.seed for one in first} == {1001, 1002}
    clock.record(details.planned_event(first))
    assert confirmation.plan(clock.search, **race) == [], "until they have ended"  # type: ignore[arg-type]
    clock.run()
    rest = confirmation.plan(clock.search, **race)  # type: ignore[arg-type]
    assert {(one.arm, one.seed) for one in rest} == {(arm, seed) for arm in ("arm0", "arm1") for seed in (1003, 1004)}
    assert len(confirmation.plan(clock.search, per_arm=1, num_seeds=4)) == 6, "without a race all go on"


def test_the_best_is_left_out_of_a_race_in_at_most_five_percent_of_studies() -> None:
    stream = np.random.default_rng(0)
    lost = 0
    for _ in range(2000):  # the best is better by nothing: the hardest case
        values = stream.normal(size=(4, 2)) + stream.normal(size=2)
        lost += "0" in confirmation.behind({str(arm): tuple(own) for arm, own in enumerate(values.tolist())})
    assert 0 < lost / 2000 <= 0.05
    assert confirmation.behind({"a": (0.5, 0.5), "b": (0.4, 0.4)}) == {}, "equal values do not tell how far they vary"
    assert confirmation.behind({"a": (0.5, 0.6)}) == {}


def test_a_carve_keeps_the_numbers_of_each_class_and_every_image() -> None:
    labels = np.repeat(np.arange(3), [20, 14, 8]).astype(np.int64)
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(2, axis=1)
    rows = np.arange(len(labels))
    held_out = rows % 4 == 0
    train, validation = Split(images[~held_out], labels[~held_out]), Split(images[held_out], labels[held_out])
    first, second, numbers = carved_anew(train, validation, 5)
    pool = np.concatenate([train.images, validation.images])
    assert np.array_equal(second.images, pool[numbers])
    assert sorted([*first.images[:, 0, 0, 0], *second.images[:, 0, 0, 0]]) == rows.tolist()
    for before, after in ((train, first), (validation, second)):
        assert np.array_equal(np.bincount(before.labels), np.bincount(after.labels))
        assert np.array_equal(labels[after.images[:, 0, 0, 0]], after.labels)
    assert np.array_equal(carved_anew(train, validation, 5)[2], numbers)
    assert not np.array_equal(carved_anew(train, validation, 6)[2], numbers)


def _parts(count: int, offset: float) -> list[Any]:
    probabilities = np.full((count, 2), 0.25 + offset, np.float32)
    return [("test", np.arange(count), np.zeros(count, np.int64), probabilities)]


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder = place(tmp_path)
    assert predictions.read(folder) == (None, ())
    for trial, count in (("b-00000-s1001", 3), ("a-00000-s1001", 2)):
        predictions.write(folder / "predictions", trial, _parts(count, 0.125), ("cat", "dog"))
    table, names = predictions.read(folder)
    assert names == ("cat", "dog")
    assert table is not None
    assert table["trial"].to_pylist() == ["a-00000-s1001"] * 2 + ["b-00000-s1001"] * 3
    assert table["probabilities"].to_pylist() == [[0.375, 0.375]] * 5
    assert len(pd.read_parquet(tmp_path / "predictions")) == 5
    (tmp_path / "predictions" / "a-00000-s1001.parquet").write_bytes(b"PAR1")
    with pytest.raises(LedgerError, match=r"a-00000-s1001.parquet holds no predictions any more .* Remove it"):
        predictions.read(folder)
