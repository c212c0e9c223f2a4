"""Whether networks fit the images: found in a process of its own, and in the words of `sweeper check`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeper.driver import networks
from sweeper.errors import SweeperError
from sweeper.study.spec import parse
from tests.conftest import Run

STUDY = """\
name: a
dataset: {name: digits, size: 10}
arms:
  cnn: {}
  vit: {points: [{patch_size: 2}, {depth: 5}]}
  small: {architecture: vit, fixed: {patch_size: 2}}
budget: {trials: 9, max_epochs: 1}
"""
IMAGES: Any = SimpleNamespace(input_shape=(10, 10, 1), num_classes=10)


@pytest.mark.long
def test_a_process_finds_the_faults_of_check(run: Run, tmp_path: Path) -> None:
    spec = parse(STUDY)
    with networks.building(spec, list(spec.arms)) as faults_of:
        faults = faults_of(IMAGES)
    (tmp_path / "study.yaml").write_text(STUDY)
    code, _, err = run("check", "study.yaml")
    assert code == 2
    assert err.splitlines()[1:] == [f"  - {fault}" for fault in faults]
    said = "'patch_size' is 4, which does not divide an image of 10x10 pixels; "
    default, point = faults
    assert default.startswith(f"arms.vit: {said}")
    assert point.startswith(f"arms.vit.points[1]: {said}")


def test_a_process_that_dies_is_no_fault_of_the_study(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(networks, "environment_beside", lambda training: {**os.environ, "PYTHONPATH": str(tmp_path)})
    (tmp_path / "keras.py").write_text("raise ImportError('abacus')")
    with (
        networks.building(parse(STUDY), ["cnn"]) as faults_of,
        pytest.raises(SweeperError, match=r"ended with 1\.\n(.*\n)*.*abacus"),
    ):
        faults_of(IMAGES)


@pytest.mark.long
def test_jax_is_not_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['jax'] = None")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with networks.building(parse(STUDY), ["vit"]) as faults_of:
        assert len(faults_of(IMAGES)) == 2


def test_without_new_arms_there_is_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks.subprocess, "Popen", None)
    with networks.building(parse(STUDY), []) as faults_of:
        assert faults_of(IMAGES) == []
