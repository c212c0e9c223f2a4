"""Images too many for the memory: decoded once into a file of the user's cache, which every process maps instead of a copy.

::

    ~/.cache/sweeper/<key>/images        the pixels, one image after another
    ~/.cache/sweeper/<key>/facts.json    their shape and type, and what was found while they were read
    ~/.cache/sweeper/<key>.lock          held by the process that writes them
    ~/.cache/sweeper/<key>.part          half written; removed by the next process that writes, once nobody holds the lock

A key is a digest of everything the pixels follow from. A folder is written under another name, then renamed, so it is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from sweeper.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8] | NDArray[np.float32]

CACHE = "SWEEPER_CACHE"
"""Environment variable that names the folder."""

FROM_BYTES = 2**31
"""Bytes of a split from which it lies in a file."""

LEFT_FREE = 2**30
"""Bytes that stay free on the disk."""

BLOCK = 2**26
"""Bytes of images that are copied at a time."""


class Reference(NamedTuple):
    """A file of images, as it travels to another process.

    Args:
        file: The file.
        shape: (count, height, width, channels).
        dtype: uint8 or float32.
    """

    file: str
    shape: tuple[int, ...]
    dtype: str

    def opened(self) -> Pixels:
        """The images, mapped to be read.

        Raises:
            DatasetError: The file is not there.
        """
        import numpy as np

        try:
            return np.memmap(self.file, dtype=self.dtype, mode="r", shape=self.shape)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise DatasetError(
                f"the decoded images in {self.file} cannot be read on this machine ({reason}). Launch again, to have them "
                f"decoded anew. On a cluster, name a folder that all machines share with --cache or ${CACHE}."
            ) from error


def reference(images: Pixels) -> Reference | None:
    """Where images lie, if they are the whole of a file; None for those in memory."""
    import numpy as np

    mapped: Any = images
    if not isinstance(images, np.memmap) or images.filename is None or len(mapped._mmap) != images.nbytes:
        return None
    return Reference(str(images.filename), images.shape, str(images.dtype))


def key_of(facts: object) -> str:
    """The name of images that follow from these facts, plain data."""
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


def stored(key: str, num_bytes: int, write: Callable[[IO[bytes]], dict[str, Any] | None]) -> tuple[Pixels, dict[str, Any]] | None:
    """The images of a key and the facts on them, written first if they are not there.

    Args:
        key: As from `key_of`.
        num_bytes: What they take at most.
        write: Writes the pixels and gives facts, among them ``shape`` and ``dtype``; None to keep nothing.

    Returns:
        The images, mapped to be read, and the facts; None if `write` gave None.

    Raises:
        DatasetError: The folder cannot be used, or the disk has too little room.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{key}.lock"):
            found = _found(folder / key)
            if found is None:
                _remove_halves(folder, key)
                _check_room(folder, num_bytes)
                found = _written(folder / key, write)
    except OSError as error:
        raise DatasetError(
            f"decoded images cannot be kept in {folder} ({error.strerror or error}). Name another folder with --cache or "
            f"${CACHE}."
        ) from error
    if found is None:
        return None
    return Reference(str(folder / key / "images"), tuple(found["shape"]), found["dtype"]).opened(), found


def chosen(images: Pixels, rows: NDArray[np.int64]) -> Pixels:
    """Some of the images of a file, in a file of their own."""
    place = reference(images)
    assert place is not None
    most = max(1, BLOCK // images[:1].nbytes)

    def write(stream: IO[bytes]) -> dict[str, Any]:
        for begin in range(0, len(rows), most):
            stream.write(images[rows[begin : begin + most]].data)
        return {"shape": [len(rows), *images.shape[1:]], "dtype": str(images.dtype)}

    key = key_of([Path(place.file).parent.name, hashlib.blake2b(rows.tobytes()).hexdigest()])
    found = stored(key, len(rows) * images[:1].nbytes, write)
    assert found is not None
    return found[0]


def note(splits: Iterable[Pixels]) -> tuple[str, ...]:
    """A sentence on the files in which images lie; none where all are in memory."""
    mapped = [images for images in splits if reference(images) is not None]
    if not mapped:
        return ()
    size = sum(images.nbytes for images in mapped) / 1e9
    return (
        f"{size:,.1f} GB of decoded images lie in {cache_folder()} and are read from there, not held in memory. Another launch "
        "finds them; remove the folder when none needs it.",
    )


def cache_folder() -> Path:
    """Where decoded images are kept."""
    named = os.environ.get(CACHE)
    home = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "sweeper"
    return home.expanduser().absolute()


@contextlib.contextmanager
def _locked(file: Path, *, waits: bool = True) -> Iterator[None]:
    """Hold a lock, which ends with the process; `BlockingIOError` if another has it and this one does not wait."""
    with file.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        yield


def _found(place: Path) -> dict[str, Any] | None:
    """The facts on images that are there whole."""
    import numpy as np

    try:
        facts: dict[str, Any] = json.loads((place / "facts.json").read_bytes())
        size = math.prod(facts["shape"]) * np.dtype(facts["dtype"]).itemsize
        return facts if (place / "images").stat().st_size == size else None
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _written(place: Path, write: Callable[[IO[bytes]], dict[str, Any] | None]) -> dict[str, Any] | None:
    half = place.with_suffix(".part")
    half.mkdir()
    try:
        with (half / "images").open("wb") as stream:
            facts = write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        if facts is None:
            return None
        (half / "facts.json").write_text(json.dumps(facts))
        shutil.rmtree(place, ignore_errors=True)  # damaged, or it would have been found
        half.rename(place)
        return facts
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _remove_halves(folder: Path, own: str) -> None:
    """Remove what processes left that were killed while they wrote; the lock of `own` is held already."""
    for half in folder.glob("*.part"):
        if half.stem == own:
            shutil.rmtree(half)
            continue
        with contextlib.suppress(OSError), _locked(half.with_suffix(".lock"), waits=False):
            shutil.rmtree(half)


def _check_room(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes + LEFT_FREE > free:
        raise DatasetError(
            f"the decoded images need {num_bytes / 1e9:,.1f} GB in {folder}, where {free / 1e9:,.1f} GB are free and "
            f"{LEFT_FREE / 1e9:.1f} GB shall stay free. Make room, name another folder with --cache or ${CACHE}, or choose a "
            "smaller size."
        )
