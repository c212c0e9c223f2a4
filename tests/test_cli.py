"""The command line: what it says, what it writes, how it ends. Nothing here starts Ray."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest

from sweeper import catalog
from sweeper.analysis.summary import sampling_error
from sweeper.cli import cli
from sweeper.cli._shared import shown
from sweeper.grid import Grid
from sweeper.records import Event, Kind, Stage, Status
from sweeper.search.study import Search
from sweeper.spec import StudySpec, parse
from sweeper.store import StudyStore
from tests.conftest import Run
from tests.virtual_clock import VirtualClock

STUDY = """\
name: made
dataset: {name: digits}
arms:
  cnn: {}
  resnet_se: {architecture: resnet, fixed: {attention: se}}
objectives: [max val_accuracy, min parameters]
budget: {trials: 12, max_epochs: 9}
search: {sampler: random}
stopping: {rule: asha, grace_epochs: 1, reduction_factor: 3}
"""

COMMANDS = [
    "ablate",
    "audit",
    "benchmark",
    "check",
    "describe",
    "describe-data",
    "export",
    "launch",
    "list",
    "pareto",
    "plot",
    "resume",
    "retrain",
    "schema",
    "status",
]


def make_study(folder: Path, spec: StudySpec, max_events: int | None = None) -> list[Event]:
    """A study as a driver would have left it, without Ray: recorded on a virtual clock, committed to a ledger."""

    def curve(trial: str, epoch: int) -> float:
        chance = random.Random(trial)
        return round((0.5 + 0.5 * chance.random()) * (1 - 0.5**epoch), 4)

    store = StudyStore(folder)
    store.create(spec.to_yaml())
    log = VirtualClock(Search(spec), 2, curve, lambda trial: random.Random(trial).uniform(1, 3)).run(max_events)
    with store.drive({}, study_id=spec.study_id) as ledger:
        for event in log[1:]:
            size = 1000 + random.Random(event.trial).randrange(100_000)
            measured = {
                "stage": Stage.SEARCH,
                "parameters": size,
                "macs": 7 * size,
                "train_s": 1.5,
                "peak_memory_mb": 700.0,
                "device": "cpu",
                "dataset": json.dumps({"name": "digits", "options": {}, "validation_images": 359}),
            }
            ledger.append(event.replace(**measured) if event.kind is Kind.EPOCH else event)
    return log


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a finished study, `made`."""
    results = tmp_path_factory.mktemp("results")
    make_study(results / "made", parse(STUDY))
    return results


# ------------------------------------------------------------------------------------------------------- help and errors


def test_every_command_has_help_in_sentences() -> None:
    assert sorted(cli.commands) == COMMANDS
    for name, command in cli.commands.items():
        assert command.help
        assert command.help.strip().endswith("."), name
        assert command.short_help
        assert command.short_help.endswith("."), name
        assert len(command.short_help) <= 66, f"{name}: the help of all commands has room for 66 characters"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_printed(command: list[str], run: Run) -> None:
    for option in ("--help", "-h"):
        code, out, err = run(*command, option)
        assert code == 0
        assert out.startswith("Usage: ")
        assert err == ""
    if not command:
        assert all(f"  {name} " in out for name in COMMANDS)
        assert "..." not in out.split("Commands:")[1], "a summary is cut"


