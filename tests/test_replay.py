"""Replay: recorded curves are searched as a study is, on a clock of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from sweeper.cli import cli
from sweeper.errors import InputError
from sweeper.ledger.ledger import StudyFolder
from sweeper.replay import scores
from sweeper.replay.clock import Observed, Policy, replay
from sweeper.replay.curves import Task, read
from tests.driverless import drive
from tests.test_search import study

SPACE = {
    "name": "made",
    "format": "sweep-curves/1",
    "space": {
        "hp_width": {"type": "int", "low": 1, "high": 100, "log": True},
        "hp_rate": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
        "hp_kind": {"type": "categorical", "choices": ["a", "b"]},
    },
}


def made(folder: Path, count: int = 60, epochs: int = 9, **changed: Any) -> Path:
    """Two tasks in which a rate near 0.03 and kind b are best, and early values tell late ones."""
    draw = np.random.default_rng(0)
    rows: dict[str, list[Any]] = {
        name: [] for name in ("task", "config_id", "hp_width", "hp_rate", "hp_kind", "values", "time_s")
    }
    for task in ("one", "two"):
        for number in range(count):
            width, rate, kind = int(draw.integers(1, 101)), float(10 ** draw.uniform(-3, 0)), "ab"[int(draw.integers(2))]
            end = 1 - 0.2 * abs(np.log10(rate) + 1.5) - 0.2 * (kind == "a") + 0.001 * draw.normal()
            values = [end * (1 - 0.5**epoch) for epoch in range(1, epochs + 1)]
            seconds = np.cumsum([1 + width / 100] * epochs).tolist()
            for name, value in zip(rows, (task, number, width, rate, kind, values, seconds), strict=True):
                rows[name].append(value)
    rows |= changed
    path = folder / "made.parquet"
    pq.write_table(pa.table(rows), path)
    path.with_name("made.space.yaml").write_text(yaml.safe_dump(SPACE))
    return path


def policy(sampler: str = "random", rule: str = "none", workers: int = 2) -> Policy:
    return Policy(sampler=sampler, rule=rule, grace_epochs=1, reduction_factor=3, workers=workers)


def searched(task: Task, how: Policy, seed: int = 0, trainings: float = 6) -> list[Observed]:
    return list(replay(task, how, budget_s=trainings * task.mean_training_s, seed=seed))


@pytest.mark.parametrize("rule", ["none", "asha", "promote"])
@pytest.mark.parametrize("sampler", ["random", "tpe", "trees"])
def test_a_search_takes_what_the_table_has_and_keeps_to_the_clock(sampler: str, rule: str, tmp_path: Path) -> None:
    task = read(made(tmp_path), ["two"])[0]
    events = searched(task, policy(sampler, rule))
    assert repr(events) == repr(searched(task, policy(sampler, rule))), "the same seed gives the same search"
    times = [event.sim_time_s for event in events]
    assert times == sorted(times)
    assert times[-1] <= 6 * task.mean_training_s
    epochs: dict[int, int] = {}
    for event in events:
        epochs[event.row] = epochs.get(event.row, 0) + 1
        assert event.epoch == epochs[event.row], "every epoch once and in order"
        assert event.value == task.values[event.row][event.epoch - 1]
    if rule == "none":
        assert sum(event.epoch == 9 for event in events) >= len(epochs) - 2


@pytest.mark.long
def test_surrogates_find_more_than_chance(tmp_path: Path) -> None:
    tasks = read(made(tmp_path, count=120))

    def regret(how: Policy) -> float:
        found = []
        for task in tasks:
            for seed in range(2):
                events = searched(task, how, seed, trainings=8)
                found.append(scores.regrets(task, events, 8 * task.mean_training_s)[-1])
        return float(np.mean(found))

    chance = regret(policy())
    assert regret(policy("trees", "promote")) < 0.5 * chance
    assert regret(policy("tpe", "none")) < chance


def test_two_tasks_are_searched_with_seeds_of_their_own(tmp_path: Path) -> None:
    one, two = read(made(tmp_path))
    assert [event.row for event in searched(one, policy())][:8] != [event.row for event in searched(two, policy())][:8]


def test_regret_is_of_the_incumbents_end_at_its_time() -> None:
    values = [np.array([0.5, 0.6]), np.array([0.4, 0.9]), np.array([0.1, 0.2])]
    times = [np.array([1.0, 2.0])] * 3
    task = Task(
        name="t",
        space=None,
        ids=[0, 1, 2],
        configurations=[{}] * 3,
        values=values,
        times=times,
        is_cut=[False] * 3,  # type: ignore[arg-type]
    )
    told = [(1.0, 0, 1, 0.5), (2.0, 1, 1, 0.4), (3.0, 2, 1, 0.1), (4.0, 1, 2, 0.9)]
    events = [
        Observed(sim_time_s=time, trial=str(row), row=row, epoch=epoch, value=value, is_unanswered=False)
        for time, row, epoch, value in told
    ]
    found = scores.regrets(task, events, 5.0)
    assert (found[99 - 1], found[150], found[-1]) == (1.0, 1.0, 0.0), "0.6, the median, leads until 0.9 is seen"
    assert scores.sooner(found, 0.5) == pytest.approx(500 / 401, rel=0.01)
    assert scores.sooner(found, -1.0) == 0.0


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, ["replay", *map(str, arguments)], standalone_mode=False)
    if isinstance(done.exception, InputError):
        return done.exception.exit_code, done.stdout, str(done.exception)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.long
def test_the_command_writes_every_epoch(tmp_path: Path) -> None:
    path, out = made(tmp_path), tmp_path / "events.parquet"
    code, text, _ = run(
        path, "--sampler", "trees", "--stopping", "promote", "--seed", 3, "--budget-trainings", 4, "--out", out, "--json"
    )
    assert code == 0
    found = json.loads(text)
    assert [(one["task"], one["seed"]) for one in found["runs"]] == [("one", 3), ("two", 3)]
    rows = pq.read_table(out).to_pandas()
    assert list(rows) == ["seed", "task", "sim_time_s", "trial", "config_id", "epoch", "value"]
    assert len(rows) == sum(one["epochs"] for one in found["runs"])
    assert set(found["runs"][0]["regret"]) == {"0.05", "0.1", "0.2", "0.5", "1.0"}


def test_a_study_answers_what_its_rows_know(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "done")
    drive(folder, study(arms=2, trials=16, epochs=9))
    code, text, notes = run(tmp_path / "done", "--stopping", "none", "--budget-trainings", 6)
    assert code == 0
    assert "arm0" in text
    assert "would have trained on where the record ends" in notes
    assert run(tmp_path / "done", "--task", "arm7")[0] == 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"time_s": [[2.0, 1.0] + [3.0] * 7] * 120}, "the seconds must not fall"),
        ({"values": [[0.5]] * 120}, "must be of one length"),
    ],
)
def test_a_table_that_cannot_be_is_refused(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read(made(tmp_path, **changed))


def test_tasks_have_spaces_of_their_own_and_begin_with_their_default(tmp_path: Path) -> None:
    path = made(tmp_path)
    rows = pq.read_table(path)
    knob: dict[str, Any] = {"type": "categorical", "choices": [3, 7], "default": 7}
    own = {"hp_width": {**SPACE["space"]["hp_width"], "default": 5}, "hp_few": knob}  # type: ignore[index]
    own["hp_few"] = {**knob, "condition": {"hp_width": [5]}}
    widths = [5, *rows["hp_width"].to_pylist()[1:]]
    table = rows.append_column("hp_few", pa.array(["7" if width == 5 else None for width in widths]))
    pq.write_table(table.set_column(2, "hp_width", pa.array(widths)), path)
    path.with_name("made.space.yaml").write_text(yaml.safe_dump({**SPACE, "spaces": {"one": own}}, sort_keys=False))
    one, two = read(path)
    assert (one.has_defaults, two.has_defaults) == (True, False)
    assert one.configurations[0] == one.space.default() == {"hp_width": 5, "hp_few": 7}
    assert one.configurations[1] == {"hp_width": widths[1]}
    for sampler in ("random", "tpe", "trees"):
        first = {event.row for event in searched(one, policy(sampler), seed=3) if event.trial.endswith("-00000")}
        assert first == {0}, "the default is there, so it comes first"


def test_files_that_are_not_there_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path)
    assert "there is no such file" in run(tmp_path / "none.parquet")[2]
    assert "unknown task 'three'" in run(path, "--task", "three")[2]
    assert "there is no folder" in run(path, "--out", tmp_path / "no" / "x.parquet")[2]
    space = path.with_name("made.space.yaml")
    space.write_text(space.read_text().replace("type: int", "type: whole"))
    assert "in its space file, hp_width must be" in run(path)[2]
    space.unlink()
    assert "it says what the columns" in run(path)[2]
    path.write_text("no table")
    path.with_name("made.space.yaml").write_text(yaml.safe_dump(SPACE))
    assert "cannot be read as Parquet" in run(path)[2]
