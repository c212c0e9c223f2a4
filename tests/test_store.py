"""The ledger, its lock, and the tables derived from it."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies

from sweeper import lock, parts, records, storage, store, tables
from sweeper.errors import InputError, LedgerError, ResultsFolderError, StudyLockedError
from sweeper.records import Event, Kind, Reason, Stage, Status
from sweeper.storage import LocalPlace, Place, place
from sweeper.store import StudyStore, study_folder
from tests.buckets import set_modified


@pytest.fixture(params=["local", "s3"])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A results folder of each kind of storage."""
    return place(tmp_path) if request.param == "local" else request.getfixturevalue("bucket") / "results"


@pytest.fixture
def study(results: Place) -> StudyStore:
    made = StudyStore(results / "study")
    made.create("name: study\n")
    return made


@pytest.fixture
def local_study(tmp_path: Path) -> StudyStore:
    """For what only happens on a file system."""
    made = StudyStore(tmp_path / "study")
    made.create("name: study\n")
    return made


def note(text: object) -> Event:
    return Event(kind=Kind.ATTEMPT_ENDED, detail=str(text), time=0.0)


def notes(study: StudyStore) -> list[str | None]:
    return [event.detail for event in study.read() if event.kind is Kind.ATTEMPT_ENDED]


def without_compactions(study: StudyStore) -> list[Event]:
    return [event for event in study.read() if event.kind is not Kind.COMPACTED]


def names(study: StudyStore) -> list[str]:
    return sorted(study.ledger_folder.names())


def table_of(path: Place) -> pa.Table:
    return pq.read_table(io.BytesIO(path.read_bytes()))


def put(path: Place, content: bytes | pa.Table) -> None:
    """Write a file or a part as nothing of ours would."""
    if isinstance(content, pa.Table):
        data = io.BytesIO()
        pq.write_table(content, data)
        content = data.getvalue()
    path.write_whole(content, may_replace=True)


def same(left: Event, right: Event) -> bool:
    """Equality in which NaN equals NaN and nothing else."""
    return repr(left) == repr(right) and dataclasses.asdict(left).keys() == dataclasses.asdict(right).keys()


def failing(code: int) -> Callable[..., Any]:
    def fail(*arguments: Any, **_: Any) -> Any:
        raise OSError(code, os.strerror(code), str(arguments[0]) if arguments else None)

    return fail


# Folders


@pytest.mark.parametrize("name", ["a", "fer2013", "A.b-c_d", "0" * 64])
def test_study_folder(tmp_path: Path, name: str) -> None:
    assert study_folder(tmp_path, name) == place(tmp_path / name)


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", "/etc", "-a", ".a", "a\n", "ä", "a b", "0" * 65, "a\0"])
def test_study_folder_refuses_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="study name"):
        study_folder(tmp_path, name)


def test_study_folder_refuses_links_that_lead_out(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "out").symlink_to(tmp_path)
    (results / "round").symlink_to(results / "round")
    for name in ("out", "round"):
        with pytest.raises(InputError, match="leads out of"):
            study_folder(results, name)


def test_study_folder_below_a_linked_results_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "real")
    assert study_folder(tmp_path / "results", "a") == place(tmp_path / "results" / "a")


def test_create(results: Place) -> None:
    study = StudyStore(results / "new" / "study")
    assert not study.exists
    study.create("name: süß\n")
    assert study.exists
    assert study.study_yaml() == "name: süß\n"
    assert study.read() == []
    is_local = isinstance(results, LocalPlace)
    assert sorted(study.folder.names()) == (["ledger", "study.yaml"] if is_local else ["study.yaml"])
    with pytest.raises(ResultsFolderError, match="holds a study already"):
        study.create("name: other\n")
    assert study.study_yaml() == "name: süß\n"


def test_nothing_there(results: Place) -> None:
    study = StudyStore(results / "study")
    for act in (study.read, study.study_yaml, study.drive().__enter__):
        with pytest.raises(ResultsFolderError, match=r"there is no study in .*study"):
            act()
    assert not study.folder.exists()


def test_folders_are_durable_before_anything_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was synced vanishes with its folder when the power fails before the folder's own name is on the disk."""
    synced: list[Path] = []
    monkeypatch.setattr(storage, "sync_folder", synced.append)
    place(tmp_path / "results" / "study" / "ledger").make_folder()
    assert synced == [tmp_path.parent, tmp_path, tmp_path / "results", tmp_path / "results" / "study"]
    place(tmp_path / "results" / "study" / "ledger").make_folder()
    assert len(synced) == 4


def test_create_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsFolderError, match="results is a file"):
        StudyStore(tmp_path / "results" / "study").create("")


