"""The ledger and its lock in a bucket."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import threading
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.s3.responses import S3Response
from obstore.exceptions import AlreadyExistsError, GenericError

from sweeper.driver import requests
from sweeper.errors import LedgerError, ResultsFolderError, StorageError, StudyLockedError
from sweeper.ledger import lock, parts, tables
from sweeper.ledger.ledger import Ledger, StudyFolder
from sweeper.ledger.records import Event, Kind, Status
from sweeper.storage import objects
from sweeper.storage.objects import ObjectPlace
from sweeper.storage.stores import KINDS
from tests.buckets import set_modified
from tests.ledger.ledgers import note, write_owner


def take_at_once(study: StudyFolder, number: int) -> list[lock.Lock]:
    """The locks that drivers get who all try at the same moment."""
    ready = threading.Barrier(number)

    def take(_: int) -> lock.Lock | None:
        ready.wait(10)
        with contextlib.suppress(StudyLockedError):
            return lock.Lock.acquire(study.folder)
        return None

    with concurrent.futures.ThreadPoolExecutor(number) as pool:
        return [taken for taken in pool.map(take, range(number)) if taken]


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moto as a store that keeps its conditions: it looks and writes in two steps, between which others come."""
    put, turn = S3Response.put_object, threading.Lock()

    def alone(self: S3Response) -> Any:
        with turn:
            return put(self)

    monkeypatch.setattr(S3Response, "put_object", alone)


@pytest.mark.usefixtures("one_at_a_time")
@pytest.mark.parametrize("is_dead", [False, True], ids=["nobody drives", "the driver is dead"])
def test_of_some_that_start_at_the_same_moment_one_works(bucket: ObjectPlace, is_dead: bool) -> None:
    study = StudyFolder(bucket / "study")
    study.create("")
    if is_dead:
        write_owner(study, lock.STALE_S + 10)
    (winner,) = take_at_once(study, 4)
    winner.check()
    winner.release()
    assert study.owner is None
    assert sorted(study.folder.names()) == ["owner.guard", "study.yaml"]


def test_whoever_died_while_taking_over_is_taken_over_too(bucket: ObjectPlace) -> None:
    study = StudyFolder(bucket / "study")
    study.create("")
    write_owner(study, lock.STALE_S + 10)
    owner = study.folder / "owner.json"
    (claim,) = owner._claim(owner.read_bytes(), 0.0)
    assert take_at_once(study, 1) == [], "it may be at work"
    set_modified(claim, 0)
    (winner,) = take_at_once(study, 1)
    winner.release()
    assert sorted(study.folder.names()) == ["owner.guard", "study.yaml"]


def test_a_beat_that_comes_late_brings_no_lost_lock_back(bucket: ObjectPlace) -> None:
    """A driver that slept over its request would otherwise go on, and what it commits be fenced off."""
    study = StudyFolder(bucket / "study")
    study.create("")
    first = lock.Lock.acquire(study.folder)
    write_owner(study, 0)
    (study.folder / "owner.json").touch()
    with pytest.raises(StudyLockedError, match="taken over"):
        first.check()
    first.release()
    assert study.owner is not None and study.owner.token == "t"


