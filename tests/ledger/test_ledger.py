"""The ledger when writing fails, when a part is damaged, and when a driver was slow; compaction."""

from __future__ import annotations

import errno
import json
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pytest

from sweeper.errors import LedgerError, StudyLockedError
from sweeper.ledger import lock, parts, records
from sweeper.ledger.ledger import Ledger, StudyFolder
from sweeper.ledger.records import Event, Kind
from sweeper.storage import LocalPlace, local
from tests.ledger.ledgers import failing, names, note, notes, put, table_of, without_compactions, write_owner

# Writing that fails


class Crash(BaseException):
    """The process ends here."""


def crash(*_: Any, **__: Any) -> Any:
    raise Crash


@pytest.mark.parametrize("has_links", [True, False])
def test_crash_before_the_rename_leaves_nothing_visible(
    local_study: StudyFolder, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    dead = Ledger.open(local_study, {}, None)
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


def test_holding_a_study_keeps_drivers_away_and_cleans_up(local_study: StudyFolder) -> None:
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


def test_full_disk_keeps_the_rows_for_another_try(local_study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_study.drive() as ledger:
        ledger.append(note("a"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(errno.ENOSPC))
            with pytest.raises(LedgerError, match=r"000001-000000002\.parquet cannot be written: .* full"):
                ledger.commit()
        assert len(names(local_study)) == 1
        ledger.append(note("b"))
    assert notes(local_study) == ["a", "b"]


def test_a_commit_in_doubt_ends_the_ledger(local_study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger.open(local_study, {}, None)
    ledger.append(note("a"))
    with monkeypatch.context() as patch:
        patch.setattr(local, "sync_folder", failing(errno.EIO))
        with pytest.raises(LedgerError, match="cannot be written"):
            ledger.commit()
    with pytest.raises(LedgerError, match="unknown"):
        ledger.commit()
    ledger.close()
    with local_study.drive():
        assert notes(local_study) == ["a"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_part_is_never_replaced(study: StudyFolder, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
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


def test_other_files_are_ignored(study: StudyFolder) -> None:
    with study.drive() as ledger:
        ledger.append(note("a"))
    for name in (".000001-000000003.parquet.0.tmp", "000001-000000003.parquet~", ".nfs0001", "notes.txt"):
        put(study.ledger_folder / name, b"x")
    assert notes(study) == ["a"]


@pytest.mark.parametrize("damage", ["empty", "torn", "flipped", "text", "foreign"])
def test_damaged_part(study: StudyFolder, damage: str) -> None:
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


def test_a_flipped_bit_in_stored_text_is_found(study: StudyFolder) -> None:
    with study.drive() as ledger:
        ledger.append(note("".join(f"{number} " for number in range(1000))))
    path = study.folder / "ledger" / "000001-000000002.parquet"
    data = bytearray(path.read_bytes())
    data[data.index(b"567 ")] ^= 1
    put(path, bytes(data))
    with pytest.raises(LedgerError, match="Restore it"):
        study.read()


def test_newer_schema(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, study.drive() as ledger:
        patch.setattr(records, "SCHEMA_VERSION", records.SCHEMA_VERSION + 1)
        ledger.append(note("a"))
        ledger.commit()
    with pytest.raises(LedgerError, match="Upgrade sweeper"):
        study.read()


def test_older_schema_lacks_columns(study: StudyFolder) -> None:
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


def test_unknown_word(study: StudyFolder) -> None:
    with study.drive() as ledger:
        event = note("a")
        object.__setattr__(event, "status", "exploded")
        ledger._buffer.append(event.__class__.__new__(Event))
        object.__setattr__(ledger._buffer[0], "__dict__", {**event.__dict__, "generation": 1, "sequence": 2, "position": 0})
    with pytest.raises(LedgerError, match="unknown status: 'exploded'"):
        study.read()


def test_link_to_nowhere(local_study: StudyFolder) -> None:
    Path(local_study.ledger_folder / "000001-000000001.parquet").symlink_to("nowhere")  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="link to nowhere"):
        local_study.read()


def test_a_torn_listing_loses_nothing(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_late_writes_of_a_dead_driver_are_ignored(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_late_rows_stay_away_when_the_part_that_fenced_them_is_lost(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with study.drive() as dead:
        dead.append(note("in time"))
        dead.commit()
        (study.folder / "owner.json").remove()
        with study.drive(), monkeypatch.context() as patch:
            patch.setattr(lock.Lock, "check", lambda _: None)
            dead.append(note("late"))
            dead.commit()
    with study.drive() as third:
        third.append(note("third"))
    (lost,) = [name for name in names(study) if name.startswith("000002-")]
    (study.ledger_folder / lost).remove()
    assert notes(study) == ["in time", "third"]


def test_a_generation_the_fence_does_not_know_is_late(study: StudyFolder) -> None:
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


def test_the_next_generation_counts_rows_and_names(study: StudyFolder) -> None:
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
def test_unreadable_fence(study: StudyFolder, detail: str) -> None:
    with study.drive() as ledger:
        ledger.append(Event(kind=Kind.DRIVER_STARTED, detail=detail))
    with pytest.raises(LedgerError, match="no readable fence"):
        study.read()


# Compaction


def test_compaction_keeps_every_row_and_counts_on(study: StudyFolder) -> None:
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
def test_compaction_interrupted_anywhere(local_study: StudyFolder, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Steps: fsync, link, removal of the temporary name, fsync of the folder, removal of each of four parts."""
    patched = [(os, "fsync"), (os, "link"), (Path, "unlink")]
    check_interrupted_compaction(local_study, monkeypatch, patched, step, is_merged=step >= 2)


@pytest.mark.long
@pytest.mark.parametrize("step", range(5))
def test_compaction_interrupted_between_files(study: StudyFolder, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Steps: writing the merged part, removal of each of four parts."""
    kind = type(study.folder)
    check_interrupted_compaction(study, monkeypatch, [(kind, "write_whole"), (kind, "remove")], step, is_merged=step >= 1)


def check_interrupted_compaction(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, patched: list[tuple[Any, str]], step: int, *, is_merged: bool
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


@pytest.mark.long
def test_a_reader_beside_a_driver_that_writes_and_compacts(study: StudyFolder) -> None:
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
