"""What a trial of the confirm stage has beside its training: images carved by its seed, the test split, predictions that stay.

The seed of such a trial carves training and validation anew, where validation was carved from train at all; its arms are paired,
because the carve follows from the seed alone. The test split is predicted once, after the last epoch, with the weights that
validation had.

What is predicted is kept (`sweeper.ledger.predictions`). ``row`` of a test image is its place in the test split, so that trials
can be compared image by image. That of a validation image is its place in the training images of the study followed by the
validation images of the study.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sweeper.datasets import Split, _splits
from sweeper.ledger import predictions as kept
from sweeper.storage import Place

if TYPE_CHECKING:
    from sweeper.training.loop.base import Images
    from sweeper.training.program import Program

CARVED = "carved anew"
"""Entry of a row's versions: the seed that carved the images of the trial, where one did."""


class Final:
    """The images of a worker's confirm stage, and where predictions go.

    Args:
        train: Training split of the study.
        validation: Validation split of the study.
        test: Test split; None where there is none, or it is not asked for.
        is_carved: Whether seeds carve training and validation anew, see `sweeper.datasets.Dataset.can_be_carved`.
        class_names: One per class, in label order.
        predictions: Folder of the study's predictions; None to keep none.
    """

    def __init__(
        self,
        train: Split,
        validation: Split,
        test: Split | None,
        *,
        is_carved: bool,
        class_names: Sequence[str],
        predictions: Place | None,
    ):
        self._is_carved, self._splits = is_carved, (train, validation)
        self._test_split = test
        self._test: Images | None = None
        self._class_names, self._folder = tuple(class_names), predictions
        self._seed: int | None = None
        self._images: tuple[Images, Images] | None = None
        self._rows = np.arange(len(train), len(train) + len(validation))

    def images(self, split_seed: int) -> tuple[Images, Images]:
        """Training and validation images of a trial; those of the seed asked for last are kept."""
        from sweeper.training.loop.base import Images

        if self._images is None or (self._is_carved and split_seed != self._seed):
            self._images, (train, validation) = None, self._splits
            if self._is_carved:
                train, validation, self._rows = _splits.carved_anew(train, validation, split_seed)
            self._images = Images(train.images, train.labels), Images(validation.images, validation.labels)
            self._seed = split_seed
        return self._images

    @property
    def entries(self) -> dict[str, Any]:
        """What the versions of a row say of the images."""
        return {CARVED: self._seed} if self._is_carved else {}

    def finish(self, program: Program, trial: str) -> dict[str, float]:
        """Predict, keep the predictions, and give the columns of the test split; none without one.

        Raises:
            OSError: The predictions cannot be kept.
        """
        from sweeper.training.loop.base import Images

        assert self._images is not None
        parts: list[kept.Part] = [("validation", self._rows, self._images[1].labels, program.predict()[1])]
        found: dict[str, float] = {}
        if self._test_split is not None:
            self._test = self._test or Images(self._test_split.images, self._test_split.labels)
            means, probabilities = program.predict(self._test)
            parts.append(("test", np.arange(len(self._test)), self._test.labels, probabilities))
            found = {"test_loss": means["cross_entropy"], "test_accuracy": means["accuracy"]}
        if self._folder is not None:
            kept.write(self._folder, trial, parts, self._class_names)
        return found
