"""What every architecture must do, and what is particular to some.

The first part is a conformance kit: it runs over all files in ``architectures/``, so a new family is tested by being there. It
uses the family's smallest instance (``tiny``) wherever size does not matter.
"""

from __future__ import annotations

import ast
import inspect
import math
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import architectures
from architectures import _blocks
from sweeper import catalog, spec
from sweeper.catalog import Parameter, Published
from sweeper.errors import KnobError
from sweeper.search.sampler import RandomSampler
from sweeper.space import TRAINING, Choice, Configuration, Float, Int, Knob, Space, Value
from sweeper.training import measure

pytestmark = pytest.mark.usefixtures("framework")

NAMES = catalog.names("architecture")
SPACES = [name for name in catalog.names("space") if catalog.load("space", name).architecture in NAMES]
SHAPES = ((8, 8, 1), (28, 28, 1), (32, 32, 3), (48, 48, 1), (20, 12, 3))
"""Digits, MNIST, CIFAR, FER, and an image that is not square."""

PUBLISHED = [(name, published) for name in NAMES for published in catalog.load("architecture", name).published]
SPACES_OF_VARIANTS = [name for name in SPACES if "variant" in catalog.load("space", name).model]
MANY_LAYERS = ("densenet", "efficientnet")
"""Families that take seconds to build and to trace; the longest tests of them are not among the quick ones."""


def build(name: str, shape: tuple[int, int, int] = (8, 8, 1), num_classes: int = 10, **knobs: Any) -> keras.Model:
    """The smallest instance of an architecture, with some of its knobs changed."""
    function = catalog.load("architecture", name)
    return function(shape, num_classes, **{**function.tiny, **knobs})


def images(shape: tuple[int, int, int], number: int = 16) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(number, *shape)).astype("float32")


def variations(name: str) -> Iterator[dict[str, Any]]:
    """No change, then each text or boolean option of the architecture's spaces, one at a time."""
    yield {}
    for space_name in SPACES:
        space: Space = catalog.load("space", space_name)
        for knob_name, knob in space.model.items() if space.architecture == name else ():
            if isinstance(knob, Choice) and knob_name != "variant":
                for option in knob.options:
                    if isinstance(option, (str, bool)) and option != knob.default:
                        yield {knob_name: option}


def corners(knob: Knob) -> tuple[Value, ...]:
    """All options of a choice; both ends of a range."""
    if isinstance(knob, Choice):
        return knob.options
    assert isinstance(knob, (Int, Float))
    return (knob.low, knob.high)


def draw(knob: Knob, generator: random.Random) -> Value:
    if isinstance(knob, Choice):
        return generator.choice(knob.options)
    if isinstance(knob, Int):
        return generator.randint(knob.low, knob.high)
    assert isinstance(knob, Float)
    return generator.uniform(knob.low, knob.high)


def points(space: Space) -> Iterator[Configuration]:
    """The default, every other corner of every knob of the model beside the defaults, and a few random points."""
    yield space.default()
    for name, knob in space.model.items():
        for value in [value for value in corners(knob) if value != knob.default]:
            fixed: Configuration = {name: value}
            child = knob
            while child.condition is not None:
                parent, values = child.condition
                fixed[parent] = values[0]
                child = space.model[parent]
            yield space.default(fixed)
    yield from random_points(space, 3)


def random_points(space: Space, number: int) -> Iterator[Configuration]:
    generator = random.Random(0)
    for _ in range(number):
        configuration: Configuration = {}
        for name, knob in space.knobs.items():
            if name in space.active(configuration):
                configuration[name] = draw(knob, generator)
        yield configuration


@pytest.fixture
def half_precision() -> Iterator[None]:
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(previous)


# ---------------------------------------------------------------------------------------------------------- what a model gives


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_gives_one_float32_logit_per_class(name: str, shape: tuple[int, int, int]) -> None:
    model = build(name, shape, num_classes=5)
    assert model.input_shape == (None, *shape)
    logits = np.asarray(model(images(shape, number=3)))
    assert logits.shape == (3, 5)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert not np.allclose(logits.sum(axis=1), 1.0), "the outputs look like probabilities; the head must give logits"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("half_precision")
def test_logits_are_float32_under_half_precision(name: str) -> None:
    model = build(name)
    assert any(layer.compute_dtype == "float16" for layer in model.layers), "the dtype policy is not followed"
    logits = model(images((8, 8, 1)))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert np.isfinite(np.asarray(logits)).all()


