"""1,797 handwritten digits in 8x8 pixels; comes with scikit-learn, nothing to download.

Small enough to train on in seconds and real enough that architectures differ: meant for first tries, examples and tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweeper.catalog import dataset
from sweeper.datasets import Dataset, Split
from sweeper.datasets._assembly import assembled
from sweeper.datasets._splits import carved, check_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_CLASS_NAMES = tuple("0123456789")


@dataset(
    source="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998; "
    "its test part, as embedded in scikit-learn",
    licence="CC BY 4.0",
)
def digits(
    *,
    size: int = 8,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    fraction: float = 1.0,
) -> Dataset:
    """Grey images of the digits 0 to 9, uint8, split so that each split has the same mixture of classes.

    Args:
        size: Height and width, 8 to 64; other than 8 the images are resized bilinearly.
        validation_fraction: Share of each class for validation, above 0 and below 1.
        test_fraction: Share of each class for the test split, above 0 and below 1.
        split_seed: Which images go where, from 0; the same everywhere for the same seed.
        fraction: Share of each class of the training split that is trained on, above 0 and up to 1.

    Raises:
        DatasetError: An argument outside its range.
    """
    check_whole("digits", "size", size, 8, 64)
    import numpy as np
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = labels.astype(np.int64)
    train, validation, test = carved(
        labels,
        where="digits",
        class_names=_CLASS_NAMES,
        split_seed=split_seed,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
    )

    def take(rows: NDArray[np.int64]) -> Split:
        return Split(_resized(images[rows], size)[..., None], labels[rows])

    return assembled(
        "digits",
        where="digits",
        train=take(train),
        validation=take(validation),
        read_test=lambda: take(test),
        class_names=_CLASS_NAMES,
        leave_out_shared=False,
        fraction=fraction,
        split_seed=split_seed,
        is_carved=True,
    )


def _resized(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    if size == images.shape[1]:
        return images
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(image).resize((size, size), bilinear)) for image in images])
