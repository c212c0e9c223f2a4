"""The python batches of CIFAR-10 and CIFAR-100. They are pickles; `sweeper.datasets._pickled` reads them and runs nothing."""

from __future__ import annotations

import dataclasses
import math
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sweeper.datasets import Dataset, Split
from sweeper.datasets._pickled import Array, RefusedError, plain
from sweeper.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 32
_PIXELS = SIDE * SIDE * 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One of the two sets.

    Args:
        name: Name in the catalog.
        folder: Folder of the batches inside the official archive.
        archive: File of the official archive.
        sha256: What the archive hashes to.
        train: Files of the training split, in order.
        test: File of the test split.
        labels: Key of the labels in a batch.
        class_names: One per class.
    """

    name: str
    folder: str
    archive: str
    sha256: str
    train: tuple[str, ...]
    test: str
    labels: str
    class_names: tuple[str, ...]


def made(
    kind: Kind, path: str | None, *, validation_fraction: float, leave_out_shared: bool, fraction: float, split_seed: int
) -> Dataset:
    """The dataset; validation is carved from train.

    Args:
        kind: Which of the two sets.
        path: Folder of the batches, or the official archive; None to download that.
        validation_fraction: Share of each class that is carved from train.
        leave_out_shared: See `sweeper.datasets._splits.reduced`, as the rest.
        fraction: See there.
        split_seed: Which rows are carved out, and which stay for a fraction.

    Raises:
        DatasetError: The data are missing or wrong, or cannot be downloaded.
    """
    from sweeper.datasets._assembly import with_carved_validation
    from sweeper.datasets._download import fetched

    if path is None:
        instead = f"Or give dataset.path, the file {kind.archive} or a folder with {', '.join((*kind.train, kind.test))}."
        origin = "https://www.cs.toronto.edu/~kriz/"
        place = fetched(kind.archive, origin=origin, sha256=kind.sha256, instead=instead)
    else:
        place = Path(path).expanduser()
    return with_carved_validation(
        kind.name,
        where=str(place),
        read=lambda which: _split(kind, place, kind.train if which == "train" else (kind.test,)),
        class_names=kind.class_names,
        validation_fraction=validation_fraction,
        leave_out_shared=leave_out_shared,
        fraction=fraction,
        split_seed=split_seed,
    )


def _split(kind: Kind, place: Path, names: Sequence[str]) -> Split:
    """The batches of these names, one after the other."""
    import numpy as np

    # One buffer grows batch by batch and becomes the array. The archive is not in order: a batch that comes early waits.
    pixels, labels = bytearray(), []
    missing, waiting = list(names), {}
    for name, stream in _streams(kind, place, names):
        waiting[name] = _batch(kind, f"{place}, {name}", stream)
        while missing and missing[0] in waiting:
            rows, classes = waiting.pop(missing.pop(0))
            pixels += np.ascontiguousarray(rows).data
            labels += classes
            del rows
    missing = [name for name in missing if name not in waiting]
    if missing:
        raise DatasetError(f"{place} lacks {', '.join(missing)}. Needed: {', '.join((*kind.train, kind.test))}.")
    images = np.frombuffer(pixels, dtype=np.uint8).reshape(-1, SIDE, SIDE, 3)
    return Split(images, np.array(labels, dtype=np.int64))


def _streams(kind: Kind, place: Path, names: Sequence[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """The batches that exist, each open for reading, in the order that is fastest to read."""
    if place.is_dir():
        folder = place / kind.folder if (place / kind.folder).is_dir() else place
        for name in names:
            if (folder / name).is_file():
                with (folder / name).open("rb") as stream:
                    yield name, stream
        return
    if not place.exists():
        raise DatasetError(f"there is no file or folder {place}. Give {kind.archive}, or the folder it unpacks to.")
    try:
        # In the order of the archive: to go back in a compressed file is to start again.
        with tarfile.open(place, "r:*") as archive:
            for member in archive:
                parts = Path(member.name).parts
                if member.isfile() and parts and parts[-1] in names:
                    opened = archive.extractfile(member)
                    assert opened is not None, "a member that is a file can be opened"
                    with opened:
                        yield parts[-1], opened
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DatasetError(
            f"{place} is not an archive of batches, or it is damaged ({error}). Needed: {kind.archive}."
        ) from error


def _batch(kind: Kind, where: str, stream: IO[bytes]) -> tuple[NDArray[np.uint8], list[int]]:
    """Images, (count, 32, 32, 3), and labels of one batch."""
    import numpy as np

    try:
        batch = plain(stream)
        # Keys are bytes where Python 2 wrote them.
        named = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
        pixels, labels = named["data"], named[kind.labels]
        if not isinstance(pixels, Array) or not isinstance(labels, list):
            raise ValueError("its data are not an array, or its labels not a list")
    except RefusedError as error:
        raise DatasetError(f"{where} is refused: {error}. Get the official {kind.archive}.") from None
    except Exception as error:
        # Any error while parsing a foreign file is the file's fault, and errors come in many classes.
        reason = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise DatasetError(f"{where} is not a batch of {kind.name}, or it is damaged ({reason[:200]}).") from error
    if pixels.shape != (len(labels), _PIXELS):
        shape = tuple(size if type(size) is int else "?" for size in pixels.shape)  # deeply nested values print without end
        raise DatasetError(f"{where}: data have shape {shape} for {len(labels)} labels; allowed: ({len(labels)}, {_PIXELS}).")
    if len(pixels.data) != math.prod(pixels.shape):
        raise DatasetError(
            f"{where}: {len(pixels.data):,} bytes of pixels instead of {math.prod(pixels.shape):,}; it is damaged."
        )
    for label in labels:
        if type(label) is not int or not 0 <= label < len(kind.class_names):
            shown = label if type(label) is int else type(label).__name__
            raise DatasetError(f"{where}: a label is {shown}; allowed: 0 to {len(kind.class_names) - 1}.")
    rows = np.frombuffer(pixels.data, dtype=np.uint8).reshape(pixels.shape, order="F" if pixels.is_by_column else "C")
    return rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), labels
