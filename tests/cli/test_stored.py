"""Commands about stored studies, and studies and folders that are not there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from sweeper import catalog
from sweeper.analysis.summary import sampling_error
from sweeper.ledger import lock
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Stage, Status
from sweeper.search.study import Search
from sweeper.storage import place
from sweeper.study.spec import StudySpec, parse
from tests.cli.kit import STUDY, make_study
from tests.conftest import Run
from tests.virtual_clock import VirtualClock

NEED_MORE = {
    *("knob_importance", "slices"),  # more trials of an arm
    *("chance_matrix", "forest", "pareto_seeds"),  # two repeated configurations
    "effects",  # an ablation of components
    *("calibration", "class_accuracy", "confusion", "error_overlap", "samples"),  # predictions
}
"""Figures for which the small study has no data."""


def commands_about_a_study() -> list[str]:
    return ["status", "resume", "pareto", "plot", "report", "recommend", "export"]


@pytest.mark.parametrize("command", commands_about_a_study())
def test_an_unknown_study_is_answered_with_those_there_are(command: str, run: Run, tmp_path: Path) -> None:
    for name in ("digits", "flowers"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "study.yaml").write_text("")
    code, out, err = run(command, "digist")
    assert (code, out) == (2, "")
    assert err == "error: unknown study 'digist' in results. Did you mean 'digits'? Allowed: digits, flowers.\n"
    code, _, err = run(command, "digits.yaml")
    assert code == 2
    assert (
        "digits.yaml is a study file. Give the name of a study that was launched, or its folder. Studies in results: digits"
        in err
    )
    code, _, err = run(command, "results/nowhere")
    assert code == 2
    assert "results/nowhere is not the folder of a study: it holds no study.yaml. Studies in results: digits, flowers." in err


@pytest.mark.parametrize("command", commands_about_a_study())
@pytest.mark.parametrize("study", ["", "../x", "/", "..", "a b", "-", "x" * 300, "ünï"])
def test_what_can_be_no_study_is_refused(command: str, study: str, run: Run) -> None:
    code, out, err = run(command, "--", study)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")


@pytest.mark.parametrize("option", ["--checkpoint-minutes", "--num-gpus"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "x"])
def test_what_can_be_no_amount_is_refused(option: str, value: str, run: Run) -> None:
    code, out, err = run("resume", "digits", option, value)
    assert (code, out) == (2, "")
    assert f"Invalid value for '{option}'" in err


@pytest.mark.parametrize("command", commands_about_a_study())
def test_without_any_study_it_says_how_to_begin(command: str, run: Run) -> None:
    code, _, err = run(command, "digits", "--results", "elsewhere")
    assert code == 2
    assert err == "error: unknown study 'digits'. There is no study in elsewhere yet. Start one with: sweeper launch STUDY.yaml\n"


def test_a_results_folder_that_is_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    (tmp_path / "study.yaml").write_text(STUDY)
    for command in (["status", "digits"], ["launch", "study.yaml"]):
        code, _, err = run(*command, "--results", "results")
        assert code == 2
        assert "'results' is a file" in err


@pytest.mark.ray
def test_launching_where_nothing_can_be_written(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "file").write_text("")
    code, _, err = run("launch", "study.yaml", "--results", "file/results")
    assert code == 2
    assert "cannot be used as a folder: file is a file. Move it, or choose another folder." in err
    made = Path.mkdir

    def refuse(self: Path, *arguments: Any, **options: Any) -> None:
        if "locked" in self.parts:
            raise PermissionError(13, "Permission denied", str(self))
        made(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    code, _, err = run("launch", "study.yaml", "--results", "locked")
    assert code == 2
    assert "locked/made is not writable (Permission denied). Change its permissions, or choose another folder." in err


def test_a_study_under_another_name_is_not_begun_anew(run: Run, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "made", tmp_path / "results" / "renamed")
    code, _, err = run("resume", "renamed")
    assert code == 2
    assert err == "error: results/renamed holds the study 'made' under another name. Rename it to made.\n"
    assert os.listdir(tmp_path / "results") == ["renamed"]


def test_another_study_of_the_same_name_is_not_mixed_in(run: Run, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("trials: 12", "trials: 11"))
    code, _, err = run("launch", "study.yaml", "--results", finished)
    assert code == 2
    assert "holds another study named 'made'" in err
    assert "  - budget.trials: 12 -> 11 (it can only grow)" in err


def test_a_damaged_study_file_in_the_results_is_the_works_fault(run: Run, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "made", tmp_path / "results" / "made")
    (tmp_path / "results" / "made" / "study.yaml").write_text("name: [")
    for command in ("status", "resume", "pareto", "plot"):
        code, _, err = run(command, "made")
        assert code == 1
        assert "Restore the file from a copy.\nresults/made/study.yaml: 1 fault" in err


def test_status(run: Run, finished: Path) -> None:
    code, out, err = run("status", "made", "--results", finished, "--json")
    facts = json.loads(out)
    assert (code, err) == (0, "")
    assert facts["study"] == "made"
    assert facts["study_id"] == parse(STUDY).study_id
    assert facts["is_finished"]
    assert not facts["is_running"]
    assert facts["driver"] is None
    assert sum(facts["trials"].values()) == 12
    assert facts["trials"]["completed"] >= 2
    assert facts["trials"]["completed"] + facts["trials"]["stopped"] == 12
    assert list(facts["arms"]) == ["cnn", "resnet_se"]
    for status, count in facts["trials"].items():
        assert sum(arm[status] for arm in facts["arms"].values()) == count
    assert facts["best"]["val_accuracy"] == max(arm["best"] for arm in facts["arms"].values())
    assert facts["best"]["epoch"] == 9
    assert facts["epochs"] > 12
    code, out, _ = run("status", finished / "made")
    assert code == 0
    assert out.startswith(f"study 'made' ({facts['study_id']}): finished; {facts['epochs']} epochs\n")
    assert f"best so far: {facts['best']['trial']} with {facts['best']['val_accuracy']:.4f} at epoch 9, " in out
    points = 100 * sampling_error(facts["best"]["val_accuracy"], 359)
    assert f"was validated on 359 images, which leaves its accuracy uncertain by about {points:.1f} points (95 %)" in out
    assert "sweeper confirm made" in out
    assert [line.partition(":")[0] for line in facts["gains"]] == list(facts["arms"])
    assert "\n".join(facts["gains"]) in out
    for arm in facts["arms"].values():
        assert arm["gain"]["tried"] == arm["completed"] + arm["stopped"]
        assert arm["gain"]["best"] == arm["best"]
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_status_of_a_study_that_was_cut_off(run: Run, tmp_path: Path) -> None:
    spec = parse(STUDY)
    make_study(tmp_path / "results" / "made", spec, max_events=2)
    code, out, _ = run("status", "made", "--json")
    facts = json.loads(out)
    assert code == 0
    assert not facts["is_finished"]
    assert facts["best"] is None
    assert facts["gains"] == []
    assert (facts["trials"]["pending"], facts["trials"]["running"]) == (10, 2)
    assert sum(facts["trials"].values()) == 12
    code, out, _ = run("status", "made", "--watch")
    assert "not running; sweeper resume goes on; 1 epoch\n" in out
    assert "sweeper ablate" not in out, "trials are repeated once the search has ended"


def test_status_tells_that_a_driver_gets_ready(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "made"
    with lock.preparing(place(folder)) as held:
        ready = f"reading the data, then starting Ray, since {held.owner.started} (process {os.getpid()} on {held.owner.host})"
        assert run("status", "made") == (0, f"study 'made': {ready}\n", "")
        facts = json.loads(run("status", folder, "--json")[1])
        assert (facts["is_running"], facts["driver"]["is_ready"], facts["driver"]["since"]) == (True, False, held.owner.started)
        assert run("pareto", "made")[0] == 2
    assert run("status", "made")[0] == 2
    make_study(folder, parse(STUDY), max_events=2)
    time.sleep(1)  # locks are dated in whole seconds
    with lock.preparing(place(folder)) as held:
        name = f"study 'made' ({parse(STUDY).study_id})"
        assert run("status", "made")[1].startswith(f"{name}: reading the data, then starting Ray, since {held.owner.started} ")
        with StudyFolder(folder).drive({"dashboard": {"address": "127.0.0.1:8265", "head": "node7"}}, lock=held):
            assert run("status", "made")[1].startswith(f"{name}: running, about ")
            assert (
                "dashboard: http://127.0.0.1:8265 on node7; from elsewhere: ssh -N -L 8265:127.0.0.1:8265 node7, then"
                in (run("status", "made")[1])
            )
            assert run("status", "made", "--line")[1].startswith("made: 0/12 trials, none completed yet, running, about ")
            assert set(json.loads(run("status", "made", "--json")[1])["left"]) == {"search_s", "confirm_s"}
    assert "not running; sweeper resume goes on" in run("status", "made")[1]
    assert "dashboard" not in run("status", "made")[1]


def test_watching_waits_for_a_study_that_is_to_come(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, holding = place(tmp_path / "results" / "made"), contextlib.ExitStack()
    later: list[Callable[[], object]] = [
        lambda: None,
        lambda: holding.enter_context(lock.preparing(folder)),
        holding.close,
        lambda: make_study(Path(folder), parse(STUDY)),
    ]
    monkeypatch.setattr("sweeper.cli.status.time", SimpleNamespace(sleep=lambda seconds: later.pop(0)()))
    code, out, err = run("status", "made", "--watch")
    assert (code, later) == (0, [])
    assert err == "there is no study 'made' in results yet; waiting for it\n"
    assert out.splitlines()[0].startswith("study 'made': reading the data, ")
    assert out.splitlines()[1].startswith(f"study 'made' ({parse(STUDY).study_id}): finished; ")
    for never in ("made.yaml", "a b"):
        assert run("status", never, "--watch")[0] == 2


def repeat(folder: Path, spec: StudySpec, log: list[Event]) -> None:
    """Add two repetitions of the default configuration of the arm cnn to a study's ledger: one ends best of all, one runs."""
    suggested = next(event for event in log if event.trial == "cnn-00000" and event.kind is Kind.SUGGESTED)
    with StudyFolder(folder).drive({}, study_id=spec.study_id) as ledger:
        for seed, status, epoch in ((1, Status.COMPLETED, 9), (2, Status.RUNNING, 1)):
            facts = {"trial": f"cnn-00000-s{seed}", "stage": Stage.ABLATION, "parent": "cnn-00000", "seed": seed}
            ledger.append(suggested.replace(**facts))
            done = {"kind": Kind.EPOCH, "status": status, "epoch": epoch, "val_accuracy": 1.0, "train_s": 1.0, "parameters": 1}
            ledger.append(suggested.replace(**facts, **done))


