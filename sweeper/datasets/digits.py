"""1,797 handwritten digits in 8x8 pixels; comes with scikit-learn, nothing to download.

Small enough to train on in seconds and real enough that architectures differ: meant for first tries, examples and tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweeper.catalog import dataset
from sweeper.datasets import Dataset, Split, check_split
from sweeper.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataset(
    source="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998; "
    "its test part, as embedded in scikit-learn",
    licence="CC BY 4.0",
)
def digits(*, size: int = 8, validation_fraction: float = 0.2, test_fraction: float = 0.2, split_seed: int = 0) -> Dataset:
    """Grey images of the digits 0 to 9, uint8, split so that each split has the same mixture of classes.

    Args:
        size: Height and width, 8 to 64; other than 8 the images are resized bilinearly.
        validation_fraction: Share of each class for validation, above 0 and below 1.
        test_fraction: Share of each class for the test split, above 0 and below 1.
        split_seed: Which images go where, from 0; the same everywhere for the same seed.

    Raises:
        DatasetError: An argument outside its range.
    """
    _check(size, validation_fraction, test_fraction, split_seed)
    import numpy as np
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = labels.astype(np.int64)
    train, validation, test = _split(labels, validation_fraction, test_fraction, split_seed)

    def take(rows: NDArray[np.int64], where: str) -> Split:
        split = Split(_resized(images[rows], size)[..., None], labels[rows])
        return check_split(split, where=f"digits, {where} split", num_classes=10, input_shape=(size, size, 1))

    return Dataset(
        name="digits",
        train=take(train, "training"),
        validation=take(validation, "validation"),
        read_test=lambda: take(test, "test"),
        class_names=tuple("0123456789"),
    )


def _check(size: int, validation_fraction: float, test_fraction: float, split_seed: int) -> None:
    if isinstance(size, bool) or not isinstance(size, int) or not 8 <= size <= 64:
        raise DatasetError(f"digits: size is {size!r}; allowed: a whole number from 8 to 64.")
    if isinstance(split_seed, bool) or not isinstance(split_seed, int) or split_seed < 0:
        raise DatasetError(f"digits: split_seed is {split_seed!r}; allowed: a whole number from 0.")
    for name, value in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise DatasetError(f"digits: {name} is {value!r}; allowed: above 0 and below 1.")


def _split(
    labels: NDArray[np.int64], validation_fraction: float, test_fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of the training, validation and test split, each in order."""
    import numpy as np

    # Raw words of a bit generator: unlike permutations and shuffles their stream never changes between NumPy versions.
    order = np.argsort(np.random.PCG64(seed).random_raw(len(labels)), kind="stable")
    parts: tuple[list[NDArray[np.int64]], ...] = ([], [], [])
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        num_validation, num_test = round(len(rows) * validation_fraction), round(len(rows) * test_fraction)
        if min(num_validation, num_test, len(rows) - num_validation - num_test) < 1:
            raise DatasetError(
                f"digits: validation_fraction {validation_fraction} and test_fraction {test_fraction} leave a split without "
                f"any of the {len(rows)} images of digit {label}. Each must be at least {1 / len(rows):.3f}, and both together "
                "less than 1."
            )
        bounds = (num_test, num_test + num_validation)
        test, validation, train = np.split(rows, bounds)
        for part, chosen in zip(parts, (train, validation, test), strict=True):
            part.append(chosen)
    train, validation, test = (np.sort(np.concatenate(part)) for part in parts)
    return train, validation, test


def _resized(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    if size == images.shape[1]:
        return images
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(image).resize((size, size), bilinear)) for image in images])