def test_the_version_is_printed(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert "0.1.0" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lanch", "x"], "unknown command 'lanch'. Did you mean 'launch'? Allowed: ablate, audit, benchmark, check"),
        (["frobnicate"], "unknown command 'frobnicate'. Allowed: ablate, audit, benchmark, check"),
        (["--frob"], "No such option"),
        (["status", "--jsn", "x"], "No such option"),
        (["status"], "Missing argument 'STUDY'"),
        (["launch", "x.yaml", "--max-concurrent", "0"], "--max-concurrent"),
        (["launch", "x.yaml", "--num-cpus", "many"], "--num-cpus"),
        (
            ["check", "absent.yaml"],
            "error: absent.yaml cannot be read: there is no such file. Give the path of a study file (YAML).",
        ),
        (["check", "."], "error: . is a folder. Give the path of a study file (YAML)."),
        (["launch", "absent.yaml"], "error: absent.yaml cannot be read: there is no such file."),
        (["list", "nonsense"], "error: unknown kind 'nonsense'. Allowed: architecture, cluster, dataset, plot, space."),
        (["list", "architectre"], "Did you mean 'architecture'?"),
        (["describe", "resnt"], "error: unknown architecture 'resnt'. Did you mean 'resnet'?"),
        (["describe", "cnn", "--set", "wdth=8"], "error: unknown knob of cnn 'wdth'. Did you mean 'width'? Allowed: attention, "),
        (["describe", "cnn", "--set", "width"], "error: --set width: write KNOB=VALUE, for example --set num_blocks=3"),
        (["describe", "cnn", "--set", "width=wide"], "error: --set width=wide: 'wide' cannot be read as a whole number."),
        (["describe", "cnn", "--set", "width=8.5"], "error: --set width=8.5: '8.5' cannot be read as a whole number."),
        (["describe", "cnn", "--set", "width=" + "9" * 5000], "cannot be read as a whole number."),
        (["describe", "cnn", "--set", "batch_norm=1"], "error: --set batch_norm=1: '1' cannot be read as true or false."),
        (["describe", "cnn", "--set", "width="], "'' cannot be read as a whole number."),
        (["describe", "cnn", "--set", "=3"], "unknown knob of cnn ''."),
        (["describe", "cnn", "--set", "width=8", "--set", "width=16"], "error: --set width=16: 'width' is set twice; keep one."),
        (["describe", "cnn", "--input-shape", "48,48"], "'48,48' is no shape; write height,width,channels, for example 48,48,1."),
        (["describe", "cnn", "--input-shape", "48,48,0"], "'48,48,0' is no shape"),
        (["describe", "cnn", "--input-shape", "48,48,-1"], "'48,48,-1' is no shape"),
        (["describe", "cnn", "--input-shape", "²,2,2"], "'²,2,2' is no shape"),
        (["describe", "cnn", "--input-shape", "9" * 5000 + ",2,2"], "is no shape"),
        (["describe", "cnn", "--num-classes", "1"], "--num-classes"),
    ],
)
def test_a_mistake_ends_with_2_and_a_way_out(arguments: list[str], said: str, run: Run) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert said in err
    assert out == ""


# -------------------------------------------------------------------------------------------------------------- list


def test_list(run: Run) -> None:
    code, out, err = run("list")
    assert (code, err) == (0, "")
    for kind in catalog.PACKAGES:
        assert f"{kind}:" in out.splitlines()
        for name in catalog.names(kind):
            assert catalog.summary(kind, name) in out


@pytest.mark.parametrize("kind", ["architecture", "architectures", "clusters", "plot"])
def test_list_of_one_kind_in_singular_and_plural(kind: str, run: Run) -> None:
    code, out, _ = run("list", kind, "--json")
    singular = kind.removesuffix("s")
    assert code == 0
    assert json.loads(out) == {singular: {name: catalog.summary(singular, name) for name in catalog.names(singular)}}
    code, out, _ = run("list", kind)
    lines = out.splitlines()
    assert lines[0] == f"{singular}:"
    assert len({line.index(catalog.summary(singular, line.split()[0])) for line in lines[1:]}) == 1, "one column"


# ----------------------------------------------------------------------------------------- unknown studies and folders


def commands_about_a_study() -> list[str]:
    return ["status", "resume", "pareto", "plot", "export"]


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


# ------------------------------------------------------------------------------------------------------- stored studies


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
    assert "sweeper ablate made --seeds 3" in out
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_status_of_a_study_that_was_cut_off(run: Run, tmp_path: Path) -> None:
    spec = parse(STUDY)
    make_study(tmp_path / "results" / "made", spec, max_events=2)
    code, out, _ = run("status", "made", "--json")
    facts = json.loads(out)
    assert code == 0
    assert not facts["is_finished"]
    assert facts["best"] is None
    assert (facts["trials"]["pending"], facts["trials"]["running"]) == (10, 2)
    assert sum(facts["trials"].values()) == 12
    code, out, _ = run("status", "made", "--watch")
    assert "not running; sweeper resume goes on; 1 epoch\n" in out


