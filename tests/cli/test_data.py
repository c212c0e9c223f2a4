"""``sweeper describe-data``: what it prints, for people and as JSON, and how it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from sweeper import catalog
from sweeper.cli import cli
from sweeper.datasets import _mapped
from tests.conftest import Run
from tests.datasets.kit import splits


@pytest.fixture
def run(run: Run) -> Run:
    """Run ``describe-data``: its exit code, stdout and stderr."""
    return lambda *arguments: run("describe-data", *arguments)


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    """Arrays with one flaw of each kind."""
    generator = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for name, count in (("train", 12), ("validation", 6), ("test", 4)):
        made[f"x_{name}"] = generator.integers(0, 256, (count, 4, 4), dtype=np.uint8)
        made[f"y_{name}"] = np.arange(count) % 2
    made["x_validation"][0] = made["x_train"][0]  # the same label: shared only
    made["x_test"][0] = made["x_train"][2]
    made["x_test"][1] = made["x_validation"][2]  # another label: conflicting
    made["x_train"][5] = 7  # flat
    np.savez(tmp_path / "mine.npz", **made)
    return tmp_path / "mine.npz"


def test_help_says_that_the_test_split_is_read() -> None:
    text = " ".join(CliRunner().invoke(cli, ["describe-data", "--help"]).output.split())
    assert "This command does read the test split" in text
    assert "describe-data" in CliRunner().invoke(cli, ["--help"]).output


def test_as_json(run: Run, flawed: Path) -> None:
    code, out, err = run("arrays", "--path", flawed, "--set", "class_names=cat,dog", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["counts"] == {
        "train": {"cat": 6, "dog": 6}, "validation": {"cat": 3, "dog": 3}, "test": {"cat": 2, "dog": 2}
    }  # fmt: skip
    assert found["audit"] == {
        "shared_train_validation": 1,
        "shared_train_test": 1,
        "shared_validation_test": 1,
        "conflicting_groups": 1,
        "flat_images": 1,
    }
    assert (found["shape"], found["num_classes"], found["class_names"], found["dtype"]) == ([4, 4, 1], 2, ["cat", "dog"], "uint8")
    assert found["balance"]["test"] == {"largest": "cat", "smallest": "cat", "ratio": 1.0, "largest_share": 0.5}
    assert found["options"]["path"] == str(flawed)
    assert found["options"]["fraction"] == 1.0
    assert found["notes"] == []
    assert list(found["options"]) == list(catalog.parameters("dataset", "arrays"))


def test_for_people(run: Run, flawed: Path) -> None:
    code, out, _ = run("arrays", "--path", flawed)
    assert code == 0
    assert "images: 4x4x1 (height, width, channels), uint8 from 0 to 255, 2 classes" in out
    assert re.search(r"label +class +train +validation +test", out)
    assert re.search(r"all +12 +6 +4", out)
    assert "balance of train: every class has 6 images." in out
    assert "shared_train_validation 1: of 6 validation images, those whose pixels also occur in train. Validation accuracy" in out
    assert "conflicting_groups 1: groups of images with the same pixels and different labels" in out
    assert "The option leave_out_shared: true" in out


def test_options_are_read_by_their_type(run: Run, flawed: Path) -> None:
    code, out, _ = run("arrays", "--path", flawed, "--set", "leave_out_shared=true", "--set", "split_seed=3", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["audit"]["shared_train_test"] == 0
    assert (found["options"]["leave_out_shared"], found["options"]["split_seed"]) == (True, 3)
    assert found["notes"] == ["2 images whose pixels also occur in validation or test were left out of training."]
    _, out, _ = run("digits", "--set", "fraction=0.1", "--set", "validation_fraction=.25", "--json")
    assert json.loads(out)["options"]["fraction"] == 0.1
    assert "note: Training uses 109 of its 1,079 images" in run("digits", "--set", "fraction=0.1")[1]


def test_files_that_were_left_out_are_counted(run: Run, tmp_path: Path) -> None:
    for place in ("train/cat", "train/dog", "test/emu"):
        (splits(tmp_path) / place / "bad.png").write_bytes(b"")
    code, out, err = run("image_folder", "--path", tmp_path)
    assert (code, out) == (2, "")
    assert "3 of 36 files cannot be used: 3 empty." in err
    _, out, _ = run("image_folder", "--path", tmp_path, "--set", "unreadable=skip", "--json")
    assert json.loads(out)["unreadable"] == {"train": 2, "validation": 0, "test": 1}
    out = run("image_folder", "--path", tmp_path, "--set", "unreadable=skip")[1]
    assert "note: 2 of 29 training and validation files cannot be used and were left out: 2 empty." in out
    assert "  unreadable 3: files that cannot be used and were left out: 2 of train, 1 of test." in out


def test_decoded_images_go_where_cache_says(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_mapped.CACHE, str(tmp_path / "other"))  # which --cache overrules, and what it sets ends with the test
    monkeypatch.setattr(_mapped, "FROM_BYTES", 1000)
    code, out, _ = run("image_folder", "--path", splits(tmp_path / "photos"), "--cache", tmp_path / "cache")
    assert code == 0
    assert f"note: 0.0 GB of decoded images lie in {tmp_path / 'cache'} and are read from there, not held in memory." in out
    assert len(list((tmp_path / "cache").glob("*/images"))) == 3
    assert not (tmp_path / "other").exists()


def test_without_a_test_split(run: Run, flawed: Path) -> None:
    with np.load(flawed) as archive:
        kept = {name: archive[name] for name in archive.files if "test" not in name}
    np.savez(flawed, **kept)
    found = json.loads(run("arrays", "--path", flawed, "--json")[1])
    assert list(found["counts"]) == ["train", "validation"]
    assert found["audit"]["shared_train_test"] is None
    assert "shared_train_test: there is no test split." in run("arrays", "--path", flawed)[1]


def test_a_test_split_without_a_class(run: Run, flawed: Path) -> None:
    with np.load(flawed) as archive:
        kept = {name: archive[name] for name in archive.files}
    kept["y_test"] = kept["y_test"] * 0
    np.savez(flawed, **kept)
    assert json.loads(run("arrays", "--path", flawed, "--json")[1])["balance"]["test"]["ratio"] is None
    out = run("arrays", "--path", flawed)[1]
    assert "balance of test: 1 has no image; always answering 0 is right in 100.0%." in out


def test_an_empty_path_is_refused(run: Run) -> None:
    code, _, err = run("arrays", "--path", "")
    assert code == 2
    assert "--path: it is empty" in err


def test_many_classes_are_shortened(run: Run, tmp_path: Path) -> None:
    labels = np.concatenate([np.arange(40), np.zeros(9, int)])
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=labels, x_validation=images, y_validation=labels)
    out = run("arrays", "--path", tmp_path / "mine.npz")[1]
    assert "The 15 largest and 15 smallest of 40 classes; --json has all." in out
    assert re.search(r"all +49 +49", out)
    assert "0 has 10.0 times the images of 1; always answering 0 is right in 20.4%." in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("digit",), "unknown dataset 'digit'. Did you mean 'digits'?"),
        (("fer2013",), "dataset fer2013 needs its option path. Add --path P."),
        (("digits", "--path", "x"), "--path x: dataset digits has no path; leave it out."),
        (("arrays", "--path", "x", "--set", "path=y"), "--set path=y: 'path' is set twice; keep one."),
        (("digits", "--set", "fraction"), "--set fraction: write OPTION=VALUE, for example --set size=8"),
        (("digits", "--set", "fration=1"), "unknown option of dataset digits 'fration'. Did you mean 'fraction'?"),
        (("digits", "--set", "size=x"), "--set size=x: 'x' cannot be read as a whole number."),
        (("fer2013", "--path", "x", "--set", "leave_out_shared=yes"), "'yes' cannot be read as true or false."),
        (("digits", "--set", "size=5"), "digits: size is 5; allowed: a whole number from 8 to 64."),
        (("fer2013", "--path", "gone.csv"), "there is no file gone.csv."),
        (("image_folder", "--path", "gone"), "there is no folder gone."),
        (("mnist", "--path", "gone"), "gone does not exist; allowed: a folder with the four files"),
        (("cifar10", "--path", "gone"), "there is no file or folder gone."),
    ],
)
def test_refusals(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err


def test_fashion_mnist(run: Run, shared_data: Path) -> None:
    code, out, err = run("fashion_mnist", "--path", shared_data / "fashion_mnist")
    assert (code, err) == (0, "")
    assert re.search(r"all +54,000 +6,000 +10,000", out)
    assert "note: Carved from train by seed 0" in out
