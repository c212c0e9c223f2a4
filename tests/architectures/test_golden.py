"""Golden logits: the same weights and images give the same scores, today and later, with TensorFlow and with JAX."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.architectures import golden
from tests.conftest import QUICKLY_COMPILED

pytestmark = pytest.mark.usefixtures("framework")

ACCEPT = "If the change is meant: KERAS_BACKEND=tensorflow python -m tests.architectures.golden --accept"


def accepted() -> golden.Logits:
    return dict(json.loads(golden.FILE.read_text(encoding="utf-8")))


def differences(found: golden.Logits) -> list[str]:
    expected = accepted()
    return [
        f"{label}: {rows} instead of {expected.get(label)}"
        for label, rows in found.items()
        if golden.is_new(label, rows, expected)
    ]


@pytest.mark.parametrize("label", golden.cases(everything=False))
def test_logits_are_the_golden_ones(label: str) -> None:
    found = golden.logits(*golden.cases(everything=False)[label])
    assert np.ptp(found) > 0.05, "the scores hardly differ, so equal ones prove little"
    assert not differences({label: found}), ACCEPT


@pytest.mark.long
def test_logits_of_every_option_are_the_golden_ones() -> None:
    found = golden.all_logits()
    assert not differences(found), ACCEPT
    assert set(found) == set(accepted()), ACCEPT


@pytest.mark.long
def test_jax_gives_the_golden_logits() -> None:
    command = [sys.executable, "-m", "tests.architectures.golden", "--everything"]
    environment = {**os.environ, **QUICKLY_COMPILED, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    found: golden.Logits = json.loads(done.stdout)
    assert set(found) == set(accepted())
    assert not differences(found)
