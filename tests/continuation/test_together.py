"""Seeds together on JAX: the numbers of each are those it has alone, up to rounding, whatever becomes of the others."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper import catalog
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import METRICS, Kind
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training.devices import environment
from tests.conftest import QUICKLY_COMPILED
from tests.continuation.kit import BASE, SIZES, metrics, write_data
from tests.continuation.together import EPOCHS

pytestmark = pytest.mark.long

EVERYTHING = {
    "dropout": 0.2,
    "mix": "mixup",
    "flip": "horizontal",
    "ema_momentum": 0.9,
    "schedule": "one_cycle",
    "clip_norm": 1.0,
}

AUGMENTED = {"rand_augment": 0.1, "cutout": 0.3, "rotation_degrees": 10.0, "mix": "cutmix", "optimizer": "nadam"}

OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet": ("resnet", {"dropout": 0.2, "optimizer": "sgd", "momentum": 0.9}),
    "vit": ("vit", {"dropout": 0.1, "weight_decay": 0.01, "optimizer": "adamw"}),
    "augmented": ("cnn", AUGMENTED),
}


def trained(
    folder: Path, asked: dict[str, tuple[str, dict[str, Any]]], precision: str = "float32", all_ways: bool = False
) -> Any:
    """What a new process, set up as a worker's, answers."""
    write_data(folder / "data.npz")
    configurations = [
        (name, architecture, {**catalog.load("architecture", architecture).tiny, **SIZES.get(architecture, {}), **BASE, **knobs})
        for name, (architecture, knobs) in asked.items()
    ]
    job = {
        "data": str(folder / "data.npz"), "checkpoints": str(folder / "checkpoints"), "configurations": configurations,
        "precision": precision, "all_ways": all_ways, "answer": str(folder / "answer.json"),
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, "-m", "tests.continuation.together", str(folder / "job.json")],
        cwd=Path(__file__).parents[2],
        env=os.environ | environment(TrainingSpec(backend="jax"), ResourcesSpec(), str(folder / "keras")) | QUICKLY_COMPILED,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "answer.json").read_text())


def check_close(found: dict[str, Any], expected: dict[str, Any], rtol: float = 1e-3) -> None:
    """Rows of several trials; one image more or less may be right where its logits are nearly equal."""
    assert found.keys() == expected.keys()
    for trial, rows in found.items():
        np.testing.assert_allclose(metrics(rows), metrics(expected[trial]), rtol=rtol, atol=1 / 30, err_msg=trial)
        losses = [[row["train_loss"], row["val_loss"]] for row in rows]
        np.testing.assert_allclose(
            losses, [[row["train_loss"], row["val_loss"]] for row in expected[trial]], rtol=rtol, err_msg=trial
        )


