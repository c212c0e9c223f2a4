"""`sweeper benchmark`: what it measures, prints and draws."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sweeper.cli import cli
from sweeper.errors import KnobError, UnknownNameError
from sweeper.plots._inference import inference


@pytest.mark.long
def test_it_measures_each_architecture_in_a_process_of_its_own(tmp_path: Path) -> None:
    shape = ["--input-shape", "8,8,1", "--batch", "1", "--batch", "2", "--runs", "3"]
    command = [sys.executable, "-m", "sweeper", "benchmark", "cnn", "lenet", *shape, "--out", str(tmp_path), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, ""), "TensorFlow has messages of its own"
    facts = json.loads(result.stdout)
    found = [(row["architecture"], row["batch"]) for row in facts["benchmarks"]]
    assert found == [("cnn", 1), ("lenet", 1), ("cnn", 2), ("lenet", 2)]
    for row in facts["benchmarks"]:
        assert 0 < row["low_ms"] <= row["median_ms"] <= row["high_ms"]
        assert row["images_per_s"] == pytest.approx(1000 * row["batch"] / row["median_ms"])
        assert row["weights_mb"] * 1e6 >= 4 * row["parameters"], "float32 weights, batch statistics beside the trainable ones"
        assert row["macs"] > 0
    assert {path.name for path in tmp_path.iterdir()} == {
        f"inference_batch{batch}.{kind}" for batch in (1, 2) for kind in ("png", "svg")
    }


def test_faults_are_named_before_anything_runs() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet'"):
        CliRunner().invoke(cli, ["benchmark", "cnn", "resnett"], catch_exceptions=False)
    with pytest.raises(KnobError, match="hybrid has no published variants"):
        CliRunner().invoke(cli, ["benchmark", "hybrid:18"], catch_exceptions=False)


def test_the_figure_has_the_fastest_on_top_and_every_number() -> None:
    row = {"batch": 8, "runs": 9, "macs": 1, "weights_mb": 1.0, "peak_memory_mb": 1.0, "device": "a device"}
    rows = [
        {
            **row,
            "architecture": "slow",
            "median_ms": 20.0,
            "low_ms": 19.0,
            "high_ms": 30.0,
            "images_per_s": 400.0,
            "parameters": 5,
        },
        {
            **row,
            "architecture": "fast",
            "median_ms": 10.0,
            "low_ms": 9.0,
            "high_ms": 11.0,
            "images_per_s": 800.0,
            "parameters": 7,
        },
    ]
    figure = inference(rows)
    times, rates = figure.axes
    assert [label.get_text() for label in times.get_yticklabels()] == ["slow\n5", "fast\n7"]
    assert [text.get_text() for text in times.texts] == ["20 ms", "10 ms"]
    assert [text.get_text() for text in rates.texts] == ["400/s", "800/s"]