@pytest.mark.long
def test_repetitions_are_not_counted_as_trials_of_the_search(run: Run, tmp_path: Path) -> None:
    spec = parse(STUDY)
    folder = tmp_path / "results" / "made"
    log = make_study(folder, spec)
    before = {command: json.loads(run(*command.split(), "--json")[1]) for command in ("status made", "pareto made")}
    repeat(folder, spec, log)
    after = {command: json.loads(run(*command.split(), "--json")[1]) for command in ("status made", "pareto made")}
    assert sum(before["status made"].pop("repetitions").values()) == 0
    assert sum(after["status made"].pop("repetitions").values()) == 2
    assert before["status made"].pop("is_finished")
    assert not after["status made"].pop("is_finished"), "a repetition is left"
    spent = [found["status made"].pop("time")["arms"][-1]["epochs"] for found in (before, after)]
    assert spent[0] < spent[1], "their time was spent all the same"
    assert after == before
    code, out, _ = run("plot", "made", "--json")
    assert code == 0
    drawn = {Path(file).stem for file in json.loads(out)}
    assert "seed_strip" in drawn and drawn | NEED_MORE == set(catalog.names("plot"))


@pytest.mark.parametrize("command", commands_about_a_study()[2:])
def test_a_study_that_has_no_result_yet(command: str, run: Run, tmp_path: Path) -> None:
    StudyFolder(tmp_path / "results" / "made").create(parse(STUDY).to_yaml())
    code, _, err = run(command, "made")
    if command in ("export", "report"):
        assert code == 0
    else:
        assert code == 2
        assert err.startswith("error: ")


