"""A study of a network defined in a cell, on arrays in memory: run on Ray, interrupted, gone on, opened."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import sweeper
from sweeper.driver import timing
from sweeper.errors import InputError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind
from sweeper.service import progress
from tests.api.cells import run
from tests.cli.test_confirm import LATENCIES

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.usefixtures("ray_ready")]

CELL = """
    import keras
    from keras import layers

    FILTERS = 2

    def block(x, width):
        return layers.ReLU()(layers.Conv2D(width, 3, strides=2, padding="same")(x))

    def mine(input_shape, num_classes, *, width: int = FILTERS, dense: bool = False):
        image = keras.Input(input_shape)
        x = layers.Flatten()(block(image, FILTERS))
        return keras.Model(image, layers.Dense(num_classes)(x))
"""


@contextlib.contextmanager
def interrupting(study: str, quiet: bool, **options: Any) -> Iterator[progress.Watch]:
    """In the place of the live table: a stop button that is pressed once the second epoch is there."""
    seen: list[Event] = []

    def watch(search: Any, event: Event | None) -> None:
        if event is not None and event.kind is Kind.EPOCH:
            seen.append(event)
            if len(seen) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    yield watch


def test_an_own_network_is_run_interrupted_gone_on_with_and_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(timing, "_measured", lambda study, networks, *given: [{**LATENCIES, "detail": "{}"}] * len(networks))
    digits = load_digits()
    images, labels = np.round(digits.images * 255 / 16).astype(np.uint8), digits.target
    data = sweeper.arrays(images[:200], labels[:200], x_test=images[200:300], y_test=labels[200:300])
    study = sweeper.Study(
        name="own",
        dataset=data,
        arms={"own": sweeper.arm(run(CELL)["mine"], batch_size=32, optimizer="adam", schedule="constant", label_smoothing=0.0)},
        trials=2,
        max_epochs=3,
        search={"sampler": "random"},
        stopping={"rule": "none"},
        confirm={"seeds": 2},
    )
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("ray.tune.tune._detect_reporter", None)  # in a notebook that one clears the cell, and our table with it
    with monkeypatch.context() as patched:
        patched.setattr(progress, "progress", interrupting)
        results = study.run(max_concurrent=1)
    assert "interrupted, everything is saved; call it again to go on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert "not finished" in repr(results) and results.seeds.empty

    results = study.run(max_concurrent=1)
    keys = results.epochs[["trial", "epoch"]]
    assert len(keys) == len(keys.drop_duplicates()) == 12, "no epoch is missing, none was trained twice"
    assert len(results.trials) == 4 and (results.trials["status"] == "completed").all()
    assert len(results.seeds) == 1 and results.seeds["n"][0] == 2
    versions = json.loads(results.trials["versions"][0])
    assert any("architectures/mine.py" in name for name in versions)
    kept = tmp_path / "results" / "own" / "code" / "architectures" / "mine.py"
    assert study.code is not None and kept.read_text() == study.code.files["architectures/mine.py"]

    exported = results.model("own", tmp_path / "own.keras")
    assert exported.is_exact and (tmp_path / "own.keras").is_file()
    model = results.model("own")
    assert model.predict(images[:3, ..., None], verbose=0).shape == (3, 10)
    with pytest.raises(InputError, match="exists"):
        results.model("own", tmp_path / "own.keras")

    events = len(StudyFolder(tmp_path / "results" / "own").read())
    capsys.readouterr()
    study.run(max_concurrent=1)
    assert len(StudyFolder(tmp_path / "results" / "own").read()) == events, "it is finished, so nothing is trained"

    again = sweeper.open("results/own", code=kept.parents[1])
    table = again.ablate("defaults", seeds=1, quiet=True, max_concurrent=1)
    assert list(table["parent"]) == ["own-00000"]
    assert len(again.trials) == 5
