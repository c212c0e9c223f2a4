"""Places, local and in a bucket: one contract for both, and what only an object store does."""

from __future__ import annotations

import io
import json
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import moto.settings
import numpy as np
import pyarrow as pa
import pytest

from sweeper.audit import given_up
from sweeper.errors import LedgerError, ResultsFolderError, StorageError
from sweeper.ledger import parts, tables
from sweeper.ledger.ledger import StudyFolder
from sweeper.storage import LocalPlace, Place, objects, place, stores
from sweeper.storage.objects import ObjectPlace
from sweeper.training import checkpoint
from sweeper.training.checkpoint import Checkpoint
from tests.buckets import google_environment, set_modified

# One contract


@pytest.fixture(params=["local", "s3", "gs"])
def root(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Place:
    if request.param == "local":
        return place(tmp_path)
    bucket: ObjectPlace = request.getfixturevalue("bucket")
    if request.param == "gs":
        address = request.getfixturevalue("s3_address")
        for name, value in google_environment(address, tmp_path_factory.mktemp("google")).items():
            monkeypatch.setenv(name, value)
    return place(f"{request.param}://{bucket.bucket}")


def test_a_place_has_a_name_and_a_parent(root: Place) -> None:
    file = root / "a" / "b.c"
    assert file == root / "a/b.c"
    assert (file.name, file.parent, file.parent.parent) == ("b.c", root / "a", root)
    assert str(file) == f"{root}/a/b.c"
    assert place(str(file)) == file
    assert len({file, root / "a/b.c", root / "a"}) == 2


def test_a_place_travels_to_another_process(root: Place) -> None:
    (root / "a").write_whole(b"1")
    sent = pickle.loads(pickle.dumps(root / "a"))
    assert sent == root / "a"
    assert sent.read_bytes() == b"1"


def test_what_is_missing_is_empty_or_said_to_be_missing(root: Place) -> None:
    missing = root / "none"
    assert (missing.exists(), missing.is_file(), missing.names(), missing.tree()) == (False, False, [], {})
    for read in (missing.read_bytes, missing.open, missing.modified, missing.touch):
        with pytest.raises(FileNotFoundError):
            read()
    missing.remove()
    missing.remove_tree()


def test_a_folder_and_what_lies_below_it(root: Place) -> None:
    folder = root / "folder"
    for name, size in {"a": 1, "sub/b": 2, "sub/deep/c": 3}.items():
        (folder / name).parent.make_folder()
        (folder / name).write_whole(b"x" * size)
    (root / "folder-beside").write_whole(b"another beginning alike")
    assert sorted(folder.names()) == ["a", "sub"]
    assert folder.tree() == {"a": 1, "sub/b": 2, "sub/deep/c": 3}
    assert (folder.exists(), folder.is_file(), (folder / "a").is_file()) == (True, False, True)
    (folder / "a").remove()
    (folder / "sub").remove_tree()
    assert folder.tree() == {}
    assert (root / "folder-beside").is_file()


def test_a_file_is_replaced_only_when_it_may_be(root: Place) -> None:
    file = root / "file"
    file.write_whole(b"first")
    with pytest.raises(FileExistsError):
        file.write_whole(b"second")
    assert file.read_bytes() == b"first"
    file.write_whole(memoryview(b"second"), may_replace=True)
    assert file.read_bytes() == b"second"
    assert root.names() == ["file"]


def test_a_large_file_is_whole(root: Place) -> None:
    data = np.random.default_rng(0).bytes(12_000_000)
    (root / "large").write_whole(pa.py_buffer(data))
    assert (root / "large").read_bytes() == data


def test_part_of_a_file_is_read_without_the_rest(root: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"state": np.frombuffer(b'{"epoch": 3}', np.uint8), "weights": np.zeros(3_000_000, np.uint8)}
    archive = io.BytesIO()
    np.savez(archive, **arrays)  # type: ignore[arg-type]
    (root / "a.npz").write_whole(archive.getvalue())
    with (root / "a.npz").open() as file:
        raw = getattr(file, "raw", None)
        read: list[int] = []
        if isinstance(raw, objects._Ranges):
            monkeypatch.setattr(raw, "readinto", counting(raw.readinto, read))
        with np.load(file, allow_pickle=False) as loaded:
            assert json.loads(loaded["state"].tobytes()) == {"epoch": 3}
    assert sum(read) <= 4 * objects.RANGE_BYTES


def test_touching_makes_a_file_new(root: Place) -> None:
    file = root / "file"
    file.write_whole(b"kept")
    set_modified(file, 1_000_000_000)
    assert file.modified() == 1_000_000_000
    with (root / "guard").hold(1) as now:
        assert abs(now - time.time()) < 60
        file.touch()
    assert file.modified() - 1_000_000_000 > 1000
    assert file.read_bytes() == b"kept"


def counting(read_into: Callable[[Any], int], read: list[int]) -> Callable[[Any], int]:
    """What notes how much was read."""

    def note(buffer: Any) -> int:
        read.append(read_into(buffer))
        return read[-1]

    return note


# Naming a place


@pytest.mark.parametrize("text", ["results", "/abs/results", "./a b", "c:x", "s3", "s3:"])
def test_a_path_is_a_path(text: str) -> None:
    assert place(text) == LocalPlace(Path(text))


@pytest.mark.parametrize("where", ["s3://bucket/a/b", "s3://bucket/a/b/", "S3://bucket//a//b", Path("s3://bucket/a/b")])
def test_an_address_is_a_place_in_a_bucket(where: Any) -> None:
    assert place(where) == ObjectPlace("s3", "bucket", "a/b")
    assert str(place(where)) == "s3://bucket/a/b"


def test_a_bucket_alone() -> None:
    assert str(place("s3://bucket/")) == "s3://bucket"
    assert place("s3://bucket") / "a" == place("s3://bucket/a")
    assert (place("s3://bucket/a").parent, place("s3://bucket").name) == (place("s3://bucket"), "bucket")


@pytest.mark.parametrize("text", ["s3://", "s3://B", "s3://Bucket/a", "s3://a_b/c", "s3://bucket/../other", "s3://bucket/a/./b"])
def test_what_names_no_place_in_a_bucket_is_refused(text: str) -> None:
    with pytest.raises(ResultsFolderError, match="Allowed: s3://BUCKET/PREFIX"):
        place(text)


@pytest.mark.parametrize("text", ["hdfs://bucket/a", "http://host/a", "file:///a", Path("abfs://c@a/b")])
def test_other_addresses_are_refused(text: Any) -> None:
    with pytest.raises(ResultsFolderError, match=r"at \w+:// addresses. Allowed: a folder, s3://BUCKET/PREFIX, gs://BUCKET"):
        place(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://key:hidden@bucket/a",
        "s3://key:hid/hidden@bucket/a",
        "s3://hidden@bucket",
        "s3://bucket/a?secret_key=hidden",
        "s3:/key:hidden@bucket/a",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(text: str, run: Any) -> None:
    with pytest.raises(ResultsFolderError, match="credentials and options do not belong there") as caught:
        place(text)
    assert "hid" not in str(caught.value)
    for arguments in (("status", "a", "--results", text), ("status", text), ("pareto", text, "--out", text)):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert "hid" not in err


# What goes wrong


def test_a_bucket_that_does_not_exist(bucket: ObjectPlace) -> None:
    study = StudyFolder("s3://nobody-has-this/results/study")
    for act in (study.read, lambda: study.create(""), study.drive().__enter__, lambda: tables.write_tables(study.folder, [])):
        with pytest.raises(ResultsFolderError, match=r"there is no bucket 'nobody-has-this' at http://127.*Create it"):
            act()


@pytest.mark.parametrize("address", ["localhost:9000", "ftp://host", "http://key:hidden@host", "http://host/path", "http://a b"])
def test_an_endpoint_that_is_no_address(address: str, bucket: ObjectPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
    with pytest.raises(StorageError, match=r"AWS_ENDPOINT_URL_S3 cannot be used\. Allowed: http://") as caught:
        bucket.names()
    assert "hidden" not in str(caught.value)


def test_an_endpoint_nobody_listens_at(bucket: ObjectPlace, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    code, out, err = run("status", f"{bucket}/results/digits")
    assert (code, out) == (2, "")
    assert f"no answer at {address}" in err
    assert "Connection refused" in err
    assert len(err.strip().splitlines()) == 1


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch, bucket: ObjectPlace) -> Iterator[Callable[[int, bytes], None]]:
    """A store that gives every request one answer, which can be chosen."""
    chosen: list[tuple[int, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = chosen[-1]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield lambda status, body: chosen.append((status, body))
    server.shutdown()
    thread.join()
    server.server_close()


def fault(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>said by the store</Message></Error>'.encode()


@pytest.mark.long
@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "access was refused .*AWS_ACCESS_KEY_ID"),
        (403, "InvalidAccessKeyId", "access was refused"),
        (403, "SignatureDoesNotMatch", "access was refused"),
        (400, "ExpiredToken", "access was refused"),
        (301, "PermanentRedirect", "in another region.*AWS_DEFAULT_REGION"),
        (400, "AuthorizationHeaderMalformed", "in another region"),
        (400, "InvalidRequest", "GET failed with InvalidRequest: said by the store"),
    ],
)
def test_an_answer_of_the_store_in_our_words(
    answering: Callable[[int, bytes], None], bucket: ObjectPlace, status: int, code: str, said: str, run: Any
) -> None:
    answering(200, b"<ListBucketResult></ListBucketResult>")
    objects._looked_at("s3", bucket.bucket, stores.KINDS["s3"].endpoint)
    answering(status, fault(code))
    with pytest.raises(StorageError, match=f"(?s){said}") as caught:
        bucket.names()
    assert str(bucket) in str(caught.value)
    assert "secret" not in str(caught.value).replace("AWS_SECRET_ACCESS_KEY", "")
    with pytest.raises(LedgerError):
        parts.names(bucket)
    exit_code, out, err = run("status", f"{bucket}/results/digits")
    assert (exit_code, out, len(err.strip().splitlines())) == (2, "", 1)


def test_a_key_nobody_has(bucket: ObjectPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)  # from now on it looks at them
    with pytest.raises(StorageError, match=r"access was refused at http.* Tried: the key in AWS_ACCESS_KEY_ID"):
        (bucket / "a").write_whole(b"1")


# Checkpoints


def stored(epoch: int, attempt: int = 1) -> Checkpoint:
    return Checkpoint(
        epoch=epoch, attempt=attempt, rows=({"epoch": epoch},), model=[np.full(3, epoch, np.float32)], optimizer=[np.array(epoch)]
    )


def test_checkpoints(root: Place) -> None:
    folder = root / "checkpoints" / "cnn-00000"
    for epoch in range(1, 4):
        checkpoint.write(folder, stored(epoch))
    checkpoint.write(folder, stored(1, attempt=2))
    assert sorted(folder.tree()) == ["attempt-1/epoch-00003.npz", "attempt-2/epoch-00001.npz"]
    found = checkpoint.newest(folder)
    assert found is not None
    assert (found.attempt, found.epoch, float(found.model[0][0])) == (2, 1, 1.0)
    checkpoint.path_of(folder, 2, 1).write_whole(b"damaged", may_replace=True)
    found = checkpoint.newest(folder)
    assert found is not None
    assert (found.attempt, found.epoch, found.rows) == (1, 3, ({"epoch": 3},))
    checkpoint.remove(folder, keep_newest=True)
    assert list(folder.tree()) == ["attempt-2/epoch-00001.npz"]
    checkpoint.remove(folder, keep_newest=False)
    assert checkpoint.newest(folder) is None
    assert folder.names() == []


@pytest.mark.parametrize("request_that_fails", ["tree", "read_bytes"])
def test_a_store_out_of_reach_is_not_taken_for_a_trial_without_checkpoint(
    bucket: ObjectPlace, monkeypatch: pytest.MonkeyPatch, request_that_fails: str
) -> None:
    checkpoint.write(bucket / "cnn-00000", stored(1))

    def out_of_reach(*_: Any) -> Any:
        raise StorageError("no answer")

    monkeypatch.setattr(ObjectPlace, request_that_fails, out_of_reach)
    with pytest.raises(StorageError, match="no answer"):
        checkpoint.newest(bucket / "cnn-00000")


def test_a_store_out_of_reach_is_no_damage_to_repair(bucket: ObjectPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoint.path_of(bucket / "cnn-00000", 1, 1)
    checkpoint.write(bucket / "cnn-00000", stored(1))
    assert checkpoint.problem(path) is None

    def out_of_reach(*_: Any) -> Any:
        raise StorageError("no answer")

    monkeypatch.setattr(ObjectPlace, "read_bytes", out_of_reach)
    with pytest.raises(StorageError, match="no answer"):
        checkpoint.problem(path)
    with pytest.raises(StorageError, match="no answer"):
        given_up.read(bucket)


def test_damaged_files_are_set_aside(root: Place) -> None:
    for _ in range(2):
        (root / "ledger").make_folder()
        (root / "ledger" / "part").write_whole(b"damaged")
        parts.set_aside(root, [root / "ledger" / "part", root / "ledger" / "gone"])
    assert sorted((root / "damaged").names()) == ["part", "part.2"]
    assert (root / "ledger").names() == []
