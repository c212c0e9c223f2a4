"""Studies in real object stores on loopback: two drivers that start at once; a line on which requests and answers get lost."""

from __future__ import annotations

import dataclasses
import inspect
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sweeper.audit.findings import Found
from sweeper.audit.whole import audit
from sweeper.errors import LedgerError, ResultsFolderError, StudyLockedError
from sweeper.ledger import lock
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Kind
from sweeper.storage import objects, place, stores
from sweeper.study.spec import parse
from tests import test_launch_s3, test_storage
from tests.driverless import drive, facts
from tests.ledger.ledgers import note, notes
from tests.system import servers

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

pytestmark = pytest.mark.system

study_file = test_launch_s3.study_file

SWEEP = """\
name: sweep
dataset: {name: digits}
arms: {cnn: {}, se: {architecture: cnn, fixed: {attention: se}}, vit: {}}
budget: {trials: 24, max_epochs: 8}
search: {sampler: random, seed: 1}
stopping: {rule: asha, grace_epochs: 1, reduction_factor: 2}
"""

ROUNDS = int(os.environ.get("ROUNDS", "100"))
"""How often two drivers start at the same instant."""


@pytest.fixture(scope="module")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if servers.missing():
        pytest.skip(f"Ceph is not installed: there is no {servers.missing()}")
    with servers.ceph(tmp_path_factory.mktemp("ceph")) as address:
        yield address