@pytest.mark.parametrize("name", NAMES)
def test_is_uncompiled_and_functional(name: str) -> None:
    model = build(name)
    assert isinstance(model, keras.Function), "build it with keras.Model(inputs, outputs)"
    assert not model.compiled
    assert model.name == name


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_the_others_of_its_batch(name: str) -> None:
    model = build(name)
    batch = images((8, 8, 1), number=4)
    np.testing.assert_allclose(np.asarray(model(batch))[:1], np.asarray(model(batch[:1])), atol=1e-4)


# ------------------------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_gets_a_gradient(name: str) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow here")
    import tensorflow as tf

    def dead_weights(seed: int, knobs: dict[str, Any]) -> dict[int, str]:
        random.seed(seed)
        model = build(name, (12, 12, 1), **knobs)
        labels = np.arange(16) % 10
        with tf.GradientTape() as tape:
            logits = model(images((12, 12, 1)), training=True)
            loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        return {
            position: weight.path
            for position, (weight, gradient) in enumerate(zip(model.trainable_weights, gradients, strict=True))
            # The bias of attention's keys shifts all scores of a query alike, which softmax ignores.
            if gradient is None or not (np.any(gradient) or weight.path.endswith("key/bias"))
        }

    for knobs in variations(name):
        dead = dead_weights(1, knobs)
        if dead:
            # Rectifiers of a very small network can all be shut by chance, but not with every seed.
            others = [dead_weights(seed, knobs) for seed in (2, 3)]
            dead = {position: path for position, path in dead.items() if all(position in other for other in others)}
        assert not dead, f"with {knobs}: no gradient reaches {list(dead.values())}"


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == "cnn" else pytest.mark.slow) for name in NAMES])
def test_learns_a_few_digits_by_heart(name: str) -> None:
    digits = load_digits()
    pixels = ((digits.images[:40, :, :, None] - 4.9) / 6.0).astype("float32")
    labels = digits.target[:40]
    random.seed(3)
    model = build(name)
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    for _ in range(80):
        model.train_on_batch(pixels, labels)
    accuracy = float(np.mean(np.asarray(model(pixels)).argmax(axis=1) == labels))
    assert accuracy > 0.95


# ------------------------------------------------------------------------------------------------------------- reproducibility


@pytest.mark.parametrize("name", NAMES)
def test_pythons_seed_decides_the_weights(name: str) -> None:
    def variables(seed: int) -> list[np.ndarray[Any, Any]]:
        random.seed(seed)
        return [np.asarray(variable) for variable in build(name).variables]

    first, again, other = variables(1), variables(1), variables(2)
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    for one, two in zip(first, other, strict=True):
        is_random = one.ndim >= 2 and np.ptp(one) > 0
        assert not is_random or not np.array_equal(one, two), f"a weight of shape {one.shape} ignores the seed"


@pytest.mark.parametrize("name", NAMES)
def test_no_two_weights_start_alike(name: str) -> None:
    random_weights = [np.asarray(weight) for weight in build(name).trainable_weights if np.ptp(np.asarray(weight)) > 0]
    for position, one in enumerate(random_weights):
        for two in random_weights[:position]:
            assert not np.array_equal(one, two), f"two weights of shape {one.shape} share one initialiser's values"


@pytest.mark.parametrize("name", NAMES)
def test_survives_its_configuration(name: str) -> None:
    for knobs in variations(name):
        model = build(name, **knobs)
        twin = type(model).from_config(model.get_config())
        twin.set_weights(model.get_weights())
        np.testing.assert_array_equal(np.asarray(twin(images((8, 8, 1)))), np.asarray(model(images((8, 8, 1)))))


@pytest.mark.parametrize("name", NAMES)
def test_survives_json(name: str) -> None:
    model = build(name)
    assert keras.models.model_from_json(model.to_json()).to_json() == model.to_json()


# --------------------------------------------------------------------------------------------------------------------- knobs


def wrong_values(parameter: Parameter) -> tuple[object, ...]:
    """Values no knob of this kind may have."""
    if isinstance(parameter.default, bool):
        return ("yes", 1, None)
    if isinstance(parameter.default, int):
        return (-1, 1.5, True, "large", None)
    if isinstance(parameter.default, float):
        return (-1.0, math.nan, math.inf, True, "much", None)
    return ("no such option", "", 3, None)