def test_a_store_that_ignores_conditions_is_refused(bucket: ObjectPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    study = StudyFolder(bucket / "study")
    study.create("")
    put = ObjectPlace._put
    monkeypatch.setattr(ObjectPlace, "_put", lambda self, data, **_: put(self, data))
    with pytest.raises(ResultsFolderError, match=r"owner\.guard: the store replaces files .* Give a folder"), study.drive():
        pass


class Spoilt:
    """A store whose first answer to a write is another one than what happened."""

    def __init__(self, store: Any, error: Exception):
        self._store, self._errors = store, iter([error])

    def put(self, *arguments: Any, **options: Any) -> None:
        self._store.put(*arguments, **options)
        for error in self._errors:
            raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize(
    "answer", [GenericError("Error performing PUT in 1s - HTTP error: it broke"), AlreadyExistsError("is there")]
)
def test_a_write_that_was_carried_out_though_its_answer_got_lost_is_ours(
    bucket: ObjectPlace, monkeypatch: pytest.MonkeyPatch, answer: Exception
) -> None:
    """It is sent again, by us or by what is below us, and the store then finds a file that is there."""
    spoilt = Spoilt(objects._looked_at("s3", bucket.bucket, KINDS["s3"].endpoint), answer)
    monkeypatch.setattr(objects, "_looked_at", lambda *_: spoilt)
    (bucket / "part").write_whole(b"ours")
    with pytest.raises(FileExistsError):
        (bucket / "part").write_whole(b"theirs")
    assert (bucket / "part").read_bytes() == b"ours"


def test_a_driver_that_was_overtaken_between_look_and_write_stops(bucket: ObjectPlace) -> None:
    study = StudyFolder(bucket / "study")
    study.create("")
    first = Ledger.open(study, {}, None)
    second = first._lock.owner.__class__(host="h", pid=1, started="2020", token="t", machine="elsewhere")
    (study.folder / "owner.json").write_whole(json.dumps(vars(second)).encode(), may_replace=True)
    first.append(note("late"))
    with pytest.raises(StudyLockedError, match="taken over by process 1 on h"):
        first.commit()
    first.close()
    assert [event.kind for event in study.read()] == [Kind.DRIVER_STARTED]


def test_an_outage_while_a_part_is_written_leaves_it_in_doubt(bucket: ObjectPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    study = StudyFolder(bucket / "study")
    study.create("")
    ledger = Ledger.open(study, {}, None)
    ledger.append(note("a"))
    with monkeypatch.context() as patch:

        def lost(*_: Any, **__: Any) -> Any:
            raise StorageError("no answer")

        patch.setattr(ObjectPlace, "write_whole", lost)
        patch.setattr(ObjectPlace, "exists", lost)
        with pytest.raises(LedgerError, match="no answer"):
            ledger.commit()
    with pytest.raises(LedgerError, match=r"whether s3://.* was saved is unknown"):
        ledger.commit()
    ledger.close()
    assert study.owner is None


@pytest.mark.long
def test_many_parts_are_read(bucket: ObjectPlace) -> None:
    study = StudyFolder(bucket / "study")
    study.create("")
    with study.drive() as ledger:
        for number in range(40):
            ledger.append(note(number))
            ledger.commit()
        assert [event.detail for event in study.read()][1:] == [str(number) for number in range(40)]
        assert ledger.compact() == 41
        assert len(parts.names(study.ledger_folder)) == 1
    assert [event.detail for event in study.read()][1:41] == [str(number) for number in range(40)]


def test_a_part_that_vanishes_between_listing_and_reading_is_passed_over(
    bucket: ObjectPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyFolder(bucket / "study")
    study.create("")
    with study.drive() as ledger:
        ledger.append(note("a"))
    real = parts.names
    listings = iter([[*real(study.ledger_folder), parts.name_of(1, 9)]])
    monkeypatch.setattr(parts, "names", lambda folder: next(listings, None) or real(folder))
    assert len(study.read()) == 2


def test_requests_and_tables(bucket: ObjectPlace) -> None:
    from tests.test_same_study import STUDY

    folder = bucket / "study"
    posted = requests.post(folder, STUDY, repeats_decayed=True)
    ((path, wanted, repeats_decayed),) = requests.waiting(folder)
    assert (path, wanted, repeats_decayed) == (posted, STUDY, True)
    path.remove()
    assert list(requests.waiting(folder)) == []
    events = [Event(kind=Kind.SUGGESTED, trial="a", arm="cnn", number=0, attempt=1, status=Status.RUNNING)]
    for to in tables.FORMATS:
        written = tables.export(events, bucket / "out", to)
        again = tables.export(events, str(bucket / "out"), to)
        assert [str(one) for one in again] == [f"{bucket}/out/{name}.{to}" for name in ("trials", "epochs")]
        assert written == again
    table = pq.read_table(pa.BufferReader((bucket / "out" / "trials.parquet").read_bytes()))
    assert table.column("trial").to_pylist() == ["a"]