def test_measurements_that_are_missing_are_no_obstacle(run: Run, tmp_path: Path) -> None:
    spec = parse(STUDY)
    store = StudyFolder(tmp_path / "results" / "made")
    store.create(spec.to_yaml())
    log = VirtualClock(Search(spec), 1, lambda trial, epoch: 0.5, lambda trial: 1).run()
    with store.drive({}) as ledger:
        for event in log[1:]:
            ledger.append(event.replace(parameters=None))
    code, out, _ = run("status", "made")
    assert code == 0
    lines = out.splitlines()
    assert lines[-4].endswith("at epoch 9")
    assert lines[-3].startswith("cnn: its default is still the best of ")
    code, _, err = run("pareto", "made")
    assert code == 2
    assert "parameters" in err
    code, _, _ = run("pareto", "made", "-x", "val_loss")
    assert code == 0


def test_pareto(run: Run, finished: Path, tmp_path: Path) -> None:
    code, out, err = run("pareto", "made", "--results", finished, "--out", tmp_path / "new" / "figures", "--json")
    facts = json.loads(out)
    assert (code, err) == (0, "")
    assert (facts["study"], facts["x"], facts["y"]) == ("made", "parameters", "val_accuracy")
    assert sorted(path.name for path in (tmp_path / "new" / "figures").iterdir()) == [
        "pareto_parameters_val_accuracy.png",
        "pareto_parameters_val_accuracy.svg",
    ]
    assert all(Path(file).stat().st_size > 1000 for file in facts["files"])
    front = pd.DataFrame(facts["front"])
    assert list(front.columns) == ["trial", "arm", "val_accuracy", "parameters", "epoch", "configuration"]
    assert front["parameters"].is_monotonic_increasing
    assert front["val_accuracy"].is_monotonic_increasing
    assert (front["epoch"] == 9).all()
    assert not (finished / "made" / "figures").exists()
    code, out, _ = run("pareto", "made", "--results", finished, "-x", "macs", "-y", "val_loss", "--out", tmp_path / "more")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "Pareto front of made: val_loss against macs"
    assert lines[1].split() == ["trial", "arm", "val_loss", "macs", "epoch", "configuration"]
    assert any(" learning_rate=" in line and " optimizer=" in line for line in lines[2:]), "no line is broken"
    assert (tmp_path / "more" / "pareto_macs_val_loss.png").is_file()