class TestWhole:
    @pytest.fixture(scope="class")
    @classmethod
    def told(cls, tmp_path_factory: pytest.TempPathFactory) -> Any:
        return trained(tmp_path_factory.mktemp("together"), {"cnn": ("cnn", EVERYTHING)}, all_ways=True)["cnn"]

    def test_each_comes_to_what_it_comes_to_alone(self, told: Any) -> None:
        check_close(told["together"], told["alone"])
        rows = [tuple(row[name] for name in METRICS) for own in told["together"].values() for row in own]
        assert len(set(rows)) == 3 * EPOCHS, "the seeds differ"

    def test_rows_say_how_many_there_were_and_what_each_took(self, told: Any) -> None:
        first = [rows[0] for rows in told["together"].values()]
        assert [json.loads(row["versions"])["seeds together"] for row in first] == [3, 3, 3]
        assert all("seeds together" not in row["versions"] for rows in told["alone"].values() for row in rows)
        for name in ("import_s", "build_s", "train_s", "evaluate_s"):
            assert len({row[name] for row in first}) == 1 and first[0][name] > 0, name
        assert all(row["import_s"] is row["build_s"] is None for rows in told["together"].values() for row in rows[1:])

    def test_a_program_serves_the_next_group(self, told: Any) -> None:
        assert not told["together"]["t-s1"][0]["is_program_reused"]
        assert told["mixed"]["rows"]["t-s3-mixed"][0]["is_program_reused"]

    def test_states_of_a_group_are_let_go_when_another_trial_begins(self, told: Any) -> None:
        assert told["are_states_kept"] is False

    def test_what_a_checkpoint_holds_is_reported_first(self, told: Any) -> None:
        assert {trial: metrics(rows) for trial, rows in told["again"].items()} == {
            trial: metrics(rows[1:]) for trial, rows in told["together"].items()
        }
        assert {row["attempt"] for rows in told["again"].values() for row in rows} == {1}

    def test_members_may_be_at_different_epochs_and_one_diverges(self, told: Any) -> None:
        rows = told["mixed"]["rows"]
        assert [row["epoch"] for row in rows["t-s1-mixed"]] == [2, 3]
        [diverged] = rows["t-s2-mixed"]
        assert math.isnan(diverged["train_loss"]) and math.isnan(diverged["val_accuracy"])
        assert told["mixed"]["kept"] == ["epoch-00001.npz"], "of who diverged nothing is written"
        others = {trial: rows[f"{trial}-mixed"] for trial in ("t-s1", "t-s3")}
        check_close(others, {"t-s1": told["alone"]["t-s1"][1:], "t-s3": told["alone"]["t-s3"]})

    def test_a_member_goes_on_alone(self, told: Any) -> None:
        [row] = told["mixed"]["alone"]
        assert row["epoch"] == 3 and "seeds together" not in row["versions"]
        check_close({"t": [row]}, {"t": told["alone"]["t-s1"][2:]})

    def test_neither_portions_of_images_nor_a_loop_over_batches_changes_anything(self, told: Any) -> None:
        assert {trial: metrics(rows) for trial, rows in told["portions"].items()} == {
            trial: metrics(rows) for trial, rows in told["together"].items()
        }
        check_close(told["looped"], told["alone"])


STUDY = """
name: seeds
dataset: {name: digits, fraction: 0.2}
arms: {cnn: {fixed: {num_blocks: 2, width: 16, dense_units: 64, batch_size: 32}}}
budget: {trials: 1, max_epochs: 2}
search: {sampler: random}
training: {backend: jax}
"""


@pytest.mark.ray
@pytest.mark.long
def test_a_sweep_repeats_a_trial_with_seeds_together(tmp_path: Path) -> None:
    (tmp_path / "seeds.yaml").write_text(STUDY)

    def sweeper(*arguments: str) -> str:
        command = [sys.executable, "-m", "sweeper", *arguments]
        environment = os.environ | QUICKLY_COMPILED | {"PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout

    sweeper("launch", "seeds.yaml", "--quiet")
    sweeper("ablate", "seeds", "--seeds", "3", "--seeds-together", "3", "--quiet")
    events = StudyFolder(tmp_path / "results" / "seeds").read()
    rows = [event for event in events if event.kind is Kind.EPOCH and event.parent is not None]
    assert [(row.trial, row.epoch) for row in rows] == [(f"cnn-00000-s{seed}", epoch) for epoch in (1, 2) for seed in (1, 2, 3)]
    assert {json.loads(row.versions or "{}").get("seeds together") for row in rows} == {3}
    assert len({row.worker for row in rows}) == 1
    assert "nothing lost, nothing repeated" in sweeper("audit", "seeds")
    assert "it was trained together with other seeds, as one program" in sweeper("retrain", "seeds", "cnn-00000-s2")


@pytest.mark.long
@pytest.mark.parametrize(("precision", "names"), [("float32", ["vit", "augmented"]), ("mixed_float16", ["resnet"])])
def test_other_networks_and_recipes(precision: str, names: list[str], tmp_path: Path) -> None:
    """Under half precision the loss of each is scaled by a factor of its own; JAX has no attention in it on CPUs."""
    for told in trained(tmp_path, {name: OTHERS[name] for name in names}, precision).values():
        check_close(told["together"], told["alone"], rtol=1e-3 if precision == "float32" else 3e-2)
