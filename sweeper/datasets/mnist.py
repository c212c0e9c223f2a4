"""MNIST: 70,000 handwritten digits in 28x28 pixels; local files, or downloaded.

Nearly solved: small networks reach 99 %, so it says little about which architecture is better.
"""

from __future__ import annotations

from pathlib import Path

from sweeper.catalog import dataset
from sweeper.datasets import Dataset, Split
from sweeper.errors import DatasetError

_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


@dataset(
    source="Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits, 1998; http://yann.lecun.com/exdb/mnist",
    licence="CC BY-SA 3.0",
)
def mnist(
    *,
    path: str | None = None,
    validation_fraction: float = 0.1,
    leave_out_shared: bool = False,
    fraction: float = 1.0,
    split_seed: int = 0,
) -> Dataset:
    """Grey images of the digits 0 to 9, uint8: 60,000 for training and validation, 10,000 for testing.

    Args:
        path: Folder of the four idx files, compressed by gzip or not; null to download Keras's copy (11 MB) once.
        validation_fraction: Share of each class of the training images that becomes validation, above 0 and below 1.
        leave_out_shared: Leave the images out of training whose pixels also occur in validation or test; for that the test
            images are read, compared and not kept.
        fraction: Share of each class that is trained on, above 0 and up to 1.
        split_seed: Which images are carved out, and which stay for a fraction.

    Raises:
        DatasetError: The data are missing or wrong, or cannot be downloaded.
    """
    from sweeper.datasets import _idx
    from sweeper.datasets._assembly import with_carved_validation

    folder = None if path is None else Path(path).expanduser()
    return with_carved_validation(
        "mnist",
        where="mnist" if folder is None else str(folder),
        read=_downloaded if folder is None else lambda which: _idx.split_in(folder, which),
        class_names=tuple("0123456789"),
        validation_fraction=validation_fraction,
        leave_out_shared=leave_out_shared,
        fraction=fraction,
        split_seed=split_seed,
    )


def _downloaded(which: str) -> Split:
    import numpy as np

    from sweeper.datasets import _idx
    from sweeper.datasets._download import fetched

    instead = f"Or give dataset.path, a folder with the four files {_idx.NEEDED}."
    file = fetched("mnist.npz", origin=_ORIGIN, sha256=_SHA256, instead=instead)
    try:
        with np.load(file, allow_pickle=False) as archive:
            return Split(archive[f"x_{which}"][..., None], archive[f"y_{which}"].astype(np.int64))
    except Exception as error:
        raise DatasetError(f"{file} cannot be read ({error}). Remove it, to have it downloaded again. {instead}") from error
