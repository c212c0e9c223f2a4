"""One driver per study."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

from sweeper.errors import LedgerError, ResultsFolderError, StudyLockedError
from sweeper.ledger import lock, parts
from sweeper.ledger.ledger import Ledger, StudyFolder
from sweeper.ledger.records import Kind
from sweeper.storage import LocalPlace, Place, place
from tests.buckets import set_modified
from tests.ledger.ledgers import failing, note, notes, put, write_owner

# Lock


def test_two_drivers_are_refused(study: StudyFolder) -> None:
    with study.drive() as ledger:
        assert study.owner is not None
        assert study.owner.pid == os.getpid()
        with pytest.raises(StudyLockedError, match=f"process {os.getpid()} on .*, since 20.*kill"), study.drive():
            pass
        ledger.append(note("a"))
    assert notes(study) == ["a"]
    assert study.owner is None
    assert not (study.folder / "owner.json").exists()


HOLD = """
import sys, time
from sweeper.ledger.lock import Lock
from sweeper.storage import place
Lock.acquire(place(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(study: StudyFolder) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the study."""
    root = str(Path(lock.__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(study.folder)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_live_process_keeps_its_study_and_a_dead_one_does_not(study: StudyFolder, other: subprocess.Popen[str]) -> None:
    with pytest.raises(StudyLockedError, match=f"process {other.pid} "), study.drive():
        pass
    other.kill()
    # Killed and not yet collected by its parent: as dead as it gets.
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert study.owner is None
    with study.drive() as ledger:
        assert ledger.generation == 1


def test_a_foreign_machine_counts_by_its_heartbeat(study: StudyFolder) -> None:
    # The same host name is no proof of the same machine, so a number of no process here says nothing.
    write_owner(study, 0, host=lock.socket.gethostname(), pid=2**22 + 1)
    with pytest.raises(StudyLockedError, match="sign of life"), study.drive():
        pass
    write_owner(study, lock.STALE_S + 10)
    with study.drive():
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"host": 1}', '{"pid": "x"}'])
def test_torn_owner_file(study: StudyFolder, text: str) -> None:
    path = study.folder / "owner.json"
    put(path, text.encode())
    with pytest.raises(StudyLockedError, match="just written its lock"), study.drive():
        pass
    set_modified(path, 0)
    with study.drive():
        pass


def test_a_full_disk_leaves_no_half_written_owner(local_study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep everybody out until it is stale, when there is space again long before."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.ENOSPC))
        with pytest.raises(ResultsFolderError, match="is full"), local_study.drive():
            pass
    with local_study.drive():
        pass


def test_only_one_of_many_takes_over(local_study: StudyFolder) -> None:
    write_owner(local_study, lock.STALE_S + 10)
    barrier = threading.Barrier(8)
    outcomes: list[lock.Lock | StudyLockedError] = []

    def take() -> None:
        barrier.wait()
        try:
            outcomes.append(lock.Lock.acquire(local_study.folder))
        except StudyLockedError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if isinstance(outcome, lock.Lock)]
    assert len(outcomes) == 8
    assert len(winners) == 1
    winners[0].check()
    winners[0].release()


def test_vanished_lock_refuses_the_commit(study: StudyFolder) -> None:
    ledger = Ledger.open(study, {}, None)
    (study.folder / "owner.json").remove()
    ledger.append(note("a"))
    with pytest.raises(StudyLockedError, match="is gone"):
        ledger.commit()
    ledger.close()
    assert notes(study) == []


def test_a_lock_taken_over_refuses_the_commit_and_is_not_released(study: StudyFolder) -> None:
    ledger = Ledger.open(study, {}, None)
    write_owner(study, 0)
    ledger.append(note("a"))
    with pytest.raises(StudyLockedError, match=r"taken over by process .* on h, since 2020"):
        ledger.commit()
    ledger.close()
    assert notes(study) == []
    assert json.loads((study.folder / "owner.json").read_bytes())["token"] == "t"


def test_a_lock_lost_while_a_part_was_written_is_not_acknowledged(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write = parts.write

    def slow(path: Place, table: pa.Table) -> None:
        write_owner(study, 0)
        write(path, table)

    ledger = Ledger.open(study, {}, None)
    ledger.append(note("a"))
    monkeypatch.setattr(parts, "write", slow)
    with pytest.raises(StudyLockedError, match="taken over"):
        ledger.commit()
    ledger.close()


def test_rows_stored_while_the_lock_could_not_be_read_are_not_stored_again(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with study.drive() as ledger:
        ledger.append(note("a"))
        check, calls = lock.Lock.check, iter([True, False])

        def flaky(held: lock.Lock) -> None:
            if not next(calls, True):
                raise LedgerError("the owner file cannot be read")
            check(held)

        with monkeypatch.context() as patch:
            patch.setattr(lock.Lock, "check", flaky)
            with pytest.raises(LedgerError):
                ledger.commit()
        assert ledger.num_buffered == 1, "nobody may act on it yet"
        ledger.append(note("b"))
        ledger.commit()
        assert ledger.num_buffered == 0
    keys = [(event.detail, event.key) for event in study.read() if event.kind is Kind.ATTEMPT_ENDED]
    assert keys == [("a", (1, 2, 0)), ("b", (1, 3, 0))]


def test_a_heartbeat_under_way_does_not_outlive_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beats, may_arrive = threading.Event(), threading.Event()

    def touch(place: LocalPlace) -> None:
        content = place.read_bytes()
        beats.set()
        may_arrive.wait(20)
        place.write_whole(content, may_replace=True)  # as in a bucket

    monkeypatch.setattr(LocalPlace, "touch", touch)
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.01)
    held = lock.Lock.acquire(place(tmp_path))
    assert beats.wait(20)
    threading.Timer(0.3, may_arrive.set).start()
    held.release()
    held._heart.join()
    assert not (tmp_path / "owner.json").exists()


def test_heartbeat(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.01)
    path = study.folder / "owner.json"
    with study.drive() as ledger:
        set_modified(path, 0)
        while path.modified() == 0:
            time.sleep(0.01)
        assert ledger._lock._heart.is_alive()
    assert not ledger._lock._heart.is_alive()


def test_without_flock(local_study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    write_owner(local_study, lock.STALE_S + 10)
    with local_study.drive(), pytest.raises(StudyLockedError), local_study.drive():
        pass


def test_a_guard_held_too_long(local_study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "GUARD_S", 0.0)
    with lock._guard(local_study.folder), pytest.raises(StudyLockedError, match="Try again later"), local_study.drive():
        pass


# A driver that gets ready


def test_who_gets_ready_keeps_others_out_and_drives_with_the_same_lock(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "results" / "a")
    with lock.preparing(study.folder) as held:
        assert study.owner == held.owner
        assert not study.exists
        with pytest.raises(StudyLockedError), lock.preparing(study.folder):
            pass
        study.create("name: a")
        with study.drive(lock=held) as ledger:
            ledger.append(note("a"))
            assert study.owner == held.owner
        assert study.owner is None
    assert notes(study) == ["a"]


def test_a_study_that_does_not_come_to_be_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), lock.preparing(place(tmp_path / "results" / "a")):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "results" / "a").mkdir(parents=True)
    (tmp_path / "results" / "b").mkdir()
    with lock.preparing(place(tmp_path / "results" / "a")):
        pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "results"], "what was there before stays"


def test_who_cannot_get_ready_is_told_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsFolderError, match="file is a file"), lock.preparing(place(tmp_path / "file" / "a")):
        pass
