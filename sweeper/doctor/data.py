"""The data of a study: read by this machine, and where the nodes have to see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sweeper import catalog
from sweeper.datasets import Dataset
from sweeper.doctor.findings import Finding, fault, ok, warning
from sweeper.driver import asking, nodes
from sweeper.errors import InputError
from sweeper.study.spec import ResourcesSpec, StudySpec

WHAT = "data"


def described(study: StudySpec, dataset: Dataset) -> Iterator[Finding]:
    """What was read, and under which licence it may be used."""
    size = "x".join(map(str, dataset.input_shape))
    licence = getattr(catalog.load("dataset", study.dataset.name), "licence", "not said")
    yield ok(
        WHAT,
        f"{study.dataset.name}: {len(dataset.train):,} training and {len(dataset.validation):,} validation images of {size}, "
        f"{dataset.num_classes} classes, {bytes_of(dataset) / 1e6:,.1f} MB; licence: {licence}",
    )
    for note in dataset.notes:
        yield ok(WHAT, note)


def bytes_of(dataset: Dataset) -> int:
    """What training and validation images take."""
    return int(dataset.train.images.nbytes + dataset.validation.images.nbytes)


def on_nodes(dataset: Dataset, resources: Sequence[ResourcesSpec], told: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Whether the nodes can have the images: from files that all see, or through Ray's memory."""
    if dataset.files:
        try:
            nodes.check_images(dataset.files, *resources)
        except InputError as error:
            yield fault(WHAT, str(error))
            return
        yield ok(WHAT, f"the decoded images lie in {dataset.files[0]}, and every node sees them")
        return
    for node in told:
        store_mb = node["Resources"].get("object_store_memory", 0.0) / 2**20
        if bytes_of(dataset) / 2**20 > 0.8 * store_mb:
            yield warning(
                WHAT,
                f"{asking.name_of(node)}: Ray's object store has {store_mb:,.0f} MB, and the images take "
                f"{bytes_of(dataset) / 2**20:,.0f} MB",
                "start Ray there with a larger --object-store-memory; images that do not fit go by the disk",
            )