def test_pareto_within_limits(run: Run, finished: Path, tmp_path: Path) -> None:
    sizes = json.loads(run("pareto", "made", "--results", finished, "--out", tmp_path, "--json")[1])["front"]
    smallest = sizes[0]
    limit = f"parameters={smallest['parameters']}"
    arguments = ("pareto", "made", "--results", finished, "--out", tmp_path, "--max", limit, "--max", "val_loss=1e9")
    facts = json.loads(run(*arguments, "--json")[1])
    assert facts["within"] == {"parameters": smallest["parameters"], "val_loss": 1e9}
    assert (facts["best_within"], facts["front"]) == (smallest["trial"], sizes)
    code, out, _ = run(*arguments)
    assert code == 0 and f" and val_loss <= 1,000,000,000: {smallest['trial']}, validation accuracy " in out


@pytest.mark.long
def test_plot_and_export(run: Run, finished: Path, tmp_path: Path) -> None:
    code, out, err = run("plot", "made", "--results", finished, "--out", tmp_path / "figures", "--json")
    assert code == 0
    missing = {"seed_strip", *NEED_MORE}
    assert {line.split(": ")[1] for line in err.splitlines()} == missing
    assert "not drawn: seed_strip: " in err and "sweeper ablate " in err and "sweeper confirm " in err
    drawn = set(catalog.names("plot")) - missing
    assert sorted(Path(file).name for file in json.loads(out)) == sorted(
        f"{name}.{ending}" for name in drawn for ending in ("png", "svg")
    )
    assert all(Path(file).stat().st_size > 1000 for file in json.loads(out))
    code, out, _ = run("plot", "made", "learning_curves", "--results", finished, "--out", "one")
    assert code == 0
    assert out.split() == ["one/learning_curves.png", "one/learning_curves.svg"]
    code, out, _ = run("export", "made", "--results", finished, "--out", "tables", "--json")
    assert code == 0
    assert json.loads(out) == ["tables/trials.csv", "tables/epochs.csv"]
    assert len(pd.read_csv("tables/trials.csv")) == 12
    code, out, _ = run("export", "made", "--results", finished, "--out", "tables", "--to", "parquet")
    assert code == 0
    assert len(pd.read_parquet("tables/trials.parquet")) == 12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pareto", "made", "-x", "params"], "unknown column 'params'. Did you mean 'parameters'?"),
        (["pareto", "made", "-y", "accuracy"], "unknown column 'accuracy'. Did you mean 'val_accuracy'?"),
        (["pareto", "made", "-x", "trial"], "unknown column 'trial'."),
        (["pareto", "made", "--max", "params=1"], "unknown column to limit 'params'. Did you mean 'parameters'?"),
        (["pareto", "made", "--max", "parameters"], "--max parameters: write COLUMN=NUMBER"),
        (["pareto", "made", "--max", "parameters=nan"], "--max parameters=nan: 'nan' is not a number from 0 on"),
        (["pareto", "made", "-x", "latency_ms"], "no latencies to show. Measure them with: sweeper measure"),
        (["pareto", "made", "-x", "macs", "-y", "macs"], "macs"),
        (["plot", "made", "parreto"], "unknown plot 'parreto'. Did you mean 'pareto'?"),
        (["export", "made", "--to", "xlsx"], "unknown format 'xlsx'. Allowed: csv, mlflow, optuna, parquet, tensorboard, wandb."),
        (["export", "made", "--to", "parqet"], "Did you mean 'parquet'?"),
        (["export", "made", "--live"], "--live follows a study for TensorBoard; csv is written once."),
        (["plot", "made", "pareto", "seed_strip"], "error: study 'made' has no values of val_accuracy over seeds"),
        (["pareto", "made", "--out", "file"], "'file' is a file"),
        (["pareto", "made", "--out", "file/below"], "error: file/below cannot be written (Not a directory)."),
        (["plot", "made", "--out", "file/below"], "error: file/below cannot be written (Not a directory)."),
        (["export", "made", "--out", "file/below"], "file/below cannot be used as a folder: file is a file."),
    ],
)
def test_a_mistake_about_a_stored_study(arguments: list[str], said: str, run: Run, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = run(*arguments, "--results", finished)
    assert (code, out) == (2, "")
    assert said in err


def test_launching_a_finished_study_starts_nothing(
    run: Run, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeper.driver.launch.connected", None)
    (tmp_path / "study.yaml").write_text(STUDY)
    for command in (["launch", "study.yaml"], ["resume", "made"]):
        code, out, _ = run(*command, "--results", finished)
        assert code == 0
        assert "study 'made' is finished already: " in out
        assert "\ncnn: " in out and "\nresnet_se: " in out, "what the search gained"
    code, out, _ = run("resume", finished / "made", "--json")
    assert code == 0
    assert json.loads(out)["is_finished"]
