"""A study is created and its events survive."""

from __future__ import annotations

import errno
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from sweeper.errors import InputError, ResultsFolderError
from sweeper.ledger import records
from sweeper.ledger.ledger import COMMIT_AFTER_ROWS, COMMIT_AFTER_S, StudyFolder, study_folder
from sweeper.ledger.records import Event, Kind, Reason, Stage, Status
from sweeper.storage import LocalPlace, Place, local, place
from tests.ledger.ledgers import failing, names, note, notes, same

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
    study = StudyFolder(results / "new" / "study")
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
    study = StudyFolder(results / "study")
    for act in (study.read, study.study_yaml, study.drive().__enter__):
        with pytest.raises(ResultsFolderError, match=r"there is no study in .*study"):
            act()
    assert not study.folder.exists()


def test_folders_are_durable_before_anything_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was synced vanishes with its folder when the power fails before the folder's own name is on the disk."""
    synced: list[Path] = []
    monkeypatch.setattr(local, "sync_folder", synced.append)
    place(tmp_path / "results" / "study" / "ledger").make_folder()
    assert synced == [tmp_path.parent, tmp_path, tmp_path / "results", tmp_path / "results" / "study"]
    place(tmp_path / "results" / "study" / "ledger").make_folder()
    assert len(synced) == 4


def test_create_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsFolderError, match="results is a file"):
        StudyFolder(tmp_path / "results" / "study").create("")


@pytest.mark.parametrize(
    ("code", "text"), [(errno.ENOSPC, "is full"), (errno.EROFS, "not writable"), (errno.EIO, "Check the disk")]
)
def test_create_explains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, text: str) -> None:
    monkeypatch.setattr(os, "fsync", failing(code))
    study = StudyFolder(tmp_path / "study")
    with pytest.raises(ResultsFolderError, match=text):
        study.create("")
    assert not study.exists


def test_drive_explains_a_folder_it_cannot_write(local_study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
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
    study = StudyFolder(tmp_path_factory.mktemp("results") / "study")
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


def test_read_events_are_events(study: StudyFolder) -> None:
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


def test_text_that_is_no_text_is_kept_escaped(study: StudyFolder) -> None:
    with study.drive() as ledger:
        ledger.append(note("bad \udcff byte"))
    assert notes(study) == ["bad \\udcff byte"]


def test_keys_count_generations_commits_and_rows(study: StudyFolder) -> None:
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


def test_driver_started_keeps_its_details_and_the_fence(study: StudyFolder) -> None:
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


def test_append_and_commit_after_close_are_bugs(study: StudyFolder) -> None:
    with study.drive() as ledger:
        pass
    with pytest.raises(AssertionError):
        ledger.append(note("late"))
    with pytest.raises(AssertionError):
        ledger.commit()


def test_rows_before_an_exception_are_saved(study: StudyFolder) -> None:
    def work() -> None:
        with study.drive() as ledger:
            ledger.append(note("saved"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert notes(study) == ["saved"]
    assert study.owner is None


def test_exception_tells_of_rows_that_were_not_saved(local_study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        with local_study.drive() as ledger:
            ledger.append(note("lost"))
            monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        work()
    assert "1 rows were not saved" in caught.value.__notes__[0]
    assert "is full" in caught.value.__notes__[0]


def test_commit_if_due(study: StudyFolder) -> None:
    with study.drive() as ledger:
        assert not ledger.commit_if_due(math.inf)
        ledger.append(note(0))
        now = time.monotonic()
        assert not ledger.commit_if_due(now - 10)
        assert ledger.num_buffered == 1
        assert ledger.commit_if_due(now + COMMIT_AFTER_S)
        assert ledger.num_buffered == 0
        assert notes(study) == ["0"]
        for number in range(1, COMMIT_AFTER_ROWS):
            ledger.append(note(number))
        assert not ledger.commit_if_due(now - 10)
        ledger.append(note(COMMIT_AFTER_ROWS))
        assert ledger.commit_if_due(now - 10)
        assert notes(study) == [str(number) for number in range(COMMIT_AFTER_ROWS + 1)]
