"""A study whose results lie in a bucket, with the command a user gives, real workers and real training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Kind
from sweeper.storage.objects import ObjectPlace
from tests.buckets import environment

pytestmark = [pytest.mark.ray, pytest.mark.long]

TRIALS, MAX_EPOCHS = 3, 16
EPOCHS = TRIALS * MAX_EPOCHS
"""Of the whole study: nothing stops a trial early."""

FIXED = {
    "num_blocks": 2, "width": 16, "convolutions_per_block": 1, "dense_units": 64, "batch_size": 32, "attention": "none",
    "head": "flatten", "kernel_size": 3, "batch_norm": True, "dropout": 0.0, "dense_dropout": 0.1, "optimizer": "adam",
    "label_smoothing": 0.0,
}  # fmt: skip


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = np.round(digits.images * 255 / 16).astype(np.uint8)[..., None], digits.target.astype(np.int64)
    splits = {"train": slice(0, 120), "validation": slice(120, 180)}
    np.savez(tmp_path / "digits.npz", **{f"{axis}_{name}": values[part] for name, part in splits.items()
                                         for axis, values in (("x", images), ("y", labels))})  # fmt: skip
    study = {
        "name": "tiny",
        "dataset": {"name": "arrays", "path": str(tmp_path / "digits.npz")},
        "arms": {"cnn": {"fixed": FIXED}},
        "budget": {"trials": TRIALS, "max_epochs": MAX_EPOCHS},
        "search": {"sampler": "random"},
        "stopping": {"rule": "none"},
    }
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(study))
    return file


def test_a_study_in_a_bucket_is_interrupted_and_resumed(bucket: ObjectPlace, s3_address: str, study_file: Path) -> None:
    results = bucket / "deep" / "results"
    study = StudyFolder(results / "tiny")

    def start(*arguments: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("KERAS_HOME", "KERAS_BACKEND", "RAY_ADDRESS")}
        return subprocess.Popen(
            [sys.executable, "-m", "sweeper", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=kept | environment(s3_address),
            cwd=study_file.parent,
        )

    def run(*arguments: str) -> str:
        process = start(*arguments)
        output = process.communicate(timeout=240)[0]
        assert process.returncode == 0, output
        assert "Traceback" not in output
        return output

    process = start("launch", str(study_file), "--results", str(results), "--num-cpus", "1")
    deadline = time.monotonic() + 150
    while not (study.exists and sum(event.kind is Kind.EPOCH for event in study.read()) >= 5):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate(timeout=30)[0]
        time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=90)[0]
    assert process.returncode == 130, output
    assert f"sweeper resume {study.folder}" in output
    assert study.owner is None
    interrupted = study.read()
    known = sum(event.kind is Kind.EPOCH for event in interrupted)
    assert known < EPOCHS

    run("resume", str(study.folder), "--num-cpus", "1")
    events = study.read()
    assert events[: len(interrupted)] == interrupted
    epochs = [(event.trial, event.epoch) for event in events if event.kind is Kind.EPOCH]
    assert len(epochs) == len(set(epochs)) == EPOCHS, "no epoch lost, none repeated"
    attempts = {event.attempt for event in events if event.kind is Kind.EPOCH and event.epoch and event.epoch > 1}
    assert 2 in attempts, "interrupted trials went on from their checkpoints"
    kept = study.folder / "checkpoints"
    assert all(len((kept / trial).tree()) == 1 for trial in sorted(set(kept.names()))), "the last one of each"
    table = pq.read_table(pa.BufferReader((study.folder / "tables" / "trials.parquet").read_bytes()))
    assert table.column("status").to_pylist() == ["completed"] * TRIALS

    facts = json.loads(run("status", "tiny", "--results", str(results), "--json"))
    assert (facts["folder"], facts["is_finished"], facts["epochs"]) == (str(study.folder), True, EPOCHS)
    assert run("export", str(study.folder)).split() == [f"{study.folder}/export/{name}.csv" for name in ("trials", "epochs")]
    assert (study.folder / "export" / "epochs.csv").read_bytes().count(b"\n") == EPOCHS + 1
    figures = run("pareto", str(study.folder)).split()[-2:]
    assert figures == [f"{study.folder}/figures/pareto_parameters_val_accuracy.{ending}" for ending in ("png", "svg")]
    assert (study.folder / "figures" / "pareto_parameters_val_accuracy.png").read_bytes().startswith(b"\x89PNG")
    run("audit", str(study.folder))


NODES = """
import os, sys
import ray
from sweeper.driver import nodes
from sweeper.errors import ResultsFolderError
from sweeper.study.spec import ResourcesSpec

results, address = sys.argv[1:]
os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9" if "WRONG" in os.environ else address
ray.init(address="local", num_cpus=1, logging_level="ERROR", log_to_driver=False)
os.environ["AWS_ENDPOINT_URL"] = address
try:
    nodes.check_results(results, ResourcesSpec())
    print("every node can write")
except ResultsFolderError as error:
    print(error)
"""


@pytest.mark.parametrize("is_wrong", [False, True])
def test_every_node_is_asked_whether_it_can_write_to_the_bucket(bucket: ObjectPlace, s3_address: str, is_wrong: bool) -> None:
    variables = os.environ | environment(s3_address) | ({"WRONG": "1"} if is_wrong else {})
    command = [sys.executable, "-c", NODES, str(bucket / "results"), s3_address]
    output = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=True).stdout
    if is_wrong:
        assert "it cannot write to the results folder" in output
        assert "no answer at http://127.0.0.1:9" in output
        assert "AWS_DEFAULT_REGION and AWS_ENDPOINT_URL." in output
    else:
        assert output.strip().endswith("every node can write")
    assert bucket.tree() == {}, "nothing is left behind"