def repeat(folder: Path, spec: StudySpec, log: list[Event]) -> None:
    """Add two repetitions of the default configuration of the arm cnn to a study's ledger: one ends best of all, one runs."""
    suggested = next(event for event in log if event.trial == "cnn-00000" and event.kind is Kind.SUGGESTED)
    with StudyStore(folder).drive({}, study_id=spec.study_id) as ledger:
        for seed, status, epoch in ((1, Status.COMPLETED, 9), (2, Status.RUNNING, 1)):
            facts = {"trial": f"cnn-00000-s{seed}", "stage": Stage.ABLATION, "parent": "cnn-00000", "seed": seed}
            ledger.append(suggested.replace(**facts))
            done = {"kind": Kind.EPOCH, "status": status, "epoch": epoch, "val_accuracy": 1.0, "train_s": 1.0, "parameters": 1}
            ledger.append(suggested.replace(**facts, **done))


@pytest.mark.slow
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
    assert after == before
    code, out, err = run("plot", "made", "--json")
    assert (code, err) == (0, "")
    assert {Path(file).stem for file in json.loads(out)} == set(catalog.names("plot"))


@pytest.mark.parametrize("command", commands_about_a_study()[2:])
def test_a_study_that_has_no_result_yet(command: str, run: Run, tmp_path: Path) -> None:
    StudyStore(tmp_path / "results" / "made").create(parse(STUDY).to_yaml())
    code, _, err = run(command, "made")
    if command == "export":
        assert code == 0
    else:
        assert code == 2
        assert err.startswith("error: ")


def test_measurements_that_are_missing_are_no_obstacle(run: Run, tmp_path: Path) -> None:
    spec = parse(STUDY)
    store = StudyStore(tmp_path / "results" / "made")
    store.create(spec.to_yaml())
    log = VirtualClock(Search(spec), 1, lambda trial, epoch: 0.5, lambda trial: 1).run()
    with store.drive({}) as ledger:
        for event in log[1:]:
            ledger.append(event)
    code, out, _ = run("status", "made")
    assert code == 0
    assert out.rstrip().endswith("at epoch 9")
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


def test_plot_and_export(run: Run, finished: Path, tmp_path: Path) -> None:
    code, out, err = run("plot", "made", "--results", finished, "--out", tmp_path / "figures", "--json")
    assert code == 0
    assert err.startswith("not drawn: seed_strip: ") and "sweeper ablate made" in err
    assert len(err.splitlines()) == 1
    drawn = set(catalog.names("plot")) - {"seed_strip"}
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
        (["pareto", "made", "-x", "latency_ms"], "latency_ms"),
        (["pareto", "made", "-x", "macs", "-y", "macs"], "macs"),
        (["plot", "made", "parreto"], "unknown plot 'parreto'. Did you mean 'pareto'?"),
        (["export", "made", "--to", "xlsx"], "unknown format 'xlsx'. Allowed: csv, parquet."),
        (["export", "made", "--to", "parqet"], "Did you mean 'parquet'?"),
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
    monkeypatch.setattr("sweeper.runner._ray", None)
    (tmp_path / "study.yaml").write_text(STUDY)
    for command in (["launch", "study.yaml"], ["resume", "made"]):
        code, out, _ = run(*command, "--results", finished)
        assert code == 0
        assert "study 'made' is finished already: " in out
    code, out, _ = run("resume", finished / "made", "--json")
    assert code == 0
    assert json.loads(out)["is_finished"]


# ----------------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"x_train": [[[0]]], "y_train": [0]}, "lacks x_validation, y_validation. It holds: x_train, y_train. Needed: "),
        ({"images": [[[0]]]}, "lacks x_train, y_train, x_validation, y_validation. It holds: images."),
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


# ------------------------------------------------------------------------------------------------ with the framework


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


# -------------------------------------------------------------------------------------------------------------- endings


def test_an_interruption_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalog, "names", interrupt)
    code, _, err = run("list")
    assert code == 130
    assert err.strip() == "interrupted; everything finished so far is saved."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (True, "true"),
        (3, "3"),
        (1234567, "1,234,567"),
        (0.5, "0.5000"),
        (1234.5, "1,234"),
        ("a", "a"),
    ],
)
def test_values_are_shown_to_people(value: object, text: str) -> None:
    assert shown(value) == text