@pytest.mark.parametrize("name", NAMES)
def test_bad_knobs_are_refused_with_a_sentence(name: str) -> None:
    for parameter in catalog.parameters("architecture", name).values():
        for value in wrong_values(parameter):
            with pytest.raises(KnobError) as caught:
                build(name, **cast(Any, {parameter.name: value}))
            message = str(caught.value)
            assert f"'{parameter.name}'" in message
            assert repr(value) in message or str(value) in message
            assert "llowed" in message, f"the message does not say what is allowed: {message}"


@pytest.mark.parametrize("shape", [(8, 8), (0, 8, 1), (8, 8, 1, 1), (None, None, 1)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_bad_shapes_are_refused(name: str, shape: Any) -> None:
    with pytest.raises(KnobError, match="input_shape"):
        build(name, shape)


@pytest.mark.parametrize("name", NAMES)
def test_zero_classes_are_refused(name: str) -> None:
    with pytest.raises(KnobError, match="num_classes"):
        build(name, num_classes=0)


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_readable_from_the_source(name: str) -> None:
    function = catalog.load("architecture", name)
    read = catalog.parameters("architecture", name)
    signature = inspect.signature(function)
    assert list(signature.parameters)[:2] == ["input_shape", "num_classes"]
    keywords = {key: value for key, value in signature.parameters.items() if value.kind is value.KEYWORD_ONLY}
    assert {key: value.default for key, value in keywords.items()} == {key: knob.default for key, knob in read.items()}
    assert not set(read) & set(TRAINING), "a knob has the name of a field of the training recipe"
    for parameter in read.values():
        assert isinstance(parameter.default, (bool, int, float, str))
        assert parameter.annotation == type(parameter.default).__name__
        assert f"{parameter.name}:" in (function.__doc__ or ""), f"the docstring does not explain '{parameter.name}'"
    for arguments in (function.tiny, *(published.arguments for published in function.published)):
        assert set(arguments) <= set(read)
    assert catalog.summary("architecture", name)
    assert function.paper


@pytest.mark.parametrize("name", SPACES)
def test_space_and_signature_agree(name: str) -> None:
    space: Space = catalog.load("space", name)
    read = catalog.parameters("architecture", space.architecture)
    for knob_name, knob in space.model.items():
        assert knob_name in read, f"'{knob_name}' is no argument of {space.architecture}"
        default = read[knob_name].default
        assert knob.default == default or knob_name == "variant"
        assert type(knob.default) is type(default)


def check_builds(name: str, configurations: Iterable[Configuration]) -> None:
    space: Space = catalog.load("space", name)
    function = catalog.load("architecture", space.architecture)
    # Published transformers have patches of 16x16 pixels.
    shapes = SHAPES[2:4] if name in SPACES_OF_VARIANTS else SHAPES[:4]
    for number, configuration in enumerate(configurations):
        assert space.problems(configuration) == []
        knobs = {key: value for key, value in configuration.items() if key in space.model}
        model = function(shapes[number % len(shapes)], 10, **knobs)
        assert model.output_shape == (None, 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_everything_a_space_can_produce_builds(name: str) -> None:
    check_builds(name, points(catalog.load("space", name)))


@pytest.mark.parametrize("name", [name for name in SPACES if name not in SPACES_OF_VARIANTS])
def test_some_of_what_a_space_can_produce_builds(name: str) -> None:
    space: Space = catalog.load("space", name)
    check_builds(name, [space.default(), *random_points(space, 3)])


# ------------------------------------------------------------------------------------------------------------------- the paper


def is_slow(name: str, published: Published) -> bool:
    is_first = published is catalog.load("architecture", name).published[0]
    return not is_first and published.arguments != {"variant": "50"}


@pytest.mark.parametrize(
    ("name", "published"),
    [pytest.param(*pair, marks=pytest.mark.slow if is_slow(*pair) else ()) for pair in PUBLISHED],
    ids=[f"{name}-{'-'.join(map(str, p.arguments.values()))}" for name, p in PUBLISHED],
)
def test_has_the_published_size(name: str, published: Published) -> None:
    model = catalog.load("architecture", name)(published.input_shape, published.num_classes, **published.arguments)
    assert measure.trainable_parameters(model) == published.parameters
    if published.macs is not None:
        assert measure.count_macs(model) == pytest.approx(published.macs, rel=published.macs_tolerance)


STUDY = """
name: published
dataset: {{name: digits}}
arms: {{contender: {{architecture: {architecture}, space: {space}, fixed: {{variant: "{variant}"}}}}}}
budget: {{trials: 1, max_epochs: 1}}
"""


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
    assert variant.options == tuple(published)
    for option, entry in published.items():
        study = spec.parse(STUDY.format(architecture=space.architecture, space=name, variant=option))
        fixed = study.arms["contender"].fixed
        sampled = [RandomSampler(space, fixed).suggest([], number=1, seed=seed) for seed in range(3)]
        for configuration in (space.default(fixed), *sampled):
            # What is no field of the recipe is an argument of the architecture: exactly those of the published network.
            assert {key: value for key, value in configuration.items() if key not in TRAINING} == entry.arguments


def test_files_name_no_backend() -> None:
    for path in Path(architectures.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                assert module.split(".")[0] not in {"tensorflow", "torch", "jax", "numpy", "tf_keras"}, (
                    f"{path.name} imports {module}"
                )
                assert not module.startswith(("keras.src", "keras.backend")), f"{path.name} imports {module}"
            if isinstance(node, ast.Attribute):
                is_private = node.attr == "src" and isinstance(node.value, ast.Name) and node.value.id == "keras"
                assert not is_private, f"{path.name} reaches into keras.src"
                assert node.attr != "numpy", f"{path.name} takes values out of the graph with .numpy()"


# ------------------------------------------------------------------------------------------------------- families on their own


def layer_shapes(model: keras.Model, kind: Any) -> list[tuple[int | None, ...]]:
    return [layer.output.shape for layer in model.layers if isinstance(layer, kind)]


def test_cnn_default_has_about_a_million_parameters() -> None:
    model = catalog.load("architecture", "cnn")((48, 48, 1), 7)
    assert 800_000 < measure.trainable_parameters(model) < 1_100_000


def test_the_hidden_layer_of_cnn_survives_its_first_steps() -> None:
    random.seed(0)
    model = build("cnn", (32, 32, 1), 7, num_blocks=1, convolutions_per_block=1, width=16, dense_units=64)
    model.compile(keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = images((32, 32, 1), 640)
    model.fit(x, np.random.default_rng(1).integers(0, 7, 640), batch_size=32, epochs=2, verbose=0, shuffle=False)
    hidden = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense)).output
    rectified = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dropout)).input
    assert rectified.shape == hidden.shape
    is_active = keras.Model(model.input, rectified).predict(x, verbose=0) > 0
    assert (is_active.mean(axis=0) > 0.01).mean() > 0.9, "units that are shut for every image learn nothing any more"


def test_cnn_se_default_has_about_a_quarter_of_a_million_parameters() -> None:
    function = catalog.load("architecture", "cnn_se")
    model = function((48, 48, 1), 7)
    assert 240_000 < measure.trainable_parameters(model) < 260_000
    gates = sum(2 * channels * (channels // 8) + channels + channels // 8 for channels in (32, 64, 128, 128))
    ablation = function((48, 48, 1), 7, attention="none")
    assert measure.trainable_parameters(model) - measure.trainable_parameters(ablation) == gates


def test_cnn_se_and_cnn_have_the_same_blocks() -> None:
    plain = build("cnn", width=8, num_blocks=2, attention="se", head="average")
    assert measure.trainable_parameters(build("cnn_se", widths="8-16")) == measure.trainable_parameters(plain)


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("cnn", {}), ("cnn_se", {}),
        ("resnet", {"stem": "small"}), ("resnet", {"stem": "large"}),
        ("densenet", {"stem": "small"}), ("densenet", {"stem": "large"}),
        ("efficientnet", {"stem": "small"}), ("efficientnet", {"stem": "large"}),
    ],
    ids=str,
)  # fmt: skip
def test_networks_of_convolutions_take_images_of_any_size(name: str, knobs: dict[str, Any]) -> None:
    assert np.isfinite(np.asarray(build(name, (1, 7, 1), **knobs)(images((1, 7, 1))))).all()


def test_cnn_stops_pooling_at_one_pixel() -> None:
    model = build("cnn", (5, 9, 1), num_blocks=5)
    assert [shape[1:3] for shape in layer_shapes(model, keras.layers.MaxPooling2D)] == [(2, 4), (1, 2)]


def test_resnet_variant_gives_way_to_a_knob_beside_it() -> None:
    resnet = catalog.load("architecture", "resnet")
    plain = measure.trainable_parameters(resnet((32, 32, 3), 10, variant="18"))
    same = measure.trainable_parameters(resnet((32, 32, 3), 10, variant="18", width=64, block="basic"))
    narrow = measure.trainable_parameters(resnet((32, 32, 3), 10, variant="18", width=16))
    assert plain == same
    assert narrow == measure.trainable_parameters(resnet((32, 32, 3), 10, blocks_per_stage="2-2-2-2", width=16, stem="large"))


def test_resnet_halves_once_per_stage_and_stays_at_one_pixel() -> None:
    model = build("resnet", (6, 8, 1), blocks_per_stage="1-1-1-1-1", width=2)
    assert [shape[1:] for shape in layer_shapes(model, keras.layers.Add)] == [
        (6, 8, 2), (3, 4, 4), (2, 2, 8), (1, 1, 16), (1, 1, 32)
    ]  # fmt: skip


@pytest.mark.parametrize(("stride_on", "kernel_size"), [("conv3x3", (3, 3)), ("conv1x1", (1, 1))])
def test_resnet_bottleneck_strides_where_it_is_told(stride_on: str, kernel_size: tuple[int, int]) -> None:
    model = build("resnet", (16, 16, 3), block="bottleneck", blocks_per_stage="1-2-1", stride_on=stride_on)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert not any(layer.use_bias for layer in convolutions)
    # Shortcuts give four times the channels of the other convolutions with a stride.
    striding = [layer for layer in convolutions if layer.strides == (2, 2)]
    assert sorted(layer.filters for layer in striding) == [16, 32, 64, 128]
    assert {layer.kernel_size for layer in striding if layer.filters in (64, 128)} == {(1, 1)}
    assert {layer.kernel_size for layer in striding if layer.filters in (16, 32)} == {kernel_size}


@pytest.mark.parametrize("text", ["2-0", "2-", "-2", "2,2", "2 2", "two", "02"])
def test_resnet_refuses_stages_it_cannot_read(text: str) -> None:
    with pytest.raises(KnobError, match="blocks_per_stage"):
        build("resnet", blocks_per_stage=text)


def test_squeeze_excitation_keeps_at_least_four_units() -> None:
    model = build("resnet", width=32, attention="se", squeeze_ratio=1000)
    units = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert units == [4, 32, 4, 64, 10]


def test_vit_says_which_patches_fit() -> None:
    with pytest.raises(KnobError) as caught:
        build("vit", (18, 30, 1), patch_size=4)
    assert "'patch_size' is 4" in str(caught.value)
    assert "18x30" in str(caught.value)
    assert "1, 2, 3, 6" in str(caught.value)


def test_vit_refuses_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(KnobError, match="'num_heads' is 3, which does not divide a 'width' of 16"):
        build("vit", num_heads=3)


def test_vit_pools_over_patches_or_reads_a_token() -> None:
    with_token = measure.trainable_parameters(build("vit", pooling="class_token"))
    without = measure.trainable_parameters(build("vit", pooling="mean"))
    assert with_token - without == 2 * 16, "a token and its position"


def test_vit_default_is_a_miniature() -> None:
    assert 130_000 < measure.trainable_parameters(catalog.load("architecture", "vit")((48, 48, 1), 7)) < 160_000


def test_densenet_layers_add_and_transitions_compress() -> None:
    model = build("densenet", (9, 6, 1), blocks_per_stage="2-1-1-1", growth_rate=4, stem_width=10, compression=0.5)
    assert [shape[1:] for shape in layer_shapes(model, keras.layers.Concatenate)] == [
        (9, 6, 14), (9, 6, 18), (4, 3, 13), (2, 1, 10), (1, 1, 9)
    ]  # fmt: skip


def test_densenet_bottleneck_is_four_times_the_growth_rate() -> None:
    with_bottleneck = build("densenet", blocks_per_stage="1", growth_rate=4, stem_width=10, bottleneck=True)
    without = build("densenet", blocks_per_stage="1", growth_rate=4, stem_width=10, bottleneck=False)
    filters = [
        [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        for model in (with_bottleneck, without)
    ]
    assert filters == [[10, 16, 4], [10, 4]]


def test_densenet_drops_after_every_convolution_but_the_first() -> None:
    model = build("densenet", blocks_per_stage="2-1", dropout=0.2)
    convolutions = len(layer_shapes(model, keras.layers.Conv2D))
    assert len(layer_shapes(model, keras.layers.Dropout)) == convolutions - 1 == 7


def test_densenet_compression_ends_at_one() -> None:
    assert build("densenet", compression=1).output_shape == (None, 10)
    with pytest.raises(KnobError, match=r"'compression' is 1.01; allowed: a number, from 0.1 to 1\."):
        build("densenet", compression=1.01)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant", "low", "high"), [("densenet", "121", 6.9, 7.0), ("efficientnet", "b0", 4.0, 4.1)])
def test_published_networks_on_small_gray_images(name: str, variant: str, low: float, high: float) -> None:
    model = catalog.load("architecture", name)((48, 48, 1), 7, variant=variant)
    assert low < measure.trainable_parameters(model) / 1e6 < high


@pytest.mark.parametrize(
    ("coefficient", "channels"),
    [(1.0, [16, 24, 40, 80, 112, 192, 320]), (0.35, [8, 8, 16, 32, 40, 64, 112]), (0.1, [8, 8, 8, 8, 16, 24, 32])],
)
def test_efficientnet_scales_channels_in_steps_of_eight(coefficient: float, channels: list[int]) -> None:
    model = build("efficientnet", width_coefficient=coefficient, attention="none")
    narrow = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1)]
    # The first block widens nothing; each other block has a wide and a narrow convolution, and the head has one.
    assert [narrow[0], *narrow[2:-1:2]] == channels


