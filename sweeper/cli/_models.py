"""Models of a study: which are asked for, and one's own images for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sweeper.analysis.results import Results
    from sweeper.datasets import Dataset
    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.trial import Trial


def chosen_models(opened: OpenedStudy, data: Results, models: Sequence[str]) -> list[Trial]:
    """The trials whose models are asked for, as `sweeper.models.choosing.chosen`; no word asks for one of each confirmed arm.

    Raises:
        InputError: None is confirmed, or it needs own code that is not known.
        UnknownNameError: No such model.
        NoDataError: Nothing is completed yet.
    """
    from sweeper.driver import own
    from sweeper.errors import InputError
    from sweeper.models.choosing import chosen, confirmed_arms

    own.check_known(opened)
    names = models or confirmed_arms(data)
    if not names:
        raise InputError(f"study '{data.study}' has no confirmed model; confirm it first: sweeper confirm {data.named}")
    trials = [chosen(opened, data, name) for name in names]
    return list({trial.trial: trial for trial in trials}.values())


def read_images(opened: OpenedStudy, files: Sequence[Path]) -> tuple[Dataset, NDArray[Any]]:
    """The study's dataset, and images of any size and colour as it has them: (images, height, width, channels).

    Raises:
        InputError: The backend of the study is not installed.
        DatasetError: The dataset or an image cannot be read.
    """
    from sweeper.cli._networks import check_backend
    from sweeper.datasets import _alike
    from sweeper.driver.inputs import load_dataset

    check_backend(opened.spec.training.backend)
    dataset = load_dataset(opened.first)
    return dataset, _alike.read(dataset, files, fit=str(opened.spec.dataset.options.get("fit", "crop")))
