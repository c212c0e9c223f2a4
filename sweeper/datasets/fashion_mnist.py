"""Fashion-MNIST: 70,000 pictures of ten kinds of clothing in 28x28 pixels; local files, or downloaded."""

from __future__ import annotations

from pathlib import Path

from sweeper.catalog import dataset
from sweeper.datasets import Dataset, Split

CLASS_NAMES = ("t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
"""In the order of the labels 0 to 9 of the files."""

_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


@dataset(
    source="H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, 2017 (arXiv:1708.07747); https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
)
def fashion_mnist(
    *,
    path: str | None = None,
    validation_fraction: float = 0.1,
    leave_out_shared: bool = False,
    fraction: float = 1.0,
    split_seed: int = 0,
) -> Dataset:
    """Grey images of clothing, uint8: 60,000 for training and validation, 10,000 for testing.

    Args:
        path: Folder of the four idx files, compressed by gzip or not; null to download Keras's copy (31 MB) once.
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
        "fashion_mnist",
        where="fashion_mnist" if folder is None else str(folder),
        read=_downloaded if folder is None else lambda which: _idx.split_in(folder, which),
        class_names=CLASS_NAMES,
        validation_fraction=validation_fraction,
        leave_out_shared=leave_out_shared,
        fraction=fraction,
        split_seed=split_seed,
    )


def _downloaded(which: str) -> Split:
    from sweeper.datasets import _idx
    from sweeper.datasets._download import fetched

    instead = f"Or give dataset.path, a folder with the four files {_idx.NEEDED}."
    images, labels = (
        fetched(name, origin=_ORIGIN, sha256=SHA256[name], folder="fashion-mnist", instead=instead)
        for name in (f"{_idx.PARTS[which]}-images-idx3-ubyte.gz", f"{_idx.PARTS[which]}-labels-idx1-ubyte.gz")
    )
    return _idx.split_of(images, labels)
