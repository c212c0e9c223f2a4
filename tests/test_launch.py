"""The driver on a real Ray with real training: results, faults, deaths and signals."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml

from benchmarks.stub_worker import Options, StubWorker
from sweeper.datasets import _mapped
from sweeper.driver import inputs, launch, networks, nodes, provenance, requests
from sweeper.driver.places import Offer, Places
from sweeper.errors import DatasetError, InputError, ResultsFolderError, StudyLockedError, SweeperError
from sweeper.ledger import predictions, tables
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Reason, Stage, Status
from sweeper.search import confirmation, details, repetition
from sweeper.search.study import Search
from tests.datasets.kit import classes, splits
from tests.tiny_study import TINY, check_whole, rows_of, study

pytestmark = pytest.mark.ray

STUB = functools.partial(StubWorker, options=Options(epoch_s=0.05))
"""Where nothing depends on what is trained: it needs no framework, which takes a worker six seconds to load."""


@pytest.mark.usefixtures("ray_ready")
class TestOnOneRay:
    """What can share one Ray session."""

    def test_a_study_runs_and_its_rows_are_complete(self, data: Path, tmp_path: Path) -> None:
        spec = study(data, trials=5, epochs=4, stopping={"rule": "asha", "grace_epochs": 1, "reduction_factor": 2})
        seen: list[Event] = []
        outcome = launch.launch(spec, tmp_path, watch=lambda search, event: seen.append(event) if event else None, keep_best=9)
        assert not outcome.was_finished
        assert not outcome.is_interrupted
        check_whole(outcome.folder, spec)
        trials, epochs = rows_of(outcome.folder)
        assert {trial["status"] for trial in trials} <= {Status.COMPLETED, Status.STOPPED}
        assert [trial["trial"] for trial in trials] == [f"cnn-{number:05d}" for number in range(5)]
        for row in epochs:
            assert all(row[name] is not None for name in ("val_accuracy", "val_loss", "train_s", "worker", "device", "time"))
        for trial in trials:
            assert trial["stage"] == Stage.SEARCH
            assert trial["parameters"] > 0
            assert trial["macs"] > 0
            assert trial["study_id"] == spec.study_id
            assert json.loads(trial["configuration"])["width"] == 2
            trained_on = json.loads(trial["dataset"])
            assert (trained_on["name"], trained_on["train_images"], trained_on["validation_images"]) == ("arrays", 120, 60)
        assert sum(row["import_s"] is not None for row in epochs) <= 2, "a worker loads the framework once"
        assert any(row["is_program_reused"] for row in epochs), "one structure is compiled once per worker"
        events = StudyFolder(outcome.folder).read()
        assert len(seen) == 1 + sum(event.kind is not Kind.DRIVER_STARTED for event in events)
        folded = Search(spec).fold(events)
        assert folded.trials == outcome.search.trials
        kept = set((outcome.folder / "checkpoints").names())
        assert kept == {trial["trial"] for trial in trials if trial["status"] == Status.COMPLETED}
        assert (outcome.folder / "tables" / "trials.parquet").is_file()
        with pytest.raises(DatasetError):  # the search read everything but this
            inputs.load_dataset(spec).read_test()

        shutil.copy(outcome.folder / "tables" / "epochs.parquet", outcome.folder / "tables" / "trials.parquet")
        again = launch.launch(spec, tmp_path, keep_best=1)
        assert again.was_finished
        best = max((trial for trial in trials if trial["status"] == Status.COMPLETED), key=lambda trial: trial["val_accuracy"])
        assert [path.name for path in (Path(outcome.folder) / "checkpoints").iterdir()] == [best["trial"]]
        assert pq.read_table(outcome.folder / "tables" / "trials.parquet").num_rows == 5, "what a killed driver left is mended"
        assert len(StudyFolder(outcome.folder).read()) == len(events)
        with pytest.raises(InputError, match=r"search\.sampler: random -> tpe"):
            launch.launch(
                study(data, trials=5, epochs=4, search={"sampler": "tpe"}, stopping=spec.stopping.model_dump()), tmp_path
            )

    def test_what_was_left_out_of_the_data_is_told_and_stands_in_the_rows(self, tmp_path: Path) -> None:
        folder = splits(tmp_path / "photos")
        (folder / "train" / "cat" / "bad.png").write_bytes(b"")
        (folder / "test" / "cat" / "bad.png").write_bytes(b"")
        dataset = {"name": "image_folder", "path": str(folder), "size": 8, "unreadable": "skip"}
        told: list[str] = []
        outcome = launch.launch(study(folder, trials=1, epochs=1, dataset=dataset), tmp_path, tell=told.append)
        assert told[0].startswith("1 of 28 training and validation files cannot be used and were left out: 1 empty.")
        assert len(told) == 2
        trained_on = json.loads(rows_of(outcome.folder)[0][0]["dataset"])
        assert (trained_on["train_images"], trained_on["validation_images"], trained_on["unreadable_files"]) == (18, 9, 1)

    @pytest.mark.long
    def test_mapped_images_train_the_same_bits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        dataset = {"name": "image_folder", "path": str(classes(tmp_path / "photos", 60)), "size": 8}
        monkeypatch.setenv(_mapped.CACHE, str(tmp_path / "cache"))
        found = []
        for name, limit in (("memory", 2**31), ("mapped", 1000)):
            monkeypatch.setattr(_mapped, "FROM_BYTES", limit)
            outcome = launch.launch(study(tmp_path, name, trials=1, epochs=2, dataset=dataset), tmp_path)
            found.append([(row["train_loss"], row["val_loss"], row["val_accuracy"]) for row in rows_of(outcome.folder)[1]])
        assert len(found[0]) == 2
        assert found[0] == found[1]
        assert len(list((tmp_path / "cache").glob("*/images"))) == 2

    def test_decoded_images_that_are_gone_spend_no_trial(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        dataset = {"name": "image_folder", "path": str(classes(tmp_path / "photos", 60)), "size": 8}
        monkeypatch.setenv(_mapped.CACHE, str(tmp_path / "cache"))
        monkeypatch.setattr(_mapped, "FROM_BYTES", 1000)
        spec = study(tmp_path, trials=1, epochs=1, dataset=dataset)
        said = r"no other trial could on it: on .*: the decoded images in .* cannot be read on this machine \(No such file"
        with pytest.raises(SweeperError, match=said):
            launch.launch(spec, tmp_path, tell=lambda note: shutil.rmtree(tmp_path / "cache", ignore_errors=True))
        assert launch.launch(spec, tmp_path).search.trials["cnn-00000"].status is Status.COMPLETED

    @pytest.mark.usefixtures("one_at_a_time")
    def test_a_finished_study_is_extended_and_its_trials_go_on_from_where_they_were(self, data: Path, tmp_path: Path) -> None:
        fixed = {"schedule": "constant"}
        spec = study(data, trials=2, epochs=2, fixed=fixed)
        launch.launch(spec, tmp_path)
        outcome = launch.launch(study(data, trials=3, epochs=4, fixed=fixed), tmp_path)
        whole = launch.launch(study(data, "whole", trials=3, epochs=4, fixed=fixed), tmp_path)
        assert outcome.search.is_finished
        rows = [rows_of(run.folder)[1] for run in (outcome, whole)]
        metrics = [[(row["trial"], row["epoch"], row["val_loss"], row["train_loss"]) for row in table] for table in rows]
        assert metrics[0] == metrics[1], "bit for bit what it had been, asked for all at once"
        attempts = [row["attempt"] for row in rows[0] if row["trial"] == "cnn-00001"]
        assert attempts == [1, 1, 2, 2]
        assert launch.launch(spec, tmp_path).was_finished, "the file it began with says so too"

    def test_a_running_study_takes_an_extension(self, data: Path, tmp_path: Path) -> None:
        spec = study(data, trials=2, epochs=3)
        posted: list[Path] = []

        def watch(search: Search, event: Event | None) -> None:
            if event and event.kind is Kind.EPOCH and not posted:
                wanted = study(data, trials=4, epochs=3)
                posted.append(requests.post(tmp_path / "tiny", wanted, repeats_decayed=False))
                posted.append(requests.post(tmp_path / "tiny", study(data, trials=1, epochs=3), repeats_decayed=False))

        outcome = launch.launch(spec, tmp_path, watch=watch, worker=STUB)
        assert len(posted) == 2
        assert not any(path.exists() for path in posted), "what a study cannot become is dropped"
        assert outcome.search.spec.budget.trials == 4
        check_whole(outcome.folder, outcome.search.spec)
        trials, _ = rows_of(outcome.folder)
        assert [trial["status"] for trial in trials] == [Status.COMPLETED] * 4

    @pytest.mark.usefixtures("one_at_a_time")
    def test_trials_are_repeated_with_paired_seeds_and_launching_again_repeats_nothing(self, data: Path, tmp_path: Path) -> None:
        spec = study(data, trials=2, epochs=2)
        arms = {"one": spec.arms["cnn"], "two": spec.arms["cnn"]}
        spec = spec.model_copy(update={"arms": arms})
        launch.launch(spec, tmp_path)

        def repeat(search: Search) -> list[details.Repetition]:
            return repetition.plan(search, ["defaults"], 2)

        outcome = launch.launch(spec, tmp_path, repeat=repeat)
        assert outcome.search.is_finished
        trials, _ = rows_of(outcome.folder)
        repeated = {trial["trial"]: trial for trial in trials if trial["stage"] == Stage.ABLATION}
        assert sorted(repeated) == ["one-00000-s1", "one-00000-s2", "two-00000-s1", "two-00000-s2"]
        assert all(trial["status"] == Status.COMPLETED and trial["epoch"] == 2 for trial in repeated.values())
        assert {(trial["parent"], trial["seed"]) for trial in repeated.values()} == {
            (f"{arm}-00000", seed) for arm in arms for seed in (1, 2)
        }
        assert len({trial["val_loss"] for trial in repeated.values()}) == 4, "another seed or arm begins with other weights"
        assert launch.launch(spec, tmp_path, repeat=repeat).was_finished
        with pytest.raises(InputError, match="--vary split: the validation images of arrays are not carved"):
            launch.launch(spec, tmp_path, repeat=lambda search: repetition.plan(search, ["defaults"], 1, "split"))

    @pytest.mark.usefixtures("one_at_a_time")
    def test_the_best_are_confirmed_on_images_carved_anew_and_tested(self, data: Path, tmp_path: Path) -> None:
        spec = study(data, trials=2, epochs=2, dataset={"name": "digits", "fraction": 0.1})
        launch.launch(spec, tmp_path)
        plan = functools.partial(confirmation.plan, per_arm=1, num_seeds=2)
        outcome = launch.launch(spec, tmp_path, repeat=plan, keep_best=1)
        trials, _ = rows_of(outcome.folder)
        rows = {trial["trial"]: trial for trial in trials if trial["stage"] == Stage.CONFIRM}
        assert len(rows) == 2
        assert all(0 < trial["test_accuracy"] < 1 for trial in rows.values())
        assert {trial["test_accuracy"] for trial in trials if trial["stage"] == Stage.SEARCH} == {None}
        assert len({json.loads(trial["versions"])["carved anew"] for trial in rows.values()}) == 2
        assert set((outcome.folder / "checkpoints").names()) >= rows.keys(), "all models of this stage stay"
        table, class_names = predictions.read(outcome.folder)
        assert table and table.group_by("trial").aggregate([("row", "count")])["row_count"].to_pylist() == [359 + 359] * 2
        assert class_names == tuple("0123456789")
        assert launch.launch(spec, tmp_path, repeat=plan).was_finished

    @pytest.mark.usefixtures("one_at_a_time")
    def test_a_trial_that_fails_is_a_row_with_its_reason(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(networks, "building", lambda study, arms: contextlib.nullcontext(lambda dataset: []))
        expected = {
            "diverges": ({"optimizer": "sgd", "learning_rate": 1e30}, Reason.NAN, ""),
            "unknown": ({"no_such_knob": 1}, Reason.EXCEPTION, "no_such_knob"),
            "huge": ({"dense_units": 10**13}, Reason.OUT_OF_MEMORY, ""),
            "odd": ({"kernel_size": -1}, Reason.INFEASIBLE, "kernel_size"),
        }
        arms = {name: {"architecture": "cnn", "space": "cnn", "fixed": TINY | fixed} for name, (fixed, _, _) in expected.items()}
        outcome = launch.launch(study(data, trials=4, arms=arms), tmp_path)
        trials, _ = rows_of(outcome.folder)
        assert {trial["arm"]: (trial["status"], trial["reason"]) for trial in trials} == {
            name: (Status.FAILED, reason) for name, (_, reason, _) in expected.items()
        }
        assert all(expected[trial["arm"]][2] in (trial["detail"] or "") for trial in trials)
        assert outcome.search.is_finished

    def test_networks_that_cannot_be_built_are_refused_before_anything_is_there(self, data: Path, tmp_path: Path) -> None:
        plain = {"architecture": "cnn", "space": "cnn"}
        arms = {"cnn": plain, "odd": {**plain, "fixed": {"kernel_size": -1}}}
        with pytest.raises(InputError) as refused:
            launch.launch(study(data, arms=arms), tmp_path)
        said = str(refused.value)
        assert said.startswith(
            "study 'tiny' cannot run on these images; nothing was started:\n  - arms.odd: 'kernel_size' is -1; "
        )
        assert len(said.splitlines()) == 2
        assert list(tmp_path.iterdir()) == []

    def test_a_killed_worker_is_replaced_and_its_trial_goes_on(self, data: Path, tmp_path: Path) -> None:
        spec = study(data, trials=3, epochs=5)
        killed: list[str] = []

        def watch(search: Search, event: Event | None) -> None:
            if event and event.epoch == 2 and event.trial == "cnn-00001" and not killed:
                killed.append(event.trial)
                os.kill(int((event.worker or "").rsplit(":", 1)[1]), signal.SIGKILL)

        outcome = launch.launch(spec, tmp_path, watch=watch, worker=STUB)
        assert killed
        check_whole(outcome.folder, spec)
        trials, epochs = rows_of(outcome.folder)
        assert [trial["status"] for trial in trials] == [Status.COMPLETED] * 3
        own = [row["attempt"] for row in epochs if row["trial"] == "cnn-00001"]
        assert own[0] == 1
        assert own[-1] == 2
        ended = [event for event in StudyFolder(outcome.folder).read() if event.kind is Kind.ATTEMPT_ENDED]
        assert [(event.trial, event.status, event.reason) for event in ended] == [("cnn-00001", Status.INTERRUPTED, Reason.DIED)]

    def test_an_error_in_the_driver_comes_out_as_itself_and_all_is_saved(self, data: Path, tmp_path: Path) -> None:
        spec = study(data)

        def watch(search: Search, event: Event | None) -> None:
            if event and event.epoch == 2:
                raise ZeroDivisionError("in the driver")

        with pytest.raises(ZeroDivisionError, match="in the driver"):
            launch.launch(spec, tmp_path, watch=watch, worker=STUB)
        store = StudyFolder(tmp_path / "tiny")
        assert store.owner is None
        assert {trial.status for trial in Search(spec).fold(store.read()).trials.values()} == {Status.INTERRUPTED}
        outcome = launch.launch(spec, tmp_path, worker=STUB)
        check_whole(outcome.folder, spec)
        assert outcome.search.is_finished

    def test_no_more_trials_run_than_asked_for(self, data: Path, tmp_path: Path) -> None:
        running: list[int] = []

        def watch(search: Search, event: Event | None) -> None:
            running.append(sum(trial.status is Status.RUNNING for trial in search.trials.values()))

        outcome = launch.launch(study(data, trials=3), tmp_path, max_concurrent=1, watch=watch, worker=STUB)
        assert outcome.search.is_finished
        assert max(running) == 1

    def test_a_worker_that_cannot_start_ends_the_sweep_and_spends_no_trial(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: find_spec("keras" if name == "torch" else name))
        spec = study(data, training={"backend": "torch"})
        with pytest.raises(SweeperError, match=r"(?s)a worker cannot go on.*No module named 'torch'"):
            launch.launch(spec, tmp_path)
        trials, _ = rows_of(tmp_path / "tiny")
        assert {trial["status"] for trial in trials} == {Status.INTERRUPTED}

    def test_trials_share_logical_gpus(self, data: Path, tmp_path: Path) -> None:
        spec = study(data, trials=2, epochs=1, resources={"cpus_per_trial": 1, "gpus_per_trial": 0.5})
        assert launch.launch(spec, tmp_path, worker=STUB).search.is_finished
        with pytest.raises(InputError, match=r"no trial fits.*gpus_per_trial: 3"):
            launch.launch(study(data, "big", resources={"gpus_per_trial": 3.0}), tmp_path)
        assert not (tmp_path / "big").exists(), "the corrected study must not be refused for the one that could not run"

    def test_results_stay_when_the_tables_cannot_be_written(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise ResultsFolderError("the disk is full")

        spec = study(data, trials=1, epochs=1)
        with monkeypatch.context() as patch:
            patch.setattr(tables, "write_tables", full)
            with pytest.raises(ResultsFolderError):
                launch.launch(spec, tmp_path, worker=STUB)
        assert Search(spec).fold(StudyFolder(tmp_path / "tiny").read()).is_finished
        assert launch.launch(spec, tmp_path).was_finished

    def test_the_death_of_rays_own_processes_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import ray

        node = ray._private.worker._global_node
        assert {"raylet", "gcs_server"} <= set(node.all_processes), "Ray keeps its processes elsewhere now"
        nodes.check_own()
        dead = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
        dead.wait()
        monkeypatch.setitem(node.all_processes, "raylet", [SimpleNamespace(process=dead)])
        with pytest.raises(SweeperError, match=r"raylet on this machine died \(status 3\)"):
            nodes.check_own()

    def test_a_second_driver_is_refused(self, data: Path, tmp_path: Path) -> None:
        spec = study(data)
        store = StudyFolder(tmp_path / "tiny")
        store.create(spec.to_yaml())
        with store.drive(), pytest.raises(StudyLockedError, match=str(os.getpid())):
            launch.launch(spec, tmp_path)


def test_checkpoints_a_killed_driver_left_are_removed(data: Path, tmp_path: Path) -> None:
    """It was killed between the commit that made them useless and their removal."""
    from sweeper.driver.retention import CheckpointRetention
    from sweeper.driver.session import Session

    search = Search(study(data))
    event = search.propose()
    assert event is not None
    search.apply(event)
    search.apply(search.judge(Event(kind=Kind.ATTEMPT_ENDED, trial=event.trial, attempt=1, reason=Reason.EXCEPTION)))
    left = tmp_path / "checkpoints" / "cnn-00000" / "attempt-1" / "epoch-00001.npz"
    left.parent.mkdir(parents=True)
    left.touch()
    store = StudyFolder(tmp_path / "tiny")
    store.create(study(data).to_yaml())
    with store.drive() as ledger:
        keeper = CheckpointRetention(tmp_path / "checkpoints", search)
        Session(search, ledger, keeper, Places(lambda: [Offer(cpus=2)]), lambda event: None, {}).next_attempts("any")
    assert not left.exists()


def test_a_copy_inside_another_repository_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance.commit() is None
    (tmp_path / "provenance.py").touch()
    subprocess.run([*git, "add", "provenance.py"], check=True)
    assert len(provenance.commit() or "") == 40


@pytest.mark.long
def test_rays_memory_monitor_kills_no_worker(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    content = yaml.safe_load(study(data, trials=1, epochs=1).to_yaml())
    content["arms"]["cnn"]["fixed"] = {"width": 16}
    file.write_text(yaml.safe_dump(content))
    process = start(file, tmp_path, RAY_memory_usage_threshold="0.001")  # any memory in use is too much
    output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    trials, _ = rows_of(tmp_path / "tiny")
    assert [trial["status"] for trial in trials] == [Status.COMPLETED]


def start(file: Path, results: Path, **settings: str) -> subprocess.Popen[str]:
    """`sweeper launch` as a user starts it."""
    command = [sys.executable, "-m", "sweeper", "launch", str(file), "--results", str(results), "--num-cpus", "2"]
    environment = {
        name: value for name, value in os.environ.items() if name not in ("KERAS_HOME", "KERAS_BACKEND", "RAY_ADDRESS")
    }
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment | settings)
