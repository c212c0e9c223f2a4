"""Images that lie in a file of the cache: decoded once, whole or not there, and never a copy that travels."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import re
import shutil
import tracemalloc
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.datasets import Split, _images, _mapped
from sweeper.datasets.arrays import arrays
from sweeper.datasets.image_folder import image_folder
from sweeper.errors import DatasetError
from tests.datasets.kit import classes, pixels, save, splits, three


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache, used for splits above 1,000 bytes, with room enough on any disk."""
    monkeypatch.setenv(_mapped.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(_mapped, "FROM_BYTES", 1000)
    monkeypatch.setattr(_mapped, "LEFT_FREE", 0)
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded since, in order."""
    names: list[str] = []
    decode = _images._decoded
    monkeypatch.setattr(_images, "_decoded", lambda file, manner: names.append(file.name) or decode(file, manner))  # type: ignore[func-returns-value]
    return names


def in_memory(monkeypatch: pytest.MonkeyPatch, path: Path, **options: Any) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(_mapped, "FROM_BYTES", 2**31)
        data = image_folder(path=str(path), size=16, **options)
        return three(data), data.notes


@pytest.mark.parametrize("options", [{}, {"fraction": 0.5}, {"leave_out_shared": True}, {"fit": "pad", "color": "rgb"}])
def test_mapped_images_are_those_in_memory(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    root = splits(tmp_path / "photos")
    save(root / "train" / "cat" / "again.png", pixels(1000))
    save(root / "train" / "cat" / "wide.png", pixels(3, 20, 60))
    expected, notes = in_memory(monkeypatch, root, **options)
    assert not cache.exists()
    for _ in range(2):
        data = image_folder(path=str(root), size=16, **options)
        for name, split in three(data).items():
            assert isinstance(split.images, np.memmap)
            assert not split.images.flags.writeable
            assert np.array_equal(split.images, expected[name].images)
            assert np.array_equal(split.labels, expected[name].labels)
        assert data.notes[:-1] == notes
        assert re.fullmatch(rf"0\.0 GB of decoded images lie in {cache} and are read from there.*", data.notes[-1])


def test_a_folder_is_decoded_once_and_again_when_it_has_changed(tmp_path: Path, cache: Path, decoded: list[str]) -> None:
    root = splits(tmp_path / "photos")
    first = image_folder(path=str(root), size=16)
    assert len(decoded) == 27
    image_folder(path=str(root), size=16, unreadable="skip")
    assert len(decoded) == 27
    state = (root / "train" / "cat" / "000.png").stat()
    save(root / "train" / "cat" / "000.png", pixels(7000))
    os.utime(root / "train" / "cat" / "000.png", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    changed = image_folder(path=str(root), size=16)
    assert len(decoded) == 27 + 18  # the training split alone
    assert np.array_equal(changed.train.images[0, ..., 0], pixels(7000))
    assert np.array_equal(first.train.images[0, ..., 0], pixels(0)), "what runs goes on with the images it began with"
    image_folder(path=str(root), size=8)
    assert len(decoded) == 27 + 18 + 27, "another size is another key"


def test_files_that_cannot_be_used(tmp_path: Path, cache: Path, decoded: list[str]) -> None:
    root = splits(tmp_path / "photos")
    (root / "train" / "cat" / "bad.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="1 of 34 files cannot be used: 1 empty"):
        image_folder(path=str(root), size=16)
    kept = [entry.name for entry in cache.iterdir() if entry.is_dir()]
    assert len(kept) == 1, "validation; nothing is kept of the split with the fault"
    del decoded[:]
    for _ in range(2):
        data = image_folder(path=str(root), size=16, unreadable="skip")
        assert (len(data.train), data.train.num_unreadable) == (18, 1)
        assert "1 of 28 training and validation files cannot be used and were left out: 1 empty" in data.notes[0]
    assert len(decoded) == 19


def test_only_the_place_travels(tmp_path: Path, cache: Path) -> None:
    split = image_folder(path=str(splits(tmp_path / "photos")), size=16, unreadable="skip").train
    sent = pickle.dumps(split)
    assert len(sent) < 1500 < split.images.nbytes
    there = pickle.loads(sent).opened()
    assert isinstance(there.images, np.memmap)
    assert np.array_equal(there.images, split.images)
    assert np.array_equal(there.labels, split.labels)
    part = pickle.loads(pickle.dumps(Split(split.images[2:5], split.labels[2:5]))).opened()
    assert np.array_equal(part.images, split.images[2:5])
    shutil.rmtree(cache)
    with pytest.raises(DatasetError, match=r"decoded images in .* cannot be read on this machine .* Launch again"):
        pickle.loads(sent).opened()


def test_what_is_damaged_is_decoded_anew(tmp_path: Path, cache: Path, decoded: list[str]) -> None:
    root = splits(tmp_path / "photos")
    image_folder(path=str(root), size=16)
    for images in cache.glob("*/images"):
        os.truncate(images, 100)
    for facts in list(cache.glob("*/facts.json"))[:1]:
        facts.write_text("{")
    del decoded[:]
    assert np.array_equal(image_folder(path=str(root), size=16).train.images[0, ..., 0], pixels(0))
    assert len(decoded) == 27


def test_what_a_killed_process_left_is_removed(tmp_path: Path, cache: Path) -> None:
    cache.mkdir()
    for name in ("dead.part", "alive.part"):
        (cache / name).mkdir()
        (cache / name / "images").write_bytes(b"half")
    with _mapped._locked(cache / "alive.lock"):
        image_folder(path=str(splits(tmp_path / "photos")), size=16)
        assert [entry.name for entry in cache.glob("*.part")] == ["alive.part"]


def decode(path: str, counted: Any) -> None:
    """What a driver does; counts what it decodes."""
    _mapped.FROM_BYTES = 1000
    real = _images._decoded

    def counting(file: Path, manner: Any) -> Any:
        with counted.get_lock():
            counted.value += 1
        return real(file, manner)

    _images._decoded = counting  # type: ignore[assignment]
    image_folder(path=path, size=16)


def test_two_drivers_decode_once(tmp_path: Path, cache: Path) -> None:
    root = classes(tmp_path / "photos", 40)
    context = multiprocessing.get_context("spawn")
    counted = context.Value("i", 0)
    processes = [context.Process(target=decode, args=(str(root), counted)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 3
    assert counted.value == 108  # training and validation, once
    assert not list(cache.glob("*.part"))


def test_a_disk_without_room(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10_000, 5_400, 4_600))
    with pytest.raises(
        DatasetError, match=rf"need 0\.0 GB in {cache}, where 0\.0 GB are free .* with --cache or \$SWEEPER_CACHE"
    ):
        image_folder(path=str(splits(tmp_path / "photos")), size=16)
    assert not list(cache.glob("*.part"))


def test_a_cache_that_cannot_be_used(tmp_path: Path, cache: Path) -> None:
    cache.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"decoded images cannot be kept in .*cache \(File exists\)\. Name another folder"):
        image_folder(path=str(splits(tmp_path / "photos")), size=16)


def test_decoding_takes_no_memory_for_all_images(tmp_path: Path, cache: Path) -> None:
    root = classes(tmp_path / "photos", 40)
    tracemalloc.start()
    data = image_folder(path=str(root), size=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.train.images.nbytes > 6_000_000
    assert peak < 3_000_000


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(_mapped.CACHE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _mapped.cache_folder() == tmp_path / "sweeper"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _mapped.cache_folder() == Path.home() / ".cache" / "sweeper"
    monkeypatch.setenv(_mapped.CACHE, "~/images")
    assert _mapped.cache_folder() == Path.home() / "images"


def test_facts_are_plain(tmp_path: Path, cache: Path) -> None:
    image_folder(path=str(splits(tmp_path / "photos")), size=16)
    found = sorted(json.loads(file.read_text())["shape"] for file in cache.glob("*/facts.json"))
    assert found == [[9, 16, 16, 1], [18, 16, 16, 1]]


def npz(folder: Path, dtype: str, **options: Any) -> Path:
    """An archive with a validation split or, with `num_validation` 0, without."""
    generator = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for name, count in (("train", 40), ("validation", options.get("num_validation", 20)), ("test", 10)):
        images = generator.integers(0, 256, (count, 6, 5, *options.get("channels", ())), dtype=np.uint8)
        made[f"x_{name}"] = images if dtype == "uint8" else (images / 255).astype(dtype)
        made[f"y_{name}"] = np.arange(count) % 2
    kept = {name: value for name, value in made.items() if len(value)}
    (np.savez_compressed if options.get("is_packed") else np.savez)(folder / "mine.npz", **kept)
    return folder / "mine.npz"


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "float16"])
@pytest.mark.parametrize(
    "options",
    [{}, {"is_packed": True}, {"num_validation": 0}, {"channels": (3,)}, {"num_validation": 0, "fraction": 0.5}],
)
def test_arrays_too_large_for_memory(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, options: dict[str, Any]
) -> None:
    path = npz(tmp_path, dtype, **options)
    fraction = options.get("fraction", 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(_mapped, "FROM_BYTES", 2**31)
        expected = three(arrays(path=str(path), fraction=fraction))
    monkeypatch.setattr(_mapped, "FROM_BYTES", 200)
    monkeypatch.setattr(_mapped, "BLOCK", 100)
    for _ in range(2):
        data = arrays(path=str(path), fraction=fraction)
        for name, split in three(data).items():
            assert isinstance(split.images, np.memmap)
            assert split.images.dtype == expected[name].images.dtype
            assert np.array_equal(split.images, expected[name].images)
            assert np.array_equal(split.labels, expected[name].labels)
            assert len(pickle.dumps(split)) < 1500
        assert len(data.files) == 2
        assert "of decoded images lie in" in data.notes[-1]


def test_a_large_array_that_is_damaged(tmp_path: Path, cache: Path) -> None:
    path = npz(tmp_path, "uint8")
    data = bytearray(path.read_bytes())
    data[600] ^= 255
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="x_train is damaged and cannot be read"):
        arrays(path=str(path))
    assert not list(cache.glob("*.part"))
    assert not list(cache.glob("*/images"))


def test_large_arrays_that_are_wrong(tmp_path: Path, cache: Path) -> None:
    holed = np.zeros((40, 6, 5), np.float32)
    holed[3] = np.nan
    labels = np.arange(40) % 2
    np.savez(tmp_path / "mine.npz", x_train=holed, y_train=labels)
    with pytest.raises(DatasetError, match="1 of 40 images have NaN in them, the first at index 3"):
        arrays(path=str(tmp_path / "mine.npz"))
    np.savez(tmp_path / "mine.npz", x_train=np.asfortranarray(np.zeros((40, 6, 5), np.uint8)), y_train=labels)
    assert not isinstance(arrays(path=str(tmp_path / "mine.npz")).train.images, np.memmap)
    np.savez(tmp_path / "mine.npz", x_train=np.zeros((40, 6, 5), np.int64), y_train=labels)
    with pytest.raises(DatasetError, match="images are int64"):
        arrays(path=str(tmp_path / "mine.npz"))