def test_efficientnet_squeezes_by_the_channels_that_come_in() -> None:
    model = build("efficientnet", width_coefficient=1.0, squeeze_ratio=4)
    units = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert units[:-1:2] == [32 // 4, 16 // 4, 24 // 4, 40 // 4, 80 // 4, 112 // 4, 192 // 4]
    assert units[1:-1:2] == [32, *(6 * channels for channels in (16, 24, 40, 80, 112, 192))]


def test_efficientnet_rounds_blocks_up_and_drops_later_branches_more_often() -> None:
    model = build("efficientnet", depth_coefficient=1.1, stochastic_depth_rate=0.23)
    num_blocks = len(layer_shapes(model, keras.layers.DepthwiseConv2D))
    assert num_blocks == 2 + 3 + 3 + 4 + 4 + 5 + 2
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout) and layer.noise_shape]
    # The first block of a stage changes the shape, so it has no shortcut, and the first of all is never dropped.
    assert rates == pytest.approx([0.01 * block for block in range(num_blocks) if block not in (0, 2, 5, 8, 12, 16, 21)])


@pytest.mark.parametrize("variant", ["custom", "b0"])
def test_efficientnet_normalises_as_published_in_its_variants(variant: str) -> None:
    model = build("efficientnet", variant=variant)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in layers} == {(0.9 if variant == "custom" else 0.99, 1e-3)}


def test_stochastic_depth_drops_whole_images_and_only_while_training() -> None:
    def model(seed: int) -> keras.Model:
        random.seed(seed)
        branch = keras.Input((3, 4, 2))
        return keras.Model(branch, _blocks.stochastic_depth(branch, 0.25))

    values = np.abs(images((3, 4, 2), 2000)) + 0.1
    first, again, other = (np.asarray(model(seed)(values, training=True)) for seed in (1, 1, 2))
    is_kept = first[:, :1, :1, :1] > 0
    np.testing.assert_allclose(first, np.where(is_kept, values / 0.75, 0.0), rtol=1e-6)
    assert 0.7 < is_kept.mean() < 0.8
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(np.asarray(model(1)(values)), values)
    text = model(1).to_json()
    copy = keras.models.model_from_json(text)
    assert copy.to_json() == text
    is_dropped = np.asarray(copy(values, training=True)).max(axis=(1, 2, 3)) == 0
    assert 0.2 < is_dropped.mean() < 0.3
    branch = keras.Input((3, 4, 2))
    assert _blocks.stochastic_depth(branch, 0.0) is branch