@pytest.fixture(params=["s3", "az"])
def results(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A results folder in a store of each kind, with the environment that gives access to it."""
    if request.param == "s3":
        for name, value in servers.ceph_bucket(request.getfixturevalue("ceph"), "race").items():
            monkeypatch.setenv(name, value)
        yield "s3://race/results"
        return
    if shutil.which(os.environ.get("AZURITE", "azurite-blob")) is None:
        pytest.skip("Azurite is not installed (npm install -g azurite, or name its azurite-blob in AZURITE)")
    with servers.azurite(tmp_path, "race") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield "az://race/results"


@pytest.mark.parametrize("contract", [
    test_storage.test_a_folder_and_what_lies_below_it, test_storage.test_what_is_missing_is_empty_or_said_to_be_missing,
    test_storage.test_a_file_is_replaced_only_when_it_may_be, test_storage.test_a_large_file_is_whole,
    test_storage.test_part_of_a_file_is_read_without_the_rest, test_storage.test_damaged_files_are_set_aside,
    test_storage.test_checkpoints,
], ids=lambda test: test.__name__)  # fmt: skip
def test_places_are_what_they_are_elsewhere(results: str, contract: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    more = (monkeypatch,) if "monkeypatch" in inspect.signature(contract).parameters else ()
    contract(place(results) / contract.__name__, *more)


def drivers(results: str, number: int, rounds: int, together: Barrier, answers: Any) -> None:
    """A process that starts a driver of every study in the same instant as the other one does."""
    for index in range(rounds):
        study = StudyFolder(f"{results}/study-{index}")
        together.wait(120)
        try:
            with study.drive() as ledger:
                ledger.append(note(f"driver {number}"))
                ledger.commit()
                together.wait(120)
                ledger.append(note(f"driver {number} once more"))
            answers.put((index, number, "worked"))
        except StudyLockedError:
            answers.put((index, number, "refused"))
            together.wait(120)
        together.wait(120)


def test_of_two_drivers_that_start_in_the_same_instant_one_works_each_time(results: str) -> None:
    dead = lock.Owner(host="h", pid=2**22 + 1, started="2020", token="", machine=lock._machine())
    for index in range(ROUNDS):
        study = StudyFolder(f"{results}/study-{index}")
        study.create("name: study\n")
        if index % 2:  # every second study was left by a driver that died
            content = dataclasses.asdict(dataclasses.replace(dead, token=f"dead-{index}"))
            (study.folder / "owner.json").write_whole(json.dumps(content).encode())
    context = multiprocessing.get_context("spawn")
    together, answers = context.Barrier(2), context.SimpleQueue()
    both = [context.Process(target=drivers, args=(results, number, ROUNDS, together, answers)) for number in range(2)]
    for process in both:
        process.start()
    told = [answers.get() for _ in range(2 * ROUNDS)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    for index in range(ROUNDS):
        outcomes = {number: said for study, number, said in told if study == index}
        assert sorted(outcomes.values()) == ["refused", "worked"], f"round {index}"
        (winner,) = (number for number, said in outcomes.items() if said == "worked")
        study = StudyFolder(f"{results}/study-{index}")
        assert notes(study) == [f"driver {winner}", f"driver {winner} once more"]
        assert sum(event.kind is Kind.DRIVER_STARTED for event in study.read()) == 1
        assert study.owner is None
    wins = sum(number for _, number, said in told if said == "worked")
    print(f"{ROUNDS} rounds: process 1 won {wins}, process 0 the others")


def test_on_a_bad_line_nothing_is_lost_or_repeated(ceph: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a driver was told is stored stays, once; what it was not told may be stored, once."""
    for name, value in servers.ceph_bucket(ceph, "faults").items():
        monkeypatch.setenv(name, value)
    for module, name, seconds in (
        (lock, "HEARTBEAT_S", 0.3), (lock, "STALE_S", 4.0), (objects, "CLAIM_S", 4.0), (stores, "SILENCE_TIMEOUT_S", 2.0),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, seconds)
    study = StudyFolder("s3://faults/results/study")
    study.create("name: study\n")
    number, acknowledged, stopped = 300, list[int](), 0
    faults = dict.fromkeys(("500", "500 afterwards", "cut", "cut afterwards", "late", "silent"), 0.02) | {"silent": 0.005}
    with servers.bad_line(ceph, faults) as (address, count):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        while len(notes_surely(study)) < number:
            try:
                with study.drive() as ledger:
                    for index in range(len(notes(study)), number):
                        ledger.append(note(index))
                        ledger.commit()
                        acknowledged.append(index)
                        if index % 50 == 49:
                            ledger.compact()
            except (LedgerError, ResultsFolderError):
                stopped += 1
                assert stopped < 50
                threading.Event().wait(0.5)
    monkeypatch.setenv("AWS_ENDPOINT_URL", ceph)
    print(f"{dict(count)}; the driver stopped {stopped} times")
    assert all(count[fault] for fault in faults)
    assert notes(study) == [str(index) for index in range(number)]
    assert set(acknowledged) <= set(range(number)) and len(set(acknowledged)) == len(acknowledged)


def test_a_sweep_on_a_bad_line_ends_whole(ceph: str, study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver and its workers: the command a user gives, on Ray, with real training."""
    kept = {name: value for name, value in os.environ.items() if name not in ("KERAS_HOME", "KERAS_BACKEND", "RAY_ADDRESS")}
    variables = servers.ceph_bucket(ceph, "sweep")

    def run(address: str, *arguments: str) -> str:
        command = [sys.executable, "-m", "sweeper", *arguments]
        given = kept | variables | {"AWS_ENDPOINT_URL": address}
        done = subprocess.run(command, env=given, cwd=study_file.parent, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    faults = dict.fromkeys(("500", "500 afterwards", "cut", "cut afterwards", "late"), 0.02)
    with servers.bad_line(ceph, faults) as (address, count):
        run(address, "launch", str(study_file), "--results", "s3://sweep/results", "--num-cpus", "2")
    print(dict(count))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    study = StudyFolder("s3://sweep/results/tiny")
    epochs = [(event.trial, event.epoch) for event in study.read() if event.kind is Kind.EPOCH]
    assert len(epochs) == len(set(epochs)) == test_launch_s3.EPOCHS
    run(ceph, "audit", str(study.folder))


def test_a_sweep_on_a_bad_line_ends_as_elsewhere(ceph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real search and ledger, with a worker that trains nothing, twice: in a folder, and in the store."""
    spec = parse(SWEEP)
    here, there = StudyFolder(tmp_path / "sweep"), StudyFolder("s3://stub/results/sweep")
    drive(here, spec)
    for name, value in servers.ceph_bucket(ceph, "stub").items():
        monkeypatch.setenv(name, value)
    faults = dict.fromkeys(("500", "500 afterwards", "cut", "cut afterwards", "late"), 0.02)
    with servers.bad_line(ceph, faults) as (address, count):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        drive(there, spec, compact_every=40)
    print(dict(count))
    monkeypatch.setenv("AWS_ENDPOINT_URL", ceph)
    told, expected = facts(there), facts(here)
    assert told["fold"] == expected["fold"]
    for table in ("trials", "epochs"):
        assert [row | {"time": 0} for row in told[table]] == [row | {"time": 0} for row in expected[table]]
    assert [finding for finding in audit(there).findings if finding.kind is not Found.STALE] == []


def notes_surely(study: StudyFolder) -> list[str | None]:
    while True:
        try:
            return notes(study)
        except (LedgerError, ResultsFolderError):
            pass
