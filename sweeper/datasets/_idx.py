"""The idx format of MNIST and Fashion-MNIST: four files, each a short header followed by bytes."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from sweeper.datasets import Split
from sweeper.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PARTS = {"train": "train", "test": "t10k"}
"""Prefix of the file names of each split."""

NEEDED = "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz"


def split_in(folder: Path, which: str) -> Split:
    """The split called ``train`` or ``test`` of a folder of idx files.

    Raises:
        DatasetError: A file is missing or damaged, or images and labels do not fit.
    """
    return split_of(_found(folder, f"{PARTS[which]}-images", 3), _found(folder, f"{PARTS[which]}-labels", 1))


def split_of(images: Path, labels: Path) -> Split:
    """The split in a file of images and a file of labels."""
    import numpy as np

    pixels, classes = array(images, 3), array(labels, 1)
    if len(pixels) != len(classes):
        raise DatasetError(
            f"{images} has {len(pixels):,} images, but {labels} has {len(classes):,} labels; each image needs one."
        )
    return Split(pixels[..., None], classes.astype(np.int64))


def _found(folder: Path, stem: str, num_axes: int) -> Path:
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise DatasetError(f"{folder} {what}; allowed: a folder with the four files {NEEDED}.")
    names = [f"{stem}{dash}idx{num_axes}-ubyte{suffix}" for dash in "-." for suffix in (".gz", "")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DatasetError(f"{folder} lacks {names[0]} (or the same without .gz). Needed: {NEEDED}.")


def array(file: Path, num_axes: int) -> NDArray[np.uint8]:
    """The bytes of an idx file, compressed by gzip or not, as an array with so many axes.

    Raises:
        DatasetError: It is not such a file, or is cut off.
    """
    try:
        with file.open("rb") as raw:
            is_packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not is_packed:
                return _content(file, raw, num_axes)
            with gzip.GzipFile(fileobj=raw) as stream:
                return _content(file, cast(IO[bytes], stream), num_axes)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{file} is damaged or cut off ({error}). Get it again.") from error


def _content(file: Path, stream: IO[bytes], num_axes: int) -> NDArray[np.uint8]:
    import numpy as np

    header = stream.read(4 + 4 * num_axes)
    if header[:4] != bytes((0, 0, 8, num_axes)) or len(header) < 4 + 4 * num_axes:
        what = "images" if num_axes == 3 else "labels"
        raise DatasetError(f"{file} is not an idx file of {what}: it begins with {header[:4].hex(' ') or 'nothing'}.")
    shape = struct.unpack(f">{num_axes}I", header[4:])
    size = math.prod(shape)
    try:
        made = np.empty(shape, dtype=np.uint8)
    except (MemoryError, ValueError):
        raise DatasetError(f"{file} claims to hold {size:,} bytes, more than fit into memory; it is damaged.") from None
    flat: Any = made.reshape(-1)
    view = memoryview(flat)
    done = 0
    while done < size and (count := stream.readinto(view[done : done + (1 << 20)])):  # type: ignore[attr-defined]
        done += count
    if done < size or stream.read(1):
        how = "ends after" if done < size else "goes on after"
        promised = "x".join(map(str, shape))
        raise DatasetError(f"{file} {how} {done:,} bytes, but its header says {promised}, which is {size:,}. Get it again.")
    return made
