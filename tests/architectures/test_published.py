"""The published networks: parameters exactly, multiply-accumulates within the tolerance of their source.

Those that Keras Applications has, too, have the same kernels in the same order there, and the same cost.
"""

from __future__ import annotations

import keras
import pytest

from sweeper import catalog
from sweeper.catalog import Published
from sweeper.search.sampler import RandomSampler
from sweeper.study import spec
from sweeper.study.published import spaces_of
from sweeper.study.space import TRAINING, Choice, Space
from sweeper.training.measuring import measure
from sweeper.training.weights.applications import APPLICATIONS, Application
from tests.architectures.kit import (
    PUBLISHED,
    SPACES_OF_VARIANTS,
)

pytestmark = pytest.mark.usefixtures("framework")


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "published"),
    PUBLISHED,
    ids=[f"{name}-{'-'.join(map(str, p.arguments.values()))}" for name, p in PUBLISHED],
)
@pytest.mark.usefixtures("shapes_alone")
def test_has_the_published_size(name: str, published: Published) -> None:
    model = catalog.load("architecture", name)(published.input_shape, published.num_classes, **published.arguments)
    macs = measure.count_macs(model)
    assert measure.trainable_parameters(model) == pytest.approx(published.parameters, rel=published.parameters_tolerance, abs=0)
    assert published.macs is None or macs == pytest.approx(published.macs, rel=published.macs_tolerance)
    for application in APPLICATIONS:
        if (application.architecture, dict(application.arguments)) == (name, dict(published.arguments)):
            theirs = application.build(published.input_shape, published.num_classes)
            assert macs == pytest.approx(measure.count_macs(theirs), rel=0.01)
            assert kernels(application, model) == kernels(application, theirs)


def test_whatever_keras_applications_has_is_published() -> None:
    published = [(name, dict(entry.arguments)) for name, entry in PUBLISHED]
    assert all((application.architecture, dict(application.arguments)) in published for application in APPLICATIONS)


def kernels(application: Application, model: keras.Model) -> list[list[int]]:
    """Sides of the kernels in the order in which both networks have them, without those of one: some are kept as another rank."""
    return [[side for side in layer.weights[0].shape if side > 1] for layer in application.order(model)]


STUDY = """
name: published
dataset: {{name: digits}}
arms: {{contender: {{architecture: {architecture}, space: {space}, fixed: {{variant: "{variant}"}}}}}}
budget: {{trials: 1, max_epochs: 1}}
"""


@pytest.mark.long
@pytest.mark.parametrize("name", SPACES_OF_VARIANTS)
def test_a_variant_fixed_in_a_study_is_the_published_network(name: str) -> None:
    space: Space = catalog.load("space", name)
    published = {
        entry.arguments["variant"]: entry
        for entry in catalog.load("architecture", space.architecture).published
        if set(entry.arguments) == {"variant"}
    }
    variant = space.model["variant"]
    assert isinstance(variant, Choice)
    everywhere = [option for options in spaces_of(space.architecture or "").values() for option in options]
    assert sorted(map(str, everywhere)) == sorted({*published, *({"mini"} if space.architecture == "vit" else ())})
    for option in (one for one in variant.options if one in published):
        entry = published[str(option)]
        study = spec.parse(STUDY.format(architecture=space.architecture, space=name, variant=option))
        fixed = study.arms["contender"].fixed
        sampled = [RandomSampler(space, fixed).suggest([], number=1, seed=seed) for seed in range(3)]
        for configuration in (space.default(fixed), *sampled):
            # What is no field of the recipe is an argument of the architecture: exactly those of the published network.
            assert {key: value for key, value in configuration.items() if key not in TRAINING} == entry.arguments


@pytest.mark.long
@pytest.mark.parametrize(("name", "variant", "low", "high"), [("densenet", "121", 6.9, 7.0), ("efficientnet", "b0", 4.0, 4.1)])
@pytest.mark.usefixtures("shapes_alone")
def test_published_networks_on_small_gray_images(name: str, variant: str, low: float, high: float) -> None:
    model = catalog.load("architecture", name)((48, 48, 1), 7, variant=variant)
    assert low < measure.trainable_parameters(model) / 1e6 < high
