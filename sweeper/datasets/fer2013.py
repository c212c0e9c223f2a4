"""FER2013: 35,887 faces in seven expressions, 48x48 grey; from the competition's csv files or from folders of images.

Its usual splits: Training to train, PublicTest to choose (validation), PrivateTest to report (test). It is known for its flaws,
which `sweeper describe-data fer2013` counts: faces that occur in two splits, one face under two labels, pictures with nothing
on them.

Class order: the file numbers sad 4, surprise 5 and neutral 6. Some guides list these three otherwise, for example in the order of
sorted folder names (neutral, sad, surprise); with such a list the outputs of a model get the wrong names.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from sweeper.catalog import dataset
from sweeper.datasets import Dataset, Split
from sweeper.datasets._audit import digest
from sweeper.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASS_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""In the order of the labels 0 to 6 of the file."""

_GET = "Get fer2013.csv from Kaggle (Challenges in Representation Learning, 2013) and give its path; it may stay compressed."


@dataset(
    source="I. J. Goodfellow et al.: Challenges in Representation Learning, ICONIP 2013 (arXiv:1307.0414); Kaggle competition "
    "challenges-in-representation-learning-facial-expression-recognition-challenge",
    licence="for research; pictures must not be published",
)
def fer2013(
    *,
    path: str,
    validation_includes_test: bool = False,
    leave_out_shared: bool = False,
    fraction: float = 1.0,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    split_seed: int = 0,
    unreadable: str = "error",
) -> Dataset:
    """Grey faces, uint8, labelled angry, disgust, fear, happy, sad, surprise, neutral (0 to 6).

    The csv is one file: its PrivateTest rows are checked like all others, so that a fault shows before anything is trained, but
    kept as text (30 MB) until `read_test` makes images of them.

    Args:
        path: ``fer2013.csv`` or ``icml_face_data.csv``, plain or compressed (.gz, .bz2, .zip); ``train.csv``, which has no column
            Usage, so that validation and test are carved from it; a folder with such a file; or a folder with one folder of
            images per class (named or numbered 0 to 6), directly or under train, validation and test (Training, PublicTest,
            PrivateTest).
        validation_includes_test: Validate on PublicTest and PrivateTest together (7,178 images), as one well-known guide does.
            Better not: a model chosen on the test images is no longer tested by them, and its test accuracy is too high.
        leave_out_shared: Leave the images out of training whose pixels also occur in validation or test; for that the test
            images are compared, and not kept.
        fraction: Share of each class that is trained on, above 0 and up to 1.
        validation_fraction: Share of train for validation, for folders without one and train.csv; null for 0.1.
        test_fraction: Share for the test split, likewise; null for 0.1.
        split_seed: Which images are carved out, and which stay for a fraction.
        unreadable: For folders, what becomes of files that cannot be used, which those of another size than 48x48 are too:
            error names them all, skip leaves them out and says how many.

    Raises:
        DatasetError: The data are missing or wrong.
    """
    from sweeper.datasets import _fer_csv, _unusable
    from sweeper.datasets._splits import check_choice

    check_choice("fer2013", "unreadable", unreadable, _unusable.CHOICES)
    place = Path(path).expanduser()
    rest: _Rest = {"leave_out_shared": leave_out_shared, "fraction": fraction, "split_seed": split_seed}
    if place.is_dir():
        found = next((place / name for name in _fer_csv.FILES if (place / name).is_file()), None)
        tables = sorted(path.name for path in place.glob("*.csv*"))
        if found is None and tables:
            raise DatasetError(f"{place} holds no {_fer_csv.FILES[0]}, but {tables[0]}. Give the path of the file itself.")
        if found is None:
            skips = unreadable == "skip"
            return _from_folders(place, validation_includes_test, validation_fraction, test_fraction, skips, rest)
        place = found
    if not place.exists():
        raise DatasetError(f"there is no file {place}. {_GET}")
    if unreadable != "error":
        raise DatasetError(
            f"fer2013: unreadable is {unreadable!r}, but {place} is one file, not a folder of images; leave it out."
        )
    if not _fer_csv.has_usage(place):
        return _from_training_csv(place, validation_includes_test, validation_fraction, test_fraction, rest)
    for name, value in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if value is not None:
            raise DatasetError(f"fer2013: {name} is {value!r}, but {place} has a split of its own for that; leave it out.")
    return _from_csv(place, validation_includes_test, rest)


class _Rest(TypedDict):
    """What every form of the data does in the same way."""

    leave_out_shared: bool
    fraction: float
    split_seed: int


