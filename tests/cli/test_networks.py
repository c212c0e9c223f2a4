"""Commands that read data or build networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper import catalog
from sweeper.study.grid import Grid
from sweeper.study.spec import parse
from tests.cli.kit import STUDY
from tests.conftest import Run


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"x_train": [[[0]]], "x_test": [0]}, "lacks y_train, y_test. It holds: x_train, x_test. Needed: "),
        ({"images": [[[0]]]}, "lacks x_train, y_train. It holds: images."),
        (None, "is not an .npz file"),
    ],
)
def test_checking_a_study_with_wrong_data(members: dict[str, Any] | None, said: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("{name: digits}", "{name: arrays, path: mine.npz}"))
    code, _, err = run("check", "study.yaml")
    assert code == 2
    assert "error: there is no file mine.npz." in err
    if members is None:
        (tmp_path / "mine.npz").write_bytes(b"no archive")
    else:
        arrays: dict[str, Any] = {name: np.asarray(values) for name, values in members.items()}
        np.savez(tmp_path / "mine.npz", **arrays)
    code, _, err = run("check", "study.yaml")
    assert code == 2
    assert said in err


def test_checking_a_bad_file_lists_every_fault(run: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("max_epochs: 9", "max_epochs: -9").replace("cnn: {}", "cnm: {}"))
    for command in ("check", "launch"):
        code, out, err = run(command, "study.yaml")
        assert (code, out) == (2, "")
        assert err.startswith("error: study.yaml: 2 faults\n  - line 4: arms.cnm.architecture: unknown architecture 'cnm'.")
        assert "  - line 7: budget.max_epochs: -9 is outside its range; allowed: at least 1.\n" in err


def test_a_backend_that_is_not_there(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    (tmp_path / "study.yaml").write_text(STUDY + "training: {backend: jax}\n")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else find(name))
    for command in ("check", "launch"):
        code, _, err = run(command, "study.yaml")
        assert code == 2
        assert "jax is not installed here. Install it, or name another" in err


def test_check_counts_the_points_of_a_grid(run: Run) -> None:
    text = (
        "name: a\ndataset: {name: digits}\narms: {cnn: {fixed: {num_blocks: 2, width: 16}}}\nbudget: {trials: 4, max_epochs: 1}\n"
    )
    Path("study.yaml").write_text(text + "search: {sampler: grid, grid_points: 2}\n")
    code, out, _ = run("check", "study.yaml")
    assert code == 0
    assert "macs  grid_points" in out
    assert out.splitlines()[-1].endswith(f"  {Grid(catalog.load('space', 'cnn'), {'num_blocks': 2, 'width': 16}, 2).size:,}")
    Path("study.yaml").write_text(text)
    assert "grid_points" not in run("check", "study.yaml")[1]


def test_check(run: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    code, out, err = run("check", "study.yaml", "--json")
    facts = json.loads(out)
    assert (code, err) == (0, "")
    assert facts["study_id"] == parse(STUDY).study_id
    assert facts["total_epochs"] == 108
    assert facts["input_shape"] == [8, 8, 1]
    assert [arm["trials"] for arm in facts["arms"]] == [6, 6]
    assert all(arm["parameters"] > 1000 and arm["macs"] > arm["parameters"] / 10 for arm in facts["arms"])
    code, out, _ = run("check", "study.yaml")
    assert code == 0
    assert out.startswith(f"study.yaml: no fault. Study 'made' ({facts['study_id']})\n")
    assert "12 trials of at most 9 epochs: up to 108 epochs (asha may stop some early)" in out


def test_check_collects_what_architectures_refuse(run: Run, tmp_path: Path) -> None:
    wrong = STUDY.replace("cnn: {}", "vit: {fixed: {patch_size: 4}}").replace("digits}", "digits, size: 9}")
    (tmp_path / "study.yaml").write_text(wrong.replace("attention: se", "attention: se, stem: nonsense"))
    code, _, err = run("check", "study.yaml")
    assert code == 2
    assert err.startswith("error: study.yaml: 2 faults\n")
    assert "  - arms.vit: 'patch_size' is 4" in err
    assert "  - arms.resnet_se: 'stem' is 'nonsense'" in err


def test_describe(run: Run) -> None:
    code, out, err = run(
        "describe", "cnn", "--json", "--input-shape", "8, 8,1", "--num-classes", "7", "--set", "batch_norm=FALSE"
    )
    facts = json.loads(out)
    assert (code, err) == (0, "")
    assert {"trainable_parameters", "total_parameters", "macs", "flops", "output_shape", "layers"} <= set(facts)
    assert facts["flops"] == 2 * facts["macs"]
    assert facts["output_shape"] == [7]
    assert facts["input_shape"] == [8, 8, 1]
    assert facts["arguments"] == {"batch_norm": False}
    assert facts["total_parameters"] == facts["trainable_parameters"] == sum(layer["parameters"] for layer in facts["layers"])
    code, out, _ = run("describe", "cnn", "--set", "width=4", "--set", "attention=se")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == f"cnn: {catalog.summary('architecture', 'cnn')}"
    assert {"  width = 4", "  attention = se", "  batch_norm = true"} <= set(lines)


def test_a_variant_that_looks_like_a_number_stays_text(run: Run) -> None:
    code, out, _ = run("describe", "resnet", "--set", "variant=18", "--input-shape", "8,8,3", "--json")
    assert code == 0
    assert json.loads(out)["arguments"] == {"variant": "18"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cnn", "--set", "width=-3"], "'width' is -3; allowed: a whole number from 1."),
        (["cnn", "--set", "dropout=nan"], "'dropout' is nan; allowed: a number, from 0 to below 1."),
        (["cnn", "--set", "attention=sse"], "'attention'"),
        (["vit", "--input-shape", "7,7,1"], "'patch_size' is 4, which does not divide"),
    ],
)
def test_what_an_architecture_refuses(arguments: list[str], said: str, run: Run) -> None:
    code, out, err = run("describe", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err


def test_what_no_check_foresaw_is_still_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("{{function_node x}} OOM when allocating tensor with shape[3,3]")

    monkeypatch.setattr(catalog, "load", lambda kind, name: fail)
    code, _, err = run("describe", "cnn")
    assert code == 2
    assert err == (
        "error: cnn cannot be built for images of 32x32x3 and 10 classes: OOM when allocating tensor with shape[3,3]. "
        "Choose other values.\n"
    )
