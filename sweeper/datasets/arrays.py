"""Your own images and labels, from one .npz file of NumPy arrays.

::

    numpy.savez("mine.npz", x_train=..., y_train=..., x_validation=..., y_validation=..., x_test=..., y_test=...)

The validation arrays may be missing, as in Keras's own mnist.npz: then validation is carved from train by seed. The test arrays
may be missing too. They are not read before the test split is asked for, and pickled objects are never read.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.catalog import dataset
from sweeper.datasets import Dataset, Split, _mapped, _npz, check_split
from sweeper.datasets._audit import digests
from sweeper.datasets._splits import reduced, validation_carved
from sweeper.errors import DatasetError, did_you_mean, listed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_REQUIRED = ("x_train", "y_train")
_VALIDATION = ("x_validation", "y_validation")
_TEST = ("x_test", "y_test")


@dataset(source="a file of yours", licence="that of your data")
def arrays(
    *,
    path: str,
    class_names: tuple[str, ...] = (),
    leave_out_shared: bool = False,
    fraction: float = 1.0,
    validation_fraction: float | None = None,
    split_seed: int = 0,
) -> Dataset:
    """The images and labels of an .npz file.

    Images are (count, height, width) or (count, height, width, channels) with 1 or 3 channels: uint8 from 0 to 255, or
    floats from 0 to 1, which become float32. Labels are (count,) or (count, 1), whole numbers from 0, also written as floats.

    Args:
        path: The file.
        class_names: One name per class, in label order; empty numbers the classes, up to the largest label there is.
        leave_out_shared: Leave the images out of training whose pixels also occur in validation or test; for that the test
            arrays, if there are any, are read, compared and not kept.
        fraction: Share of each class that is trained on, above 0 and up to 1.
        validation_fraction: Share of each class of the training images that becomes validation, for a file without validation
            arrays, above 0 and below 1; null for 0.1.
        split_seed: Which images are carved out, and which stay for a fraction.

    Raises:
        DatasetError: The file cannot be read, or what is in it does not fit together.
    """
    file = Path(path).expanduser()
    names = _class_names(file, class_names)
    with _opened(file) as archive:
        has_validation, has_test = _check_members(file, archive.files)
        splits = [
            _split(file, which, *(_member(file, archive, name) for name in members))
            for which, members in (("training", _REQUIRED), ("validation", _VALIDATION))[: 1 + has_validation]
        ]
    if has_validation and validation_fraction is not None:
        raise DatasetError(f"{file}: validation_fraction is {validation_fraction!r}, but it holds x_validation; leave it out.")
    train, validation, names = _checked(file, splits, names)
    num_classes, shape, notes = len(names), train.images.shape[1:], []
    if not has_validation:
        share = 0.1 if validation_fraction is None else validation_fraction
        train, validation = validation_carved(
            train, where=str(file), class_names=names, validation_fraction=share, split_seed=split_seed
        )
        notes = [f"Carved from train by seed {split_seed}, class by class: {share:g} of it for validation."]

    def read_test() -> Split:
        if not has_test:
            raise DatasetError(f"{file} has no test split. Add the arrays x_test and y_test to it, or do without the test split.")
        with _opened(file) as archive:
            split = _split(file, "test", *(_member(file, archive, name) for name in _TEST))
        return check_split(split, where=_where(file, "test"), num_classes=num_classes, input_shape=shape)

    train, done = reduced(
        train,
        where=str(file),
        later=lambda: {*digests(validation.images), *(digests(read_test().images) if has_test else ())},
        class_names=names,
        leave_out_shared=leave_out_shared,
        fraction=fraction,
        split_seed=split_seed,
    )
    return Dataset(
        name="arrays",
        train=train,
        validation=validation,
        read_test=read_test,
        class_names=names,
        has_test=has_test,
        notes=(*notes, *done, *_mapped.note([train.images, validation.images])),
        is_carved=not has_validation and not leave_out_shared,
    )


def checked(
    members: Mapping[str, NDArray[Any]], *, class_names: tuple[str, ...] = (), where: str = "arrays"
) -> dict[str, NDArray[Any]]:
    """Arrays in memory, named as in a file, in the types that a dataset has them in.

    Args:
        members: ``x_train``, ``y_train`` and so on.
        class_names: As for `arrays`.
        where: What to call them in errors.

    Raises:
        DatasetError: They do not make a dataset; the same errors as of a file.
    """
    file = Path(where)
    names = _class_names(file, class_names)
    has_validation, has_test = _check_members(file, list(members))
    taken = [("training", _REQUIRED), *[("validation", _VALIDATION)] * has_validation, *[("test", _TEST)] * has_test]
    splits = {which: _split(file, which, members[images], members[labels]) for which, (images, labels) in taken}
    train, _, names = _checked(file, [split for which, split in splits.items() if which != "test"], names)
    if has_test:
        check_split(splits["test"], where=_where(file, "test"), num_classes=len(names), input_shape=train.images.shape[1:])
    found: dict[str, NDArray[Any]] = {}
    for which, (images, labels) in taken:
        found |= {images: splits[which].images, labels: splits[which].labels}
    return found


def _checked(file: Path, splits: list[Split], names: tuple[str, ...]) -> tuple[Split, Split, tuple[str, ...]]:
    """Training split, validation split and class names, checked; the training split twice where there is no other yet."""
    largest = max((int(split.labels.max()) for split in splits if len(split)), default=0)
    num_classes = len(names) or largest + 1
    train = check_split(splits[0], where=_where(file, "training"), num_classes=num_classes)
    shape = train.images.shape[1:]
    validation = check_split(splits[-1], where=_where(file, "validation"), num_classes=num_classes, input_shape=shape)
    _check_classes(file, train.labels, validation.labels, num_classes)
    return train, validation, names or tuple(str(label) for label in range(num_classes))


def _class_names(file: Path, class_names: Any) -> tuple[str, ...]:
    is_list = isinstance(class_names, tuple | list)
    if not is_list or not all(isinstance(name, str) and name for name in class_names):
        raise DatasetError(f"{file}: class_names is {class_names!r}; allowed: a list of texts, one per class.")
    if len(set(class_names)) < len(class_names):
        raise DatasetError(f"{file}: class_names has a name twice: {', '.join(class_names)}. Each class needs its own.")
    if len(class_names) == 1:
        raise DatasetError(f"{file}: class_names has one name only; a classifier needs at least two classes.")
    return tuple(class_names)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """The archive, its members still unread."""
    import numpy as np

    how = "Write one with numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)."
    with contextlib.ExitStack() as stack:
        try:
            if not file.exists():
                raise DatasetError(f"there is no file {file}. Check dataset.path in the study file. {how}")
            if file.is_dir():
                raise DatasetError(f"{file} is a folder; dataset.path must name an .npz file. {how}")
            # Opened here: numpy does not close a file that it cannot parse.
            stream = stack.enter_context(file.open("rb"))
            if not zipfile.is_zipfile(stream):
                raise DatasetError(f"{file} is not an .npz file ({file.stat().st_size} bytes), or it is cut off. {how}")
            stream.seek(0)
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DatasetError(f"{file} is not an .npz file, although it contains a zip archive. {how}")
            stack.enter_context(archive)
        except DatasetError:
            raise
        except Exception as error:
            # Any error while reading a foreign file is the file's fault, and errors come in many classes.
            raise DatasetError(f"{file} cannot be read: {error}. {how}") from error
        yield archive


def _check_members(file: Path, there: list[str]) -> tuple[bool, bool]:
    """Whether there are a validation and a test split, after checking that each is whole."""
    has_validation, has_test = (any(name in there for name in names) for names in (_VALIDATION, _TEST))
    others = [name for name in there if name not in (*_REQUIRED, *_VALIDATION, *_TEST)]
    # A validation split by another name must not be passed over, nor its share be taken from train.
    alike = [] if has_validation else [name for name in others if "val" in name.lower()]
    wants_validation = has_validation or bool(alike)
    needed = (*_REQUIRED, *(_VALIDATION if wants_validation else ()), *(_TEST if has_test else ()))
    missing = [name for name in needed if name not in there]
    if missing:
        hint = did_you_mean(missing[0], others) or (f" Rename {' and '.join(alike)}." if alike else "")
        raise DatasetError(
            f"{file} lacks {', '.join(missing)}.{hint} It holds: {listed(there) or 'nothing'}. "
            f"Needed: {', '.join(_REQUIRED)}; {' and '.join(_VALIDATION)} may be added, both or neither, and so may "
            f"{' and '.join(_TEST)}."
        )
    return has_validation, has_test


def _member(file: Path, archive: Any, name: str) -> NDArray[Any]:
    import numpy as np

    try:
        array = _npz.mapped(file, archive, name) if _npz.is_large(archive, name) else None
        if array is None:
            array = archive[name]
    except DatasetError:
        raise
    except Exception as error:
        # As in `_opened`.
        if "allow_pickle" in str(error) or "Object arrays" in str(error):
            raise DatasetError(
                f"{file}: {name} holds Python objects, which are not read because reading them can run code. "
                "Save it as an array of numbers, all images of one shape."
            ) from error
        raise DatasetError(f"{file}: {name} is damaged and cannot be read ({error}). Write the file again.") from error
    if not isinstance(array, np.ndarray):
        raise DatasetError(f"{file}: {name} is not a NumPy array. Write the file with numpy.savez.")
    return array


def _split(file: Path, which: str, images: NDArray[Any], labels: NDArray[Any]) -> Split:
    """Images and labels in the types of `Split`."""
    import numpy as np

    where = _where(file, which)
    if images.dtype.kind == "f":
        with np.errstate(over="ignore"):
            images = images.astype(np.float32, copy=False)
    if images.dtype not in (np.uint8, np.float32):
        raise DatasetError(
            f"{where}: images are {images.dtype}; allowed: uint8 from 0 to 255, or floats from 0 to 1. "
            "Convert with images.astype('uint8') if they are 8-bit values."
        )
    if images.ndim == 3:
        images = images[..., None]
    return Split(images, _labels(where, labels))


def _labels(where: str, labels: NDArray[Any]) -> NDArray[np.int64]:
    """Labels as whole numbers in one axis; a column of them and whole floats leave no doubt, so they are taken."""
    import numpy as np

    if labels.dtype.kind not in "iuf":
        raise DatasetError(
            f"{where}: labels are {labels.dtype}; allowed: whole numbers from 0. Number the classes: for one column per "
            "class labels.argmax(axis=1), for names numpy.unique(labels, return_inverse=True)[1]."
        )
    if labels.ndim != 1 and not (labels.ndim == 2 and labels.shape[1] == 1):
        hint = " Convert one-hot rows with labels.argmax(axis=1)."
        raise DatasetError(f"{where}: labels have shape {labels.shape}; allowed: (count,) or (count, 1).{hint}")
    labels = labels.reshape(-1)
    if labels.dtype.kind == "f":
        wrong = np.flatnonzero(~(np.abs(labels) < 2**53) | (labels != np.floor(labels)))
        if len(wrong):
            raise DatasetError(
                f"{where}: {len(wrong):,} labels are not whole, the first at index {wrong[0]}: {labels[wrong[0]]}. "
                "Allowed: whole numbers from 0, one for each class."
            )
    return labels.astype(np.int64)


def _check_classes(file: Path, train: NDArray[np.int64], validation: NDArray[np.int64], num_classes: int) -> None:
    present, chosen = set(train.tolist()), set(validation.tolist())
    absent = next((label for label in range(num_classes) if label not in present), None)
    if absent in chosen and present == set(range(len(present))):
        raise DatasetError(
            f"{_where(file, 'validation')}: class {absent} has no image in the training split, and needs some in both."
        )
    if absent is not None:
        raise DatasetError(
            f"{_where(file, 'training')}: {len(present)} of {num_classes} classes occur; class {absent} has no image. "
            "Every class needs images to train on; number the labels from 0 without gaps."
        )
    if unseen := sorted(present - chosen):
        raise DatasetError(
            f"{_where(file, 'validation')}: class {unseen[0]} has no image. Every class needs images in both splits."
        )
    if num_classes < 2:
        raise DatasetError(
            f"{_where(file, 'training')}: all labels are 0; a classifier needs at least two classes, labelled 0 and 1."
        )


def _where(file: Path, which: str) -> str:
    return f"{file}, {which} split"
