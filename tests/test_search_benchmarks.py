"""The comparison of searches on recorded curves and made-up tasks, in a tiny form: ``benchmarks/search``."""

from __future__ import annotations

import runpy
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from sweeper.replay import clock
from sweeper.replay.curves import read
from sweeper.study.space import Choice, Float, Space
from tests.test_replay import made

SCRIPTS = Path(__file__).parents[1] / "benchmarks" / "search"

Printed = Callable[..., list[list[str]]]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Printed:
    """Runs a script in this process: the cells of the tables it prints, then the words of the lists."""
    monkeypatch.syspath_prepend(SCRIPTS)

    def run(script: str, *arguments: object) -> list[list[str]]:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
        lines = capsys.readouterr().out.splitlines()
        table = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
        return table + [line.split() for line in lines if line.startswith("- ")]

    return run


@pytest.mark.long
def test_peers_and_ours_are_in_one_table(printed: Printed, tmp_path: Path) -> None:
    peers = [["Optuna TPE", "none"], ["Optuna TPE", "Hyperband"], ["random", "Ray ASHA"]]
    wanted = ["/".join(name) for name in peers]
    path = made(tmp_path)
    head, reference, *rows = printed(
        "policies.py", path, "--seeds", 1, "--reference-seeds", 2, "--peers", "--policies", "tpe/asha", *wanted
    )
    assert head[-2:] == ["speed-up", "90 %"]
    assert reference[:2] == ["random", "none"] and float(reference[-2]) >= 1
    assert [row[:2] for row in rows] == [["tpe", "asha"], *peers]
    assert all(0 <= float(cell) <= 2 for row in rows for cell in row[2:7])
    assert min(float(row[6]) for row in rows) < 0.5, "the table holds no secret: a surrogate finds a good configuration"


@pytest.mark.parametrize(
    ("name", "rungs"),
    [
        (("Optuna TPE", "none"), {9}),
        (("Optuna TPE", "Hyperband"), {1, 3, 9}),
        (("random", "Ray ASHA"), {1, 4, 9}),
    ],
)
def test_a_peer_takes_every_configuration_once_and_stops_at_its_own_rungs(
    name: tuple[str, str], rungs: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    from peers import PEERS

    task = read(made(tmp_path), ["one"])[0]
    events = list(clock.run(PEERS[name](task, 7), workers=3, budget_s=1e9))
    assert repr(events) == repr(list(clock.run(PEERS[name](task, 7), workers=3, budget_s=1e9))), "one seed, one search"
    epochs = Counter(event.row for event in events)
    assert len(epochs) == len({event.trial for event in events}) == 60
    assert set(epochs.values()) == rungs


def test_a_suggestion_becomes_the_nearest_configuration_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    from peers import Nearest

    space = Space(architecture="a", model={"rate": Float(low=0.01, high=1.0, log=True, default=0.1), "kind": Choice("a", "b")})
    rows: list[dict[str, Any]] = [
        {"rate": 0.1, "kind": "b"},
        {"rate": 1.0, "kind": "a"},
        {"rate": 0.2, "kind": "a"},
        {"kind": "b"},
    ]
    nearest = Nearest(space, rows)
    assert nearest.take({"rate": 0.1, "kind": "a"}) == 2, "of another kind is as far as from one end of the range to the other"
    assert nearest.take({"rate": 0.1, "kind": "a"}) == 1
    assert nearest.take({"rate": 0.011, "kind": "b"}) == 3, "what does not exist is at the low end"
    assert nearest.take({"rate": 0.011, "kind": "b"}) == 0
    assert nearest.num_left == 0


@pytest.mark.long
def test_made_up_tasks_are_noise_and_perfect(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import made_up

    monkeypatch.setattr(made_up, "TASKS", 1)
    early, late = np.array([values[[0, -1]] for values in made_up.noise()[0].values]).T
    assert abs(np.corrcoef(early, late)[0, 1]) < 0.2 and early.max() <= late.min()
    values = np.array(made_up.perfect()[0].values)
    assert (np.argsort(values, axis=0) == np.argsort(values[:, :1], axis=0)).all()
    found = printed("policies.py", "--made-up", "--seeds", 1, "--policies", "random/promote")
    assert [row[1] for row in found if row[0] == "random"] == ["none", "promote", "none", "promote", "promote without audits"]
    (_, name, *_), (_, other, *_) = found[-2:]
    assert (name, other) == ("random/promote", "random/promote")


def test_epochs_without_audits_begin_more_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import made_up
    import policies

    task = made_up.perfect()[0]
    search = policies.ours(("random", "promote"), 2, 1)
    audited, bare = (
        sum(event.epoch == 1 for event in run(task, 10 * task.mean_training_s, 0))
        for run in (search, policies.without_audits(search))
    )
    assert bare > audited


def truth(folder: Path) -> Path:
    """A hundred networks of which larger ones are better, up to a noise of 0.02."""
    draw = np.random.default_rng(0)
    width, kind = draw.integers(1, 101, 100), draw.integers(2, size=100)
    accuracy = 0.5 + 0.1 * np.log10(width) + 0.1 * kind
    path = folder / "truth.parquet"
    columns = {
        "config_id": range(100),
        "hp_width": width,
        "hp_kind": kind,
        "seed_values": (accuracy[:, None] + 0.02 * draw.normal(size=(100, 3))).tolist(),
        "objective_parameters": 10.0 * width,
    }
    pq.write_table(pa.table({name: list(column) for name, column in columns.items()}), path)
    knobs = {"hp_width": {"type": "int", "low": 1, "high": 100}, "hp_kind": {"type": "categorical", "choices": [0, 1]}}
    space = {"name": "truth", "format": "sweep-truth/1", "space": knobs}
    path.with_name("truth.space.yaml").write_text(yaml.safe_dump(space))
    return path


def test_fronts_are_found(printed: Printed, tmp_path: Path) -> None:
    head, *rows = printed("fronts.py", truth(tmp_path), "--seeds", 2)
    assert head == ["search", "at 2%", "at 5%", "at 10%", "speed-up", "90 %"]
    assert [row[0] for row in rows] == ["random", "trees", "Optuna NSGA-II", "Optuna TPE"]
    assert all(0 <= float(cell) <= 1 for row in rows for cell in row[1:4])
    assert float(rows[0][3]) > 0


def test_what_was_found_is_the_truth_of_the_front_that_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    from fronts import Truth

    # Median 0.5 and best 0.9; sizes from 10 to 1000. The last one shows more than it has.
    table = Truth(
        space=Space(architecture="a", model={}),
        configurations=[{}] * 5,
        shown=np.array([0.5, 0.7, 0.9, 0.1, 0.95]),
        accuracy=np.array([0.5, 0.7, 0.9, 0.1, 0.4]),
        parameters=np.array([10.0, 10.0, 100.0, 1000.0, 100.0]),
    )
    whole = 0.5 * 1.0 + 0.5 * 0.5  # 0.9 at half the width, then 0.7 up to all of it
    assert table.found([1]) == pytest.approx(0.5 / whole)
    assert table.found([0, 1, 2, 3]) == pytest.approx(1.0)
    assert table.found([2, 4]) == pytest.approx(0.0), "the better one is not seen"
