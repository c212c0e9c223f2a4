"""CIFAR's batches, which are pickles."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.datasets import _pickled
from sweeper.datasets._audit import digests
from sweeper.datasets.cifar10 import cifar10
from sweeper.datasets.cifar100 import cifar100
from sweeper.errors import DatasetError
from tests.datasets.kit import three


def text_2(value: bytes) -> bytes:
    """A string as Python 2 pickles it."""
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<I", len(value)) + value


def batch_2(images: Any, labels: list[int], key: bytes = b"labels", *, dtype: bytes = b"u1", bad: bytes = b"") -> bytes:
    """A batch as the official ones are: pickled by Python 2 in protocol 2, the array through numpy's reconstruction."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85" + text_2(b"b") + b"\x87Rq\x03"
        b"(K\x01" + b"".join(b"J" + struct.pack("<i", size) for size in images.shape) + b"\x86"
        b"cnumpy\ndtype\nq\x04" + text_2(dtype) + b"K\x00K\x01\x87Rq\x05(K\x03" + text_2(b"|") + b"NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tbI00\n" + text_2(images.tobytes()) + b"tb"
    )
    numbers = b"]q\x06(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    names = b"](" + b"".join(text_2(b"%d.png" % number) for number in range(len(labels))) + b"e"
    return (
        b"\x80\x02}q\x07(" + text_2(b"data") + array + text_2(key) + numbers + text_2(b"batch_label") + text_2(b"batch 1")
        + text_2(b"filenames") + names + bad + b"u."
    )  # fmt: skip


def batch_3(protocol: int) -> Callable[..., bytes]:
    def write(images: Any, labels: list[int], key: bytes = b"labels") -> bytes:
        return pickle.dumps({b"data": images, key: labels, b"filenames": [b"a"], "note": None, "yes": (True, 1, 2)}, protocol)

    return write


WRITERS = {"official": batch_2, **{f"protocol {number}": batch_3(number) for number in (2, 3, 4, 5)}}


def colours(num: int, seed: int, num_classes: int) -> tuple[Any, list[int]]:
    rows = np.random.default_rng(seed).integers(0, 256, (num, 3072), dtype=np.uint8)
    return rows, [number % num_classes for number in range(num)]


def write_cifar10(folder: Path, write: Callable[..., bytes] = batch_2) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(1, 6):
        (folder / f"data_batch_{number}").write_bytes(write(*colours(40, number, 10)))
    (folder / "test_batch").write_bytes(write(*colours(10, 6, 10)))
    return folder


def upright(rows: Any) -> Any:
    """Pixels from planes of red, green and blue, one at a time."""
    return np.stack([np.stack([row[:1024], row[1024:2048], row[2048:]], axis=-1).reshape(32, 32, 3) for row in rows])


@pytest.mark.parametrize("writer", WRITERS)
def test_cifar10(tmp_path: Path, writer: str) -> None:
    data = cifar10(path=str(write_cifar10(tmp_path / "mine", WRITERS[writer])))
    assert (data.input_shape, data.num_classes, data.class_names[3]) == ((32, 32, 3), 10, "cat")
    assert {name: len(split) for name, split in three(data).items()} == {"train": 180, "validation": 20, "test": 10}
    assert np.array_equal(data.read_test().images, upright(colours(10, 6, 10)[0]))
    assert data.read_test().labels.tolist() == list(range(10))
    whole = upright(np.concatenate([colours(40, number, 10)[0] for number in range(1, 6)]))
    rows = {digest: row for row, digest in enumerate(digests(whole))}
    found = [rows[digest] for digest in digests(data.train.images)]
    assert found == sorted(found)
    assert data.train.labels.tolist() == [row % 10 for row in found]
    assert set(found) | {rows[digest] for digest in digests(data.validation.images)} == set(range(200))


def test_cifar10_by_column(tmp_path: Path) -> None:
    def write(images: Any, labels: list[int]) -> bytes:
        return pickle.dumps({b"data": np.asfortranarray(images), b"labels": labels}, 2)

    data = cifar10(path=str(write_cifar10(tmp_path, write)))
    assert np.array_equal(data.read_test().images, upright(colours(10, 6, 10)[0]))


def test_cifar10_in_its_archive(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "readme.html").write_bytes(b"hello")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        for file in sorted((tmp_path / "cifar-10-batches-py").iterdir(), reverse=True):
            archive.add(file, f"cifar-10-batches-py/{file.name}")
    plain, packed = (cifar10(path=str(tmp_path / name)) for name in ("", "cifar-10-python.tar.gz"))
    for name, split in three(plain).items():
        assert np.array_equal(split.images, three(packed)[name].images)
        assert np.array_equal(split.labels, three(packed)[name].labels)
    whole = (tmp_path / "cifar-10-python.tar.gz").read_bytes()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(whole[:-9000])
    with pytest.raises(DatasetError, match="damaged"):
        cifar10(path=str(tmp_path / "cifar-10-python.tar.gz"))


def test_cifar100(tmp_path: Path) -> None:
    for name, num in (("train", 1000), ("test", 100)):
        (tmp_path / name).write_bytes(batch_2(*colours(num, num, 100), b"fine_labels"))
    data = cifar100(path=str(tmp_path), fraction=0.5)
    assert (data.num_classes, len(set(data.class_names))) == (100, 100)
    assert (len(data.train), len(data.validation), len(data.read_test())) == (400, 100, 100)
    (tmp_path / "train").write_bytes(batch_2(*colours(1000, 0, 100)))
    with pytest.raises(DatasetError, match=r"train is not a batch of cifar100, or it is damaged \('fine_labels' is missing\)"):
        cifar100(path=str(tmp_path))


class Evil:
    """Runs code where a pickle of it is read by the usual reader."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


MALICIOUS = {
    **{f"reduce, protocol {number}": pickle.dumps(Evil(), number) for number in range(6)},
    "hidden in a batch": batch_2(*colours(40, 1, 10), bad=text_2(b"x") + b"cos\nsystem\n(" + text_2(b"touch ran") + b"tR"),
    "eval": b"c__builtin__\neval\n(U\x04None\x85R.",
    "instance": b"(S'touch ran'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'touch ran'\no.",
    "new object": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "persistent": b"Pname\n.",
    "extension": b"\x80\x02\x82\x01.",
    "call of a known name": b"cnumpy\nndarray\n(K\x05tR.",
    "call of a text": b"U\x06system(U\x01xtR.",
    "state of a list": b"](K\x01K\x02d.b.",
    "array of objects": batch_2(*colours(40, 1, 10), dtype=b"O8"),
    "array of numbers": pickle.dumps({b"data": np.zeros((40, 3072)), b"labels": [0] * 40}, 2),
    "other array of numbers": pickle.dumps({b"data": np.zeros((40, 3072)), b"labels": [0] * 40}, 5),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_a_malicious_pickle_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path / "mine")
    (tmp_path / "mine" / "data_batch_1").write_bytes(MALICIOUS[name])
    with pytest.raises(DatasetError, match=r"mine, data_batch_1 is (refused|not a batch of cifar10, or it is damaged)") as caught:
        cifar10(path=str(tmp_path / "mine"))
    if "reduce" in name or "hidden" in name:
        assert re.search(r"is refused: it asks for '(posix|nt|os)\.system', which could run code", str(caught.value))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not a batch of cifar10, or it is damaged"),
        (b"hello", "is not a batch of cifar10, or it is damaged"),
        (batch_2(*colours(40, 1, 10))[:-5000], "is not a batch of cifar10, or it is damaged"),
        (batch_2(*colours(40, 1, 10))[:-1], "is not a batch of cifar10, or it is damaged"),
        (pickle.dumps([1, 2]), "is not a batch of cifar10"),
        (pickle.dumps({"data": 5, "labels": []}), "its data are not an array"),
        (batch_2(colours(40, 1, 10)[0], [0] * 39), "data have shape (40, 3072) for 39 labels; allowed: (39, 3072)."),
        (batch_2(colours(40, 1, 10)[0][:, :99], [0] * 40), "data have shape (40, 99) for 40 labels"),
        (pickle.dumps({"data": colours(1, 1, 10)[0], "labels": [None]}), "a label is NoneType; allowed: 0 to 9."),
        (pickle.dumps({(1, 2): 3}), "is refused: it holds a key that is neither text nor number"),
        (batch_2(colours(40, 1, 10)[0], [10] * 40), "a label is 10; allowed: 0 to 9."),
    ],
)
def test_cifar10_batches_that_are_wrong(tmp_path: Path, data: bytes, said: str) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(data)
    with pytest.raises(DatasetError, match=re.escape(said)):
        cifar10(path=str(tmp_path))


def test_cifar10_paths_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no file or folder .*gone\. Give cifar-10-python\.tar\.gz"):
        cifar10(path=str(tmp_path / "gone"))
    with pytest.raises(DatasetError, match="lacks data_batch_1, data_batch_2, data_batch_3, data_batch_4, data_batch_5"):
        cifar10(path=str(tmp_path))
    write_cifar10(tmp_path)
    (tmp_path / "test_batch").unlink()
    data = cifar10(path=str(tmp_path))
    with pytest.raises(DatasetError, match="lacks test_batch"):
        data.read_test()
    (tmp_path / "file").write_bytes(b"hello")
    with pytest.raises(DatasetError, match="file is not an archive of batches, or it is damaged"):
        cifar10(path=str(tmp_path / "file"))


SMALL = batch_2(np.zeros((2, 3072), np.uint8)[:, :4], [1, 2])


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
@given(data=st.binary(max_size=40), at=st.integers(0, len(SMALL)))
def test_a_damaged_pickle_gives_plain_values_or_an_error(data: bytes, at: int) -> None:
    try:
        found = _pickled.plain(io.BytesIO(SMALL[:at] + data + SMALL[at + len(data) :]))
    except Exception:
        return
    allowed = ("dict", "list", "tuple", "bytes", "str", "int", "float", "bool", "NoneType", "Array", "_Name", "object")
    assert type(found).__name__ in allowed


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary(), inner) | st.tuples(inner, inner, inner, inner),
    max_leaves=20,
)


@given(value=VALUES, protocol=st.integers(3, 5))
def test_plain_values_are_read_as_the_usual_reader_does(value: Any, protocol: int) -> None:
    assert _pickled.plain(io.BytesIO(pickle.dumps(value, protocol))) == value