def _from_csv(file: Path, validation_includes_test: bool, rest: _Rest) -> Dataset:
    from sweeper.datasets import _fer_csv
    from sweeper.datasets._assembly import assembled
    from sweeper.datasets._splits import missing_class

    train, validation, test = _Growing(), _Growing(), [0] * len(CLASS_NAMES)
    test_rows: list[_fer_csv.Row] = []
    test_digests: set[bytes] = set()
    for row in _fer_csv.rows(file):
        label, pixels = _fer_csv.values(row, CLASS_NAMES)
        if row.usage == "Training":
            train.add(label, pixels)
        elif row.usage == "PublicTest" or validation_includes_test:
            validation.add(label, pixels)
        if row.usage == "PrivateTest":
            test[label] += 1
            test_rows.append(row)
            if rest["leave_out_shared"]:
                test_digests.add(digest(pixels))
    if not test_rows:
        raise DatasetError(f"{file} has no row with Usage PrivateTest, the test split. {_GET}")
    if 0 in test:
        raise missing_class(f"{file}, test split (PrivateTest)", CLASS_NAMES, test.index(0))

    def read_test() -> Split:
        split = _Growing()
        for row in test_rows:
            split.add(*_fer_csv.values(row, CLASS_NAMES))
        return split.split()

    return assembled(
        "fer2013",
        where=str(file),
        train=train.split(),
        validation=validation.split(),
        read_test=read_test,
        class_names=CLASS_NAMES,
        notes=_seen(validation_includes_test),
        test_digests=test_digests,
        **rest,
    )


def _from_training_csv(
    file: Path, validation_includes_test: bool, validation_fraction: float | None, test_fraction: float | None, rest: _Rest
) -> Dataset:
    """The dataset of a csv of training rows alone: validation and test are carved from them."""
    import numpy as np

    from sweeper.datasets import _fer_csv
    from sweeper.datasets._assembly import assembled
    from sweeper.datasets._splits import carved

    growing = _Growing()
    for row in _fer_csv.rows(file):
        growing.add(*_fer_csv.values(row, CLASS_NAMES))
    everything, seed = growing.split(), rest["split_seed"]
    shares = [0.1 if share is None else share for share in (validation_fraction, test_fraction)]
    train, validation, test = carved(
        everything.labels,
        where=str(file),
        class_names=CLASS_NAMES,
        split_seed=seed,
        validation_fraction=shares[0],
        test_fraction=shares[1],
    )

    def take(rows: NDArray[np.int64]) -> Split:
        return Split(everything.images[rows], everything.labels[rows])

    told = f"{shares[0]:g} of it for validation and {shares[1]:g} of it for test"
    return assembled(
        "fer2013",
        where=str(file),
        train=take(train),
        validation=take(np.concatenate([validation, test]) if validation_includes_test else validation),
        read_test=lambda: take(test),
        class_names=CLASS_NAMES,
        notes=(
            f"{file.name} has no column Usage. Carved from it by seed {seed}, class by class: {told}.",
            *_seen(validation_includes_test),
        ),
        is_carved=not validation_includes_test,
        **rest,
    )


class _Growing:
    """A split that grows row by row in one buffer, which becomes the array: there is no second copy."""

    def __init__(self) -> None:
        self.pixels = bytearray()
        self.labels = bytearray()

    def add(self, label: int, pixels: bytes) -> None:
        self.pixels += pixels
        self.labels.append(label)

    def split(self) -> Split:
        import numpy as np

        from sweeper.datasets._fer_csv import SIDE

        images = np.frombuffer(self.pixels, dtype=np.uint8).reshape(-1, SIDE, SIDE, 1)
        return Split(images, np.frombuffer(self.labels, dtype=np.uint8).astype(np.int64))


def _from_folders(
    root: Path,
    validation_includes_test: bool,
    validation_fraction: float | None,
    test_fraction: float | None,
    skips: bool,
    rest: _Rest,
) -> Dataset:
    from sweeper.datasets import _folders, _trees
    from sweeper.datasets._assembly import assembled
    from sweeper.datasets._fer_csv import SIDE
    from sweeper.datasets._images import Manner

    tree = _folders.find(
        root,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        split_seed=rest["split_seed"],
        class_names=CLASS_NAMES,
    )
    if validation_includes_test:
        tree = dataclasses.replace(tree, validation=tree.validation + tree.test)
    manner = Manner(size=SIDE, is_color=False, is_exact=True, skips=skips)
    readings = _trees.seen(root, tree, manner)
    return assembled(
        "fer2013",
        where=str(root),
        train=readings[0].split,
        validation=readings[1].split,
        read_test=lambda: _trees.test(root, tree, manner),
        class_names=CLASS_NAMES,
        notes=(*tree.notes, *_trees.left_out(readings), *_seen(validation_includes_test)),
        is_carved=tree.is_carved and not validation_includes_test,
        **rest,
    )


def _seen(validation_includes_test: bool) -> tuple[str, ...]:
    if not validation_includes_test:
        return ()
    return ("Validation includes the test images: the test accuracy of a model chosen on them is too high.",)
