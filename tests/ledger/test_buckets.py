"""The ledger and its lock in a bucket."""

from __future__ import annotations

import json
import threading
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeper.driver import requests
from sweeper.errors import LedgerError, StorageError, StudyLockedError
from sweeper.ledger import lock, parts, tables
from sweeper.ledger.ledger import Ledger, StudyFolder
from sweeper.ledger.records import Event, Kind, Status
from sweeper.storage.s3 import ObjectPlace
from tests.ledger.ledgers import note


def test_of_two_that_start_at_the_same_moment_one_works(bucket: ObjectPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObjectPlace, "settle_s", 1.0)
    study = StudyFolder(bucket / "study")
    study.create("")
    looked = threading.Barrier(2)
    write_whole = ObjectPlace.write_whole

    def late(self: ObjectPlace, data: bytes, *, may_replace: bool = False) -> None:
        if self.name == "owner.json":  # both have looked before either writes
            looked.wait(10)
            may_replace = True
        write_whole(self, data, may_replace=may_replace)

    monkeypatch.setattr(ObjectPlace, "write_whole", late)
    outcomes: list[lock.Lock | StudyLockedError] = []

    def take() -> None:
        try:
            outcomes.append(lock.Lock.acquire(study.folder))
        except StudyLockedError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, lock.Lock)]
    winner.check()
    winner.release()
    assert study.owner is None


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


@pytest.mark.slow
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