@pytest.mark.parametrize(
    ("code", "text"), [(errno.ENOSPC, "is full"), (errno.EROFS, "not writable"), (errno.EIO, "Check the disk")]
)
def test_create_explains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, text: str) -> None:
    monkeypatch.setattr(os, "fsync", failing(code))
    study = StudyStore(tmp_path / "study")
    with pytest.raises(ResultsFolderError, match=text):
        study.create("")
    assert not study.exists


def test_drive_explains_a_folder_it_cannot_write(local_study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EACCES))
    with pytest.raises(ResultsFolderError, match="not writable"), local_study.drive():
        pass


# Round trip

TEXTS = strategies.none() | strategies.text() | strategies.sampled_from(["a\nb", "\r\n\t", '"', "é🙂\0", "NaN", "", "null"])
VALUES: dict[str, strategies.SearchStrategy[Any]] = {
    "str": TEXTS,
    "int": strategies.none() | strategies.integers(min_value=-(2**63), max_value=2**63 - 1),
    "float": strategies.none() | strategies.floats(allow_nan=True, allow_infinity=True),
    "bool": strategies.none() | strategies.booleans(),
    "Kind": strategies.sampled_from([kind for kind in Kind if kind is not Kind.DRIVER_STARTED]),
    "Stage": strategies.none() | strategies.sampled_from(list(Stage)),
    "Status": strategies.none() | strategies.sampled_from(list(Status)),
    "Reason": strategies.none() | strategies.sampled_from(list(Reason)),
}
EVENTS = strategies.builds(Event, **{column["name"]: VALUES[column["type"]] for column in records.describe()})


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(batches=strategies.lists(strategies.lists(EVENTS, max_size=4), max_size=4), is_compacted=strategies.booleans())
def test_events_survive(tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]], is_compacted: bool) -> None:
    study = StudyStore(tmp_path_factory.mktemp("results") / "study")
    study.create("")
    appended = []
    with study.drive() as ledger:
        for batch in batches:
            appended += [ledger.append(event) for event in batch]
            ledger.commit()
        if is_compacted:
            ledger.compact()
    started, *read = study.read()
    assert started.kind is Kind.DRIVER_STARTED
    if is_compacted and any(batches):
        assert read.pop().kind is Kind.COMPACTED
    assert len(read) == len(appended)
    for before, after, event in zip((event for batch in batches for event in batch), read, appended, strict=True):
        assert same(after, event)
        key = {"generation": None, "sequence": None, "position": None}
        assert same(after.replace(time=before.time, **key), before.replace(**key))
        assert before.time is None or repr(after.time) == repr(before.time)


def test_read_events_are_events(study: StudyStore) -> None:
    with study.drive() as ledger:
        appended = ledger.append(Event(kind=Kind.EPOCH, stage=Stage.SEARCH, status=Status.STOPPED, reason=Reason.RUNG))
    event = study.read()[1]
    assert event == appended
    assert hash(event) == hash(appended)
    assert event.key == (1, 2, 0)
    assert event.stage is Stage.SEARCH
    assert event.status is Status.STOPPED
    assert event.reason is Reason.RUNG
    assert event.replace(epoch=3).epoch == 3
    assert isinstance(event.time, float)


def test_text_that_is_no_text_is_kept_escaped(study: StudyStore) -> None:
    with study.drive() as ledger:
        ledger.append(note("bad \udcff byte"))
    assert notes(study) == ["bad \\udcff byte"]


def test_keys_count_generations_commits_and_rows(study: StudyStore) -> None:
    for _ in range(2):
        with study.drive() as ledger:
            ledger.append(note("a"))
            ledger.append(note("b"))
            ledger.commit()
            ledger.commit()
            ledger.append(note("c"))
    expected = [(1, 0), (2, 0), (2, 1), (3, 0)]
    assert [event.key for event in study.read()] == [(generation, *key) for generation in (1, 2) for key in expected]
    assert names(study) == [f"{generation:06d}-{n:09d}.parquet" for generation in (1, 2) for n in (1, 2, 3)]


def test_driver_started_keeps_its_details_and_the_fence(study: StudyStore) -> None:
    with study.drive({"host": "h"}, study_id="abc"):
        pass
    with study.drive() as ledger:
        ledger.append(note("a"))
    with study.drive({"host": "i"}):
        pass
    started = [event for event in study.read() if event.kind is Kind.DRIVER_STARTED]
    assert [json.loads(event.detail or "") for event in started] == [
        {"host": "h", "schema": records.SCHEMA_VERSION, "fence": {}},
        {"schema": records.SCHEMA_VERSION, "fence": {"1": 1}},
        {"host": "i", "schema": records.SCHEMA_VERSION, "fence": {"1": 1, "2": 2}},
    ]
    assert started[0].study_id == "abc"


