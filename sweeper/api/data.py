"""Arrays in memory as a dataset of a study."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.datasets.arrays import checked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FOLDER = "results/_arrays"
"""Where arrays are kept, as long as nothing else is said: no study can have a name that begins with ``_``."""


def arrays(
    x: ArrayLike,
    y: ArrayLike,
    x_validation: ArrayLike | None = None,
    y_validation: ArrayLike | None = None,
    x_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    *,
    class_names: Sequence[str] = (),
    folder: str | Path = FOLDER,
    **options: Any,
) -> dict[str, Any]:
    """Images and labels in memory, as the dataset of a study.

    They are written into an .npz file whose name is the hash of what is in it: the same arrays give the same study, and workers
    and later sessions read the file.

    Args:
        x: Images to train on, (count, height, width) or (count, height, width, channels) with 1 or 3 channels: uint8 from 0 to
            255, or floats from 0 to 1.
        y: Their labels, (count,), whole numbers from 0.
        x_validation: Images that choose; without, they are carved from train by a seed.
        y_validation: Their labels.
        x_test: Images that only `confirm` looks at; without, there is no test split.
        y_test: Their labels.
        class_names: One name per class, in label order; empty numbers the classes.
        folder: Where the file is written.
        **options: Further options of the dataset ``arrays``, such as ``validation_fraction`` and ``split_seed``.

    Returns:
        What a study file says of the dataset.

    Raises:
        DatasetError: Wrong shapes, types, ranges or lengths.

    >>> import numpy as np, sweeper
    >>> images, labels = np.zeros((20, 8, 8), "uint8"), np.arange(20) % 2
    >>> sweeper.arrays(images, labels, class_names=("even", "odd"), folder="kept")
    {'name': 'arrays', 'path': 'kept/5a0ce8f6cd2d35a4.npz', 'class_names': ['even', 'odd']}
    """
    import numpy as np

    given = {"x_train": x, "y_train": y, "x_validation": x_validation, "y_validation": y_validation}
    given |= {"x_test": x_test, "y_test": y_test}
    members = {name: np.asarray(array) for name, array in given.items() if array is not None}
    kept = checked(members, class_names=tuple(class_names), where="sweeper.arrays")
    path = Path(folder, f"{_digest(kept)}.npz")
    if not path.exists():
        _write(path, kept)
    named = {"class_names": list(class_names)} if class_names else {}
    return {"name": "arrays", "path": path.as_posix(), **named, **options}


def _digest(members: Mapping[str, NDArray[Any]]) -> str:
    """What arrays are, in 16 hexadecimal digits."""
    import numpy as np

    digest = hashlib.sha256()
    for name, array in sorted(members.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _write(path: Path, members: Mapping[str, NDArray[Any]]) -> None:
    """Write a whole file, or none."""
    import numpy as np

    from sweeper.errors import ResultsFolderError

    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, **members)
        part.replace(path)
    except OSError as error:
        raise ResultsFolderError(f"{path} cannot be written ({error.strerror}). Give another folder: folder=...") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
