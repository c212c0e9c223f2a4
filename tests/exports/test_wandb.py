"""Offline runs of Weights & Biases: what ``wandb sync`` would upload, and what is in it."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeper.exports import wandb as exported
from sweeper.exports.trials import Study

protocol = pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="wandb is not installed; make test-exports has it")

BLOCK, HEADER = 32768, 7


def records(folder: Path) -> Iterator[Any]:
    """The records of a run: LevelDB's log format behind a header of seven bytes, each a message of W&B."""
    (file,) = folder.glob("*.wandb")
    data, at, message = file.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        message += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):
            yield protocol.Record.FromString(message)
            message = b""


def of_kind(folder: Path, kind: str) -> list[Any]:
    return [getattr(record, kind) for record in records(folder) if record.WhichOneof("record_type") == kind]


def items(entries: Any) -> dict[str, Any]:
    return {entry.key or ".".join(entry.nested_key): json.loads(entry.value_json) for entry in entries}


@pytest.fixture(scope="module")
def runs(study: Study, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    first, second = (exported.write(study, str(folder)) for _ in range(2))
    found = sorted(map(str, (folder / "wandb").glob("offline-run-*")))
    assert found == sorted(second), "older runs of the same trials are gone"
    assert len(first) == len(second) == len(study.trials)
    return {path.split(f"{study.study_id}-")[1]: Path(path) for path in second}


def test_the_real_program_would_upload_them(runs: dict[str, Path]) -> None:
    folder = next(iter(runs.values())).parents[1]
    command = [str(Path(sys.executable).with_name("wandb")), "sync", "--dry-run", *map(str, runs.values())]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert f"Would sync {len(runs)} run(s):" in done.stdout + done.stderr


def test_a_run_is_its_trial(runs: dict[str, Path], study: Study) -> None:
    (run, *_) = of_kind(runs["cnn-00000-s1"], "run")
    assert (run.run_id, run.display_name, run.project) == (f"{study.study_id}-cnn-00000-s1", "cnn-00000-s1", "two")
    assert (run.run_group, run.job_type, list(run.tags)) == ("cnn", "confirm", ["completed"])
    config = items(run.config.update)
    assert (config["learning_rate"], config["batch_norm"], config["parent"]) == (0.001, True, "cnn-00000")


def test_curves_and_what_is_known_at_the_end(runs: dict[str, Path]) -> None:
    history = [items(record.item) for record in of_kind(runs["cnn-00000"], "history")]
    assert [row["val_accuracy"] for row in history] == [pytest.approx(0.5 + 0.1 * number) for number in (1, 2, 3)]
    assert [row["_step"] for row in history] == [1, 2, 3]
    assert [row["_timestamp"] for row in history] == [1_700_000_010, 1_700_000_020, 1_700_000_030]
    summary: dict[str, Any] = {}
    for record in of_kind(runs["cnn-00000"], "summary"):
        summary |= items(record.update)
    assert (summary["parameters"], summary["train_s"]) == (1234, 4.5)
    assert [ended.exit_code for ended in of_kind(runs["cnn-00002"], "exit")] == [1], "it failed"
    assert [ended.exit_code for ended in of_kind(runs["cnn-00000"], "exit")] == [0]
    assert "val_loss" not in items(of_kind(runs["cnn-00003"], "history")[0].item), "it diverged"