def test_append_and_commit_after_close_are_bugs(study: StudyStore) -> None:
    with study.drive() as ledger:
        pass
    with pytest.raises(AssertionError):
        ledger.append(note("late"))
    with pytest.raises(AssertionError):
        ledger.commit()


def test_rows_before_an_exception_are_saved(study: StudyStore) -> None:
    def work() -> None:
        with study.drive() as ledger:
            ledger.append(note("saved"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert notes(study) == ["saved"]
    assert study.owner is None


def test_exception_tells_of_rows_that_were_not_saved(local_study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        with local_study.drive() as ledger:
            ledger.append(note("lost"))
            monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        work()
    assert "1 rows were not saved" in caught.value.__notes__[0]
    assert "is full" in caught.value.__notes__[0]


def test_commit_if_due(study: StudyStore) -> None:
    with study.drive() as ledger:
        assert not ledger.commit_if_due(math.inf)
        ledger.append(note(0))
        now = time.monotonic()
        assert not ledger.commit_if_due(now - 10)
        assert ledger.num_buffered == 1
        assert ledger.commit_if_due(now + store.COMMIT_AFTER_S)
        assert ledger.num_buffered == 0
        assert notes(study) == ["0"]
        for number in range(1, store.COMMIT_AFTER_ROWS):
            ledger.append(note(number))
        assert not ledger.commit_if_due(now - 10)
        ledger.append(note(store.COMMIT_AFTER_ROWS))
        assert ledger.commit_if_due(now - 10)
        assert notes(study) == [str(number) for number in range(store.COMMIT_AFTER_ROWS + 1)]


# Writing that fails


class Crash(BaseException):
    """The process ends here."""


def crash(*_: Any, **__: Any) -> Any:
    raise Crash


@pytest.mark.parametrize("has_links", [True, False])
def test_crash_before_the_rename_leaves_nothing_visible(
    local_study: StudyStore, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    dead = store.Ledger.open(local_study, {}, None)
    dead.append(note("acknowledged"))
    dead.commit()
    dead.append(note("lost"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", crash if has_links else failing(errno.EPERM))
        patch.setattr(os, "replace", crash)
        patch.setattr(Path, "unlink", crash)
        with pytest.raises(Crash):
            dead.commit()
    dead.close()
    assert any(name.endswith(".tmp") for name in names(local_study))
    assert notes(local_study) == ["acknowledged"]
    with local_study.drive():
        assert not any(name.endswith(".tmp") for name in names(local_study))
    assert notes(local_study) == ["acknowledged"]


def test_holding_a_study_keeps_drivers_away_and_cleans_up(local_study: StudyStore) -> None:
    write_owner(local_study, lock.STALE_S + 10)
    folder = Path(local_study.folder)
    (folder / "tables").mkdir()
    left = [folder / name / ".part.1.tmp" for name in (".", "ledger", "tables")]
    for path in left:
        path.touch()
    with local_study.hold():
        assert not any(path.exists() for path in left)
        with pytest.raises(StudyLockedError), local_study.drive():
            pass
    assert local_study.owner is None and not (local_study.folder / "owner.json").exists()
    assert local_study.read() == [], "no driver began"


def test_full_disk_keeps_the_rows_for_another_try(local_study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_study.drive() as ledger:
        ledger.append(note("a"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(errno.ENOSPC))
            with pytest.raises(LedgerError, match=r"000001-000000002\.parquet cannot be written: .* full"):
                ledger.commit()
        assert len(names(local_study)) == 1
        ledger.append(note("b"))
    assert notes(local_study) == ["a", "b"]


def test_a_commit_in_doubt_ends_the_ledger(local_study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = store.Ledger.open(local_study, {}, None)
    ledger.append(note("a"))
    with monkeypatch.context() as patch:
        patch.setattr(storage, "sync_folder", failing(errno.EIO))
        with pytest.raises(LedgerError, match="cannot be written"):
            ledger.commit()
    with pytest.raises(LedgerError, match="unknown"):
        ledger.commit()
    ledger.close()
    with local_study.drive():
        assert notes(local_study) == ["a"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_part_is_never_replaced(study: StudyStore, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    with study.drive() as ledger:
        ledger.append(note("a"))
        path = study.ledger_folder / "000001-000000002.parquet"
        put(path, b"of somebody else")
        with pytest.raises(StudyLockedError, match="another driver wrote"):
            ledger.commit()
        assert path.read_bytes() == b"of somebody else"
        path.remove()
    assert notes(study) == ["a"]


# Reading


def test_other_files_are_ignored(study: StudyStore) -> None:
    with study.drive() as ledger:
        ledger.append(note("a"))
    for name in (".000001-000000003.parquet.0.tmp", "000001-000000003.parquet~", ".nfs0001", "notes.txt"):
        put(study.ledger_folder / name, b"x")
    assert notes(study) == ["a"]


@pytest.mark.parametrize("damage", ["empty", "torn", "flipped", "text", "foreign"])
def test_damaged_part(study: StudyStore, damage: str) -> None:
    with study.drive() as ledger:
        ledger.append(note("a" * 3000))
    path = study.folder / "ledger" / "000001-000000002.parquet"
    data = bytearray(path.read_bytes())
    if damage == "foreign":
        put(path, pa.table({"a": [1]}))
    else:
        data[20] ^= 255
        put(path, bytes({"empty": b"", "torn": data[:-100], "flipped": data, "text": b"hello " * 100}[damage]))
    with pytest.raises(LedgerError, match=r"000001-000000002\.parquet .*Restore it"):
        study.read()
    if damage != "flipped":  # A driver starts on the keys alone; reading finds the rest.
        with pytest.raises(LedgerError, match="Restore it"), study.drive():
            pass
    assert study.owner is None


def test_a_flipped_bit_in_stored_text_is_found(study: StudyStore) -> None:
    with study.drive() as ledger:
        ledger.append(note("".join(f"{number} " for number in range(1000))))
    path = study.folder / "ledger" / "000001-000000002.parquet"
    data = bytearray(path.read_bytes())
    data[data.index(b"567 ")] ^= 1
    put(path, bytes(data))
    with pytest.raises(LedgerError, match="Restore it"):
        study.read()


def test_newer_schema(study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, study.drive() as ledger:
        patch.setattr(records, "SCHEMA_VERSION", records.SCHEMA_VERSION + 1)
        ledger.append(note("a"))
        ledger.commit()
    with pytest.raises(LedgerError, match="Upgrade sweeper"):
        study.read()


def test_older_schema_lacks_columns(study: StudyStore) -> None:
    with study.drive() as ledger:
        ledger.append(note("a").replace(device="cpu", val_loss=math.nan))
    path = study.folder / "ledger" / "000001-000000002.parquet"
    put(path, table_of(path).drop_columns(["device", "macs"]).replace_schema_metadata({"sweeper_schema": "0"}))
    event = study.read()[1]
    assert event.detail == "a"
    assert event.device is None
    assert event.macs is None
    assert event.val_loss is not None
    assert math.isnan(event.val_loss)


def test_unknown_word(study: StudyStore) -> None:
    with study.drive() as ledger:
        event = note("a")
        object.__setattr__(event, "status", "exploded")
        ledger._buffer.append(event.__class__.__new__(Event))
        object.__setattr__(ledger._buffer[0], "__dict__", {**event.__dict__, "generation": 1, "sequence": 2, "position": 0})
    with pytest.raises(LedgerError, match="unknown status: 'exploded'"):
        study.read()


def test_link_to_nowhere(local_study: StudyStore) -> None:
    Path(local_study.ledger_folder / "000001-000000001.parquet").symlink_to("nowhere")  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="link to nowhere"):
        local_study.read()


def test_a_torn_listing_loses_nothing(study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with study.drive() as ledger:
        for number in range(3):
            ledger.append(note(number))
            ledger.commit()
        old = parts.names(study.ledger_folder)
        ledger.compact()
    new = parts.names(study.ledger_folder)
    # As a scan may show it that passed the merged part's place before it was made, and some old parts' after they were deleted.
    listings = iter([old[2:], new, new])
    monkeypatch.setattr(parts, "names", lambda _: next(listings))
    assert notes(study) == ["0", "1", "2"]


# Fence


def test_late_writes_of_a_dead_driver_are_ignored(study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with study.drive() as dead:
        dead.append(note("in time"))
        dead.commit()
        (study.folder / "owner.json").remove()
        with study.drive() as alive:
            alive.append(note("alive"))
            alive.commit()
            with monkeypatch.context() as patch:
                patch.setattr(lock.Lock, "check", lambda _: None)
                dead.append(note("late"))
                dead.commit()
            assert len(names(study)) == 5
            assert notes(study) == ["in time", "alive"]
            assert alive.compact() == 5
            assert notes(study) == ["in time", "alive"]
            assert len(names(study)) == 1
    with study.drive() as third:
        third.append(note("third"))
        third.commit()
        assert notes(study) == ["in time", "alive", "third"]
        assert third.generation == 3


def test_a_generation_the_fence_does_not_know_is_late(study: StudyStore) -> None:
    with study.drive() as ledger:
        ledger.append(note("a"))
    for name in names(study):
        table = table_of(study.ledger_folder / name)
        late = table.set_column(table.schema.get_field_index("generation"), "generation", pa.array([1] * len(table)))
        new = table.set_column(table.schema.get_field_index("generation"), "generation", pa.array([2] * len(table)))
        put(study.ledger_folder / name, late)
        put(study.ledger_folder / name.replace("000001-", "000002-"), new)
    assert notes(study) == ["a"]
    assert [event.generation for event in study.read()] == [2, 2]


def test_the_next_generation_counts_rows_and_names(study: StudyStore) -> None:
    for _ in range(3):
        with study.drive():
            pass
    # As if a driver of generation 1 that overslept had merged all parts into one of its own.
    folder = study.folder / "ledger"
    merged = parts.merge(parts.read_all(study.ledger_folder).values())
    for name in names(study):
        (folder / name).remove()
    put(folder / "000001-000000009.parquet", merged)
    with study.drive() as ledger:
        assert ledger.generation == 4
    for name in names(study):
        put(folder / name.replace("000004-", "000007-"), (folder / name).read_bytes())
        (folder / name).remove()
    with study.drive() as ledger:
        assert ledger.generation == 8


@pytest.mark.parametrize("detail", ["", "{}", "[]", '{"fence": 3}', '{"fence": {"x": 1}}'])
def test_unreadable_fence(study: StudyStore, detail: str) -> None:
    with study.drive() as ledger:
        ledger.append(Event(kind=Kind.DRIVER_STARTED, detail=detail))
    with pytest.raises(LedgerError, match="no readable fence"):
        study.read()


# Lock


def test_two_drivers_are_refused(study: StudyStore) -> None:
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
from sweeper.lock import Lock
from sweeper.storage import place
Lock.acquire(place(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(study: StudyStore) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the study."""
    root = str(Path(store.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(study.folder)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_live_process_keeps_its_study_and_a_dead_one_does_not(study: StudyStore, other: subprocess.Popen[str]) -> None:
    with pytest.raises(StudyLockedError, match=f"process {other.pid} "), study.drive():
        pass
    other.kill()
    # Killed and not yet collected by its parent: as dead as it gets.
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert study.owner is None
    with study.drive() as ledger:
        assert ledger.generation == 1


def write_owner(study: StudyStore, age: float, **changes: Any) -> None:
    content = {"host": "h", "pid": os.getpid(), "started": "2020", "token": "t", "machine": "elsewhere", **changes}
    path = study.folder / "owner.json"
    put(path, json.dumps(content).encode())
    set_modified(path, time.time() - age)


def test_a_foreign_machine_counts_by_its_heartbeat(study: StudyStore) -> None:
    # The same host name is no proof of the same machine, so a number of no process here says nothing.
    write_owner(study, 0, host=lock.socket.gethostname(), pid=2**22 + 1)
    with pytest.raises(StudyLockedError, match="sign of life"), study.drive():
        pass
    write_owner(study, lock.STALE_S + 10)
    with study.drive():
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"host": 1}', '{"pid": "x"}'])
def test_torn_owner_file(study: StudyStore, text: str) -> None:
    path = study.folder / "owner.json"
    put(path, text.encode())
    with pytest.raises(StudyLockedError, match="just written its lock"), study.drive():
        pass
    set_modified(path, 0)
    with study.drive():
        pass


def test_a_full_disk_leaves_no_half_written_owner(local_study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep everybody out until it is stale, when there is space again long before."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.ENOSPC))
        with pytest.raises(ResultsFolderError, match="is full"), local_study.drive():
            pass
    with local_study.drive():
        pass


def test_only_one_of_many_takes_over(local_study: StudyStore) -> None:
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


def test_vanished_lock_refuses_the_commit(study: StudyStore) -> None:
    ledger = store.Ledger.open(study, {}, None)
    (study.folder / "owner.json").remove()
    ledger.append(note("a"))
    with pytest.raises(StudyLockedError, match="is gone"):
        ledger.commit()
    ledger.close()
    assert notes(study) == []


def test_a_lock_taken_over_refuses_the_commit_and_is_not_released(study: StudyStore) -> None:
    ledger = store.Ledger.open(study, {}, None)
    write_owner(study, 0)
    ledger.append(note("a"))
    with pytest.raises(StudyLockedError, match=r"taken over by process .* on h, since 2020"):
        ledger.commit()
    ledger.close()
    assert notes(study) == []
    assert json.loads((study.folder / "owner.json").read_bytes())["token"] == "t"


def test_a_lock_lost_while_a_part_was_written_is_not_acknowledged(study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write = parts.write

    def slow(path: Place, table: pa.Table) -> None:
        write_owner(study, 0)
        write(path, table)

    ledger = store.Ledger.open(study, {}, None)
    ledger.append(note("a"))
    monkeypatch.setattr(parts, "write", slow)
    with pytest.raises(StudyLockedError, match="taken over"):
        ledger.commit()
    ledger.close()


def test_rows_stored_while_the_lock_could_not_be_read_are_not_stored_again(
    study: StudyStore, monkeypatch: pytest.MonkeyPatch
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


def test_heartbeat(study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.01)
    path = study.folder / "owner.json"
    with study.drive() as ledger:
        set_modified(path, 0)
        while path.modified() == 0:
            time.sleep(0.01)
        assert ledger._lock._heart.is_alive()
    assert not ledger._lock._heart.is_alive()


def test_without_flock(local_study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    write_owner(local_study, lock.STALE_S + 10)
    with local_study.drive(), pytest.raises(StudyLockedError), local_study.drive():
        pass


def test_a_guard_held_too_long(local_study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "GUARD_S", 0.0)
    with lock._guard(local_study.folder), pytest.raises(StudyLockedError, match="Try again later"), local_study.drive():
        pass


# Compaction


def test_compaction_keeps_every_row_and_counts_on(study: StudyStore) -> None:
    for generation in range(2):
        with study.drive() as ledger:
            for number in range(3):
                ledger.append(note((generation, number)))
                ledger.commit()
    with study.drive() as ledger:
        before = study.read()
        assert ledger.compact(min_parts=100) == 0
        assert ledger.compact() == 9
        assert ledger.compact() == 0
        assert names(study) == ["000003-000000002.parquet"]
        *read, compacted = study.read()
        assert read == before
        assert (compacted.kind, compacted.detail, compacted.key) == (Kind.COMPACTED, '{"parts": 9}', (3, 2, 0))
        ledger.append(note("after"))
        assert ledger.compact() == 2
        assert names(study) == ["000003-000000004.parquet"]
    with study.drive() as ledger:
        assert ledger.generation == 4
        started = study.read()[-1]
    assert json.loads(started.detail or "")["fence"] == {"1": 4, "2": 4, "3": 4}
    after = [(3, number, 0) for number in (2, 3, 4)]
    assert [event.key for event in study.read()] == [*(event.key for event in before), *after, (4, 1, 0)]


@pytest.mark.parametrize("step", range(8))
def test_compaction_interrupted_anywhere(local_study: StudyStore, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Steps: fsync, link, removal of the temporary name, fsync of the folder, removal of each of four parts."""
    patched = [(os, "fsync"), (os, "link"), (Path, "unlink")]
    check_interrupted_compaction(local_study, monkeypatch, patched, step, is_merged=step >= 2)


@pytest.mark.parametrize("step", range(5))
def test_compaction_interrupted_between_files(study: StudyStore, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Steps: writing the merged part, removal of each of four parts."""
    kind = type(study.folder)
    check_interrupted_compaction(study, monkeypatch, [(kind, "write_whole"), (kind, "remove")], step, is_merged=step >= 1)


def check_interrupted_compaction(
    study: StudyStore, monkeypatch: pytest.MonkeyPatch, patched: list[tuple[Any, str]], step: int, *, is_merged: bool
) -> None:
    calls: list[Any] = []

    def may_crash(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            calls.append(function)
            if len(calls) > step:
                raise Crash
            return function(*arguments, **keywords)

        return call

    with study.drive() as ledger:
        for number in range(3):
            ledger.append(note(number))
            ledger.commit()
        before = study.read()
        with monkeypatch.context() as patch:
            for owner, name in patched:
                patch.setattr(owner, name, may_crash(getattr(owner, name)))
            with pytest.raises(Crash):
                ledger.compact()
        assert without_compactions(study) == before
    with study.drive() as ledger:
        after = without_compactions(study)
        assert after[:-1] == before
        ledger.compact()
        assert without_compactions(study) == after
        assert len(names(study)) == 1
    sequences = [{event.sequence for event in study.read() if event.generation == generation} for generation in (1, 2)]
    assert sequences == [set(range(1, 6 if is_merged else 5)), {1, 2}]


def test_a_reader_beside_a_driver_that_writes_and_compacts(study: StudyStore) -> None:
    seen: list[list[str | None]] = []
    errors: list[BaseException] = []
    is_over = threading.Event()

    def watch() -> None:
        try:
            while not is_over.is_set():
                seen.append(notes(study))
        except BaseException as error:
            errors.append(error)

    count = 120 if isinstance(study.folder, LocalPlace) else 30
    thread = threading.Thread(target=watch)
    with study.drive() as ledger:
        thread.start()
        for number in range(count):
            ledger.append(note(number))
            ledger.commit()
            if number % 10 == 9:
                ledger.compact()
    is_over.set()
    thread.join()
    assert not errors
    assert seen
    assert all(some == [str(number) for number in range(len(some))] for some in seen)
    assert [len(some) for some in seen] == sorted(len(some) for some in seen)
    assert len(notes(study)) == count


# Tables


def suggested(trial: str, attempt: int = 1, **columns: Any) -> Event:
    return Event(
        kind=Kind.SUGGESTED, trial=trial, arm="cnn", number=0, seed=7, attempt=attempt, status=Status.RUNNING, max_epochs=3,
        configuration='{"depth": 2}', stage=Stage.SEARCH, study_id="s", architecture="cnn", **columns,
    )  # fmt: skip


def epoch(trial: str, number: int, attempt: int = 1, status: Status = Status.RUNNING, **columns: Any) -> Event:
    return Event(kind=Kind.EPOCH, trial=trial, arm="cnn", epoch=number, attempt=attempt, status=status, **columns)


def rows(events: list[Event]) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    trials, epochs = tables.tables(events)
    assert tuple(trials.column_names) == (*records.TRIAL_COLUMNS, *records.BEST_COLUMNS)
    assert tuple(epochs.column_names) == records.EPOCH_COLUMNS
    return {row["trial"]: row for row in trials.to_pylist()}, epochs.to_pylist()


START = Event(kind=Kind.DRIVER_STARTED)


def test_tables_of_nothing() -> None:
    trials, epochs = tables.tables([START])
    assert trials.num_rows == epochs.num_rows == 0
    assert trials.schema.field("best_val_loss_epoch").type == pa.int64()
    assert trials.schema.field("configuration").type == pa.string()
    assert epochs.schema.field("val_loss").type == pa.float64()


def test_tables_by_value() -> None:
    events = [
        START,
        suggested("cnn-0"),
        epoch("cnn-0", 1, val_accuracy=0.5, val_loss=2.0, train_s=1.0, build_s=4.0, peak_memory_mb=10.0, parameters=99),
        epoch("cnn-0", 2, val_accuracy=0.8, val_loss=1.0, train_s=2.0, peak_memory_mb=30.0, device="cpu"),
        Event(kind=Kind.ATTEMPT_ENDED, trial="cnn-0", attempt=1, status=Status.FAILED, reason=Reason.NODE_LOST, detail="gone"),
        suggested("cnn-0", attempt=2),
        epoch("cnn-0", 2, attempt=2, val_accuracy=0.1, val_loss=0.1, train_s=4.0, build_s=5.0, peak_memory_mb=20.0),
        epoch("cnn-0", 3, attempt=2, status=Status.COMPLETED, reason=Reason.MAX_EPOCHS, val_accuracy=0.7, train_s=8.0).replace(
            val_loss=math.nan
        ),
    ]  # fmt: skip
    trials, epochs = rows(events)
    trial = trials["cnn-0"]
    expected = {
        "study_id": "s", "arm": "cnn", "architecture": "cnn", "number": 0, "stage": "search", "parent": None, "seed": 7,
        "attempt": 2, "status": "completed", "reason": "max_epochs", "detail": None, "configuration": '{"depth": 2}',
        "max_epochs": 3, "epoch": 3, "val_accuracy": 0.7, "train_loss": None, "train_s": 15.0, "build_s": 9.0, "wait_s": None,
        "peak_memory_mb": 30.0, "parameters": 99, "device": "cpu", "macs": None, "best_val_accuracy": 0.8,
        "best_val_accuracy_epoch": 2, "best_val_loss": 1.0, "best_val_loss_epoch": 2,
    }  # fmt: skip
    assert {name: trial[name] for name in expected} == expected
    assert math.isnan(trial["val_loss"])
    assert [(row["epoch"], row["attempt"], row["val_accuracy"], row["train_s"]) for row in epochs] == [
        (1, 1, 0.5, 1.0),
        (2, 1, 0.8, 2.0),
        (3, 2, 0.7, 8.0),
    ]


def test_trials_without_epochs_are_rows() -> None:
    failed = Event(kind=Kind.ATTEMPT_ENDED, trial="b", attempt=1, status=Status.FAILED, reason=Reason.NAN, detail="why")
    trials, epochs = rows([START, suggested("a"), suggested("b"), failed])
    assert list(trials) == ["a", "b"]
    assert epochs == []
    assert (trials["a"]["status"], trials["a"]["epoch"], trials["a"]["train_s"]) == ("running", None, None)
    assert (trials["b"]["status"], trials["b"]["reason"], trials["b"]["detail"]) == ("failed", "nan", "why")
    assert trials["b"]["best_val_loss"] is None


def test_running_under_an_older_driver_is_interrupted() -> None:
    events = [START, suggested("a"), epoch("a", 1), suggested("b"), epoch("b", 1, status=Status.STOPPED), suggested("c")]
    again = [*events, START, suggested("c", attempt=2), suggested("d")]
    assert {name: row["status"] for name, row in rows(events)[0].items()} == {"a": "running", "b": "stopped", "c": "running"}
    expected = {"a": "interrupted", "b": "stopped", "c": "running", "d": "running"}
    assert {name: row["status"] for name, row in rows(again)[0].items()} == expected


def test_epochs_are_grouped_by_trial() -> None:
    events = [suggested("b"), suggested("a"), epoch("a", 2), epoch("b", 2), epoch("a", 1), epoch("b", 1)]
    assert [(row["trial"], row["epoch"]) for row in rows(events)[1]] == [("b", 1), ("b", 2), ("a", 1), ("a", 2)]


def test_best_takes_the_first_of_equals_and_may_be_infinite() -> None:
    events = [
        suggested("a"),
        epoch("a", 1, val_accuracy=0.5, val_loss=math.inf),
        epoch("a", 2, val_accuracy=0.5, val_loss=math.nan),
        epoch("a", 3, val_accuracy=None),
    ]
    trial = rows(events)[0]["a"]
    assert (trial["best_val_accuracy_epoch"], trial["best_val_loss"], trial["best_val_loss_epoch"]) == (1, math.inf, 1)
    assert trial["epoch"] == 3
    assert trial["val_accuracy"] is None


def test_best_passes_over_nan_wherever_it_stands() -> None:
    values = [math.nan, 2.0, math.nan, 1.0, math.nan]
    events = [epoch("a", number, val_loss=value, val_accuracy=math.nan) for number, value in enumerate(values, 1)]
    trial = rows(events)[0]["a"]
    assert (trial["best_val_loss"], trial["best_val_loss_epoch"]) == (1.0, 4)
    assert (trial["best_val_accuracy"], trial["best_val_accuracy_epoch"]) == (None, None)


def test_write_tables(local_study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    study = local_study
    with study.drive() as ledger:
        ledger.append(suggested("a"))
        ledger.append(epoch("a", 1, val_loss=math.nan))
    events = study.read()
    paths = tables.write_tables(study.folder, events)
    assert paths == (study.folder / "tables" / "trials.parquet", study.folder / "tables" / "epochs.parquet")
    for path, table in zip(paths, tables.tables(events), strict=True):
        written = pq.read_table(path)
        assert written.schema.equals(table.schema, check_metadata=True)
        assert repr(written.to_pylist()) == repr(table.to_pylist())
        assert written.schema.metadata == {b"sweeper_schema": str(records.SCHEMA_VERSION).encode()}
    before = [path.read_bytes() for path in paths]
    monkeypatch.setattr(os, "replace", failing(errno.ENOSPC))
    with pytest.raises(ResultsFolderError, match="full"):
        tables.write_tables(study.folder, [])
    assert [path.read_bytes() for path in paths] == before
    assert sorted((study.folder / "tables").names()) == ["epochs.parquet", "trials.parquet"]


@pytest.mark.parametrize("to", tables.FORMATS)
def test_export(tmp_path: Path, to: str) -> None:
    events = [suggested("a", detail='line\n"quoted", and so on'), epoch("a", 1, val_loss=math.nan, train_loss=0.1)]
    trials, epochs = tables.export(events, tmp_path / "out" / "deep", to)
    assert (trials.name, epochs.name) == (f"trials.{to}", f"epochs.{to}")
    read = pyarrow.csv.read_csv if to == "csv" else pq.read_table
    (row,) = read(epochs).to_pylist()
    assert (row["trial"], row["train_loss"]) == ("a", 0.1)
    if to == "parquet":
        assert math.isnan(row["val_loss"])
    else:
        header, line = epochs.read_bytes().decode().splitlines()
        fields = dict(zip(header.replace('"', "").split(","), line.split(","), strict=True))
        assert (fields["val_loss"], fields["val_accuracy"], fields["trial"]) == ("nan", "", '"a"')


def test_export_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown format 'parque'. Did you mean 'parquet'\? Allowed: csv, parquet"):
        tables.export([], tmp_path / "out", "parque")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsFolderError, match="is a file"):
        tables.export([], tmp_path / "file", "csv")
