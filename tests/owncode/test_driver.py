"""Own code in a driver: checked where networks are built, run on Ray's workers, kept beside the study, trained again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sweeper import catalog, owncode
from sweeper.driver import networks, own
from sweeper.driver.inputs import load_dataset
from sweeper.driver.opened import open_study
from sweeper.errors import DatasetError, InputError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind
from sweeper.owncode import Code
from sweeper.study.spec import StudySpec, parse
from tests.conftest import Run
from tests.tiny_study import check_whole

STUDY = """\
name: own
dataset: {name: few_digits, number: 120}
arms: {mine: {fixed: {batch_size: 32, optimizer: adam, schedule: constant}}}
budget: {trials: 2, max_epochs: 2}
search: {sampler: random}
stopping: {rule: none}
"""

MINE = '''"""Mine: one convolution."""

from __future__ import annotations

from typing import Annotated, Literal

import keras

from ._parts import RATE
from sweeper import Int


def mine(
    input_shape,
    num_classes,
    width: Annotated[int, Int(low=2, high=3)] = 2,
    pooling: Literal["max", "average"] = "max",
):
    pool = keras.layers.GlobalMaxPooling2D if pooling == "max" else keras.layers.GlobalAveragePooling2D
    return keras.Sequential(
        [
            keras.layers.Conv2D(width, 3, activation="relu"),
            pool(),
            keras.layers.Dropout(RATE),
            keras.layers.Dense(num_classes),
        ]
    )
'''

DIGITS = '''"""The first digits of the embedded set."""

from sklearn.datasets import load_digits

from sweeper import from_arrays


def few_digits(number: int = 100):
    digits = load_digits()
    images = (digits.images[:number] * 255 / 16).astype("uint8")
    return from_arrays("few_digits", images, digits.target[:number])
'''

FILES = {"architectures/mine.py": MINE, "architectures/_parts.py": "RATE = 0.1\n", "datasets/few_digits.py": DIGITS}


def code_of(**changed: str) -> Code:
    return Code(origin="my_code/", files={**FILES, **{f"{path.replace('__', '/')}.py": text for path, text in changed.items()}})


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MINE, []),
        (
            MINE.replace("    return ", "    model = "),
            ["arms.mine: my_code/architectures/mine.py: mine returns nothing, not a model."],
        ),
        (
            MINE.replace("    pool =", "    1 / 0; pool ="),
            ["my_code/architectures/mine.py, line 19: ZeroDivisionError: division by"],
        ),
        (MINE.replace("(num_classes)", "(3)"), ["mine gives (any, 3), not (any, 10), one number per class."]),
    ],
)
def test_the_process_that_builds_networks_has_the_code(text: str, said: list[str]) -> None:
    with catalog.using(code_of(architectures__mine=text)):
        study = parse(STUDY)
        with networks.building(study, ["mine"]) as faults_of:
            found = faults_of(load_dataset(study))
    assert len(found) == len(said)
    assert all(part in fault for part, fault in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "def few_digits(number: int = 1):\n    pass\n",
            r"my_code/datasets/few_digits\.py: few_digits returns nothing\. End it with",
        ),
        ("def few_digits(number: int = 1):\n    open('gone')\n", r"few_digits\.py, line 2: FileNotFoundError: .*'gone'\."),
    ],
)
def test_a_dataset_that_gives_no_data(text: str, said: str) -> None:
    with catalog.using(code_of(datasets__few_digits=text)), pytest.raises(DatasetError, match=said):
        load_dataset(parse(STUDY))


def started(code: Code) -> Event:
    return Event(kind=Kind.DRIVER_STARTED, detail=json.dumps({"host": "here", **own.detail(code)}))


def test_what_changed_since_the_newest_driver_is_told() -> None:
    then = code_of(plots__p="1")
    events = [started(then), Event(kind=Kind.DRIVER_STARTED, detail="{}")]
    assert own.changes(events, then) == []
    assert own.changes(events, None) == []
    assert own.changes([], then) == []
    now = Code(origin="o/", files={**FILES, "architectures/_parts.py": "", "search_spaces/new.py": "", "plots/p.py": "2"})
    del now.files["datasets/few_digits.py"]  # type: ignore[attr-defined]
    [note] = own.changes(events, now)
    assert note == (
        "o/: architectures/_parts.py has changed; datasets/few_digits.py is gone; search_spaces/new.py is new. Trials so far "
        "ran as it was; those to come run as it is now."
    )


def test_the_copy_is_that_of_the_newest_code(tmp_path: Path) -> None:
    from sweeper.storage import place

    own.store(place(tmp_path), code_of(plots__old=""))
    own.store(place(tmp_path), code_of(architectures___parts="RATE = 0.2\n"))
    own.store(place(tmp_path), None)
    again = owncode.read(tmp_path / "code")
    assert again.files == code_of(architectures___parts="RATE = 0.2\n").files
    assert own.fetched(place(tmp_path / "code")).files == again.files
    with pytest.raises(InputError, match="holds no Python file in"):
        own.fetched(place(tmp_path))


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.usefixtures("ray_ready")
def test_a_sweep_of_own_code_goes_on_after_a_change_and_is_trained_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code_of().write(tmp_path / "my_code")
    (tmp_path / "study.yaml").write_text(STUDY)
    returned, _, err = run("launch", "study.yaml", "--code", "my_code", "--max-concurrent", 1)
    assert returned == 0, err
    folder = tmp_path / "results" / "own"
    with catalog.using(owncode.read("my_code")):
        check_whole(folder, parse(STUDY))
    assert owncode.read(folder / "code").files == FILES

    returned, _, err = run("resume", "own", "--trials", 3)
    assert returned == 2
    assert err == (
        "error: study 'own' needs dataset 'few_digits', architecture 'mine', which is own code. The code it ran with is kept in "
        "results/own/code/: once you have looked at it, add --code results/own/code/\n"
    )

    (tmp_path / "my_code" / "architectures" / "_parts.py").write_text("RATE = 0.3\n")
    returned, _, err = run("resume", "own", "--trials", 3, "--code", "my_code/", "--max-concurrent", 1)
    assert returned == 0, err
    assert (
        "note: my_code/: architectures/_parts.py has changed. Trials so far ran as it was; those to come run as it is now." in err
    )
    events = StudyFolder(folder).read()
    kept = {event.trial: json.loads(event.versions or "") for event in events if event.kind is Kind.EPOCH}
    assert len(kept) == 3
    parts = [versions["own code: architectures/_parts.py"] for _, versions in sorted(kept.items())]
    assert parts[0] == parts[1] != parts[2] == code_of(architectures___parts="RATE = 0.3\n").sha256s()["architectures/_parts.py"]
    details = [json.loads(event.detail or "{}") for event in events if event.kind is Kind.DRIVER_STARTED]
    assert [detail["code"]["files"]["architectures/_parts.py"] for detail in details] == [parts[0], parts[2]]
    assert run("audit", "own")[0] == 0
    assert run("report", "own")[0] == 0

    same, other = (retrained(trial, tmp_path) for trial in ("mine-00002", "mine-00000"))
    assert same.returncode == 0, same.stderr
    assert "2 of 2 epochs are identical bit for bit" in same.stdout
    assert "own code has changed" not in same.stderr
    assert "own code has changed, so the trial may not come out the same: architectures/_parts.py\n" in other.stderr
    assert other.returncode == 1
    assert f"own code: architectures/_parts.py: recorded {parts[0]}, now {parts[2]}" in other.stdout


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.usefixtures("ray_ready", "framework")
def test_a_network_of_own_code_is_confirmed_timed_and_asked_for_a_picture(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code_of().write(tmp_path / "my_code")
    (tmp_path / "study.yaml").write_text(STUDY.replace("trials: 2, max_epochs: 2", "trials: 1, max_epochs: 1"))
    own_code = ("--code", "my_code")
    returned, _, err = run("launch", "study.yaml", *own_code)
    assert returned == 0, err
    returned, out, err = run("confirm", "own", "--seeds", 1, "--json", *own_code)
    assert returned == 0, err
    (confirmed,) = json.loads(out)["confirmed"]
    assert (confirmed["arm"], confirmed["n"]) == ("mine", 1)
    assert confirmed["latency_ms"] > 0, "timed in a process of its own"
    Image.new("L", (9, 5)).save("photo.png")
    returned, out, err = run("predict", "own", "photo.png", "--json", *own_code)
    assert returned == 0, err
    assert sum(json.loads(out)["images"][0]["models"]["mine"].values()) == pytest.approx(1.0, abs=1e-5)
    assert "needs dataset 'few_digits', architecture 'mine'" in run("predict", "own", "photo.png")[2]


def retrained(trial: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A trial trained again with the code that the study keeps."""
    return subprocess.run(
        [sys.executable, "-m", "sweeper", "retrain", "own", trial, "--code", "results/own/code/"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )


def test_a_study_without_own_code_needs_none(tmp_path: Path) -> None:
    files = StudyFolder(tmp_path / "plain")
    files.create(
        StudySpec.to_yaml(parse("name: plain\ndataset: {name: digits}\narms: {cnn: {}}\nbudget: {trials: 1, max_epochs: 1}"))
    )
    own.check_known(open_study(files))
