"""CIFAR-10: 60,000 colour photographs of ten kinds of things in 32x32 pixels; local files, or downloaded."""

from __future__ import annotations

from sweeper.catalog import dataset
from sweeper.datasets import Dataset

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""In the order of the labels, which is that of the official list."""


@dataset(
    source="A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009; https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none stated; for research, citing its source",
)
def cifar10(
    *,
    path: str | None = None,
    validation_fraction: float = 0.1,
    leave_out_shared: bool = False,
    fraction: float = 1.0,
    split_seed: int = 0,
) -> Dataset:
    """Colour photographs in ten classes, uint8: 50,000 for training and validation, 10,000 for testing.

    The batches are pickles; they are read without running anything in them, and anything but plain data is refused.

    Args:
        path: ``cifar-10-python.tar.gz``, or a folder of its files data_batch_1 to data_batch_5 and test_batch; null to download
            the archive (170 MB) once.
        validation_fraction: Share of each class of the training images that becomes validation, above 0 and below 1.
        leave_out_shared: Leave the images out of training whose pixels also occur in validation or test; for that the test
            images are read, compared and not kept.
        fraction: Share of each class that is trained on, above 0 and up to 1.
        split_seed: Which images are carved out, and which stay for a fraction.

    Raises:
        DatasetError: The data are missing or wrong, or cannot be downloaded.
    """
    from sweeper.datasets import _cifar

    kind = _cifar.Kind(
        name="cifar10",
        folder="cifar-10-batches-py",
        archive="cifar-10-python.tar.gz",
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        labels="labels",
        class_names=CLASS_NAMES,
    )
    return _cifar.made(
        kind,
        path,
        validation_fraction=validation_fraction,
        leave_out_shared=leave_out_shared,
        fraction=fraction,
        split_seed=split_seed,
    )
