"""What the trials of a run are trained on and begin with: data, weights, lessons of earlier studies."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sweeper.datasets import Dataset, Split, _named
from sweeper.driver import learning, networks, requests, weights
from sweeper.driver.opened import OpenedStudy
from sweeper.driver.order import Order
from sweeper.errors import InputError
from sweeper.ledger.records import Stage
from sweeper.search import lessons
from sweeper.search.details import Repetition
from sweeper.search.study import Search
from sweeper.search.trial import Trial
from sweeper.study.spec import StudySpec

if TYPE_CHECKING:
    from sweeper.training.weights.pretrained import Pretrained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """What trials are trained on and begin with.

    Args:
        dataset: The data; its test split is not read.
        test: The test split, where trials of the confirm stage are to be run and there is one.
        pretrained: Weights by file.
        have_weights: Arms that may begin with them.
        sources: Earlier studies that the study is about to learn from.
    """

    dataset: Dataset
    test: Split | None
    pretrained: dict[str, Pretrained]
    have_weights: set[str]
    sources: list[lessons.Source]


def load_dataset(spec: StudySpec) -> Dataset:
    """The study's dataset; the test split is not read.

    Raises:
        DatasetError: The data are missing or wrong.
    """
    return _named.read(spec.dataset.name, spec.dataset.options)


def load(order: Order, first: StudySpec, opened: OpenedStudy | None) -> Inputs:
    """What trials are trained on and begin with, once the networks of new arms are known to fit the images; what is learned."""
    sources = learning.still_to_learn(first, () if opened is None else opened.events)
    new = [arm for arm in order.spec.arms if opened is None or arm not in opened.spec.arms]
    dataset = networks.checked(order.spec, new if order.worker is None else [], lambda: load_dataset(first))
    known, waiting = ([], []) if opened is None else ([opened.spec], [asked for _, asked, _ in requests.waiting(opened.folder)])
    pretrained, have_weights = weights.weights_asked_for(order.spec, known, waiting, dataset)
    repeated = [] if opened is None else to_repeat(order, opened.search)
    if not dataset.can_be_carved and any(one.varies == "split" for one in repeated):
        raise InputError(
            f"--vary split: the validation images of {dataset.name} are not carved from train by a seed here, so a seed cannot "
            "vary them. Choose another source: init, order or augmentation."
        )
    confirms = any(one.stage is Stage.CONFIRM for one in repeated) and order.worker is None
    test = dataset.read_test() if confirms and dataset.has_test else None
    return Inputs(dataset=dataset, test=test, pretrained=pretrained, have_weights=have_weights, sources=sources)


def to_repeat(order: Order, search: Search) -> list[Trial | Repetition]:
    """Repetitions that are left to run, or asked for."""
    begun = [trial for trial in search.trials.values() if not trial.status.is_final]
    return [*begun, *search.planned, *order.repeat(search)]
