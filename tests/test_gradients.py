"""Gradients by depth: against gradients made by hand, on tiny networks, and what `describe --gradient-flow` prints and draws."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from sweeper import catalog
from sweeper.cli import cli
from sweeper.cli._gradients import ONLY, WITH, WITHOUT, networks
from sweeper.errors import KnobError, SweeperError
from sweeper.plots._gradient_flow import frame, gradient_flow, growth, trend
from sweeper.training.measuring.gradients import BATCH, SEED, gradient_norms
from sweeper.training.program import seed_network

pytestmark = pytest.mark.usefixtures("framework")

layers = keras.layers


def measured(image: Any, *outputs: Any) -> dict[str, Any]:
    """What is measured of each layer of a network, by its name."""
    return {row["layer"]: row for row in gradient_norms(keras.Model(image, outputs[0] if len(outputs) == 1 else list(outputs)))}


def depths(image: Any, *outputs: Any) -> dict[str, int]:
    """The depth of each layer of a network."""
    return {name: row["depth"] for name, row in measured(image, *outputs).items()}


# ---------------------------------------------------------------------------------------------------------------- the norms


def test_the_gradient_of_a_linear_network_is_that_of_the_formula() -> None:
    image = keras.Input((4,))
    dense = layers.Dense(3, name="dense", bias_initializer="ones")
    model = keras.Model(image, dense(image))
    kernel = np.asarray(keras.ops.convert_to_numpy(dense.kernel), dtype=np.float64)
    random = np.random.default_rng(SEED)
    images = random.standard_normal((BATCH, 4), dtype=np.float32).astype(np.float64)
    labels = random.integers(3, size=BATCH)
    logits = np.exp(images @ kernel + 1.0)
    errors = logits / logits.sum(axis=1, keepdims=True) - np.eye(3)[labels]
    (row,) = gradient_norms(model)
    assert row["gradient_norm"] == pytest.approx(np.linalg.norm(images.T @ errors / BATCH), rel=1e-5)
    assert row["weight_norm"] == pytest.approx(np.linalg.norm(kernel), rel=1e-6)
    assert row["relative_norm"] == row["gradient_norm"] / row["weight_norm"]
    assert (row["layer"], row["kind"], row["depth"]) == ("dense", "dense", 1)


def test_gradients_are_those_of_the_framework() -> None:
    import tensorflow as tf

    def build() -> keras.Model:
        seed_network(SEED)
        function = catalog.load("architecture", "resnet")
        return function((8, 8, 1), 4, **function.tiny)

    found = {row["layer"]: row["gradient_norm"] for row in gradient_norms(build())}
    model = build()
    random = np.random.default_rng(SEED)
    images = random.standard_normal((BATCH, 8, 8, 1), dtype=np.float32)
    labels = random.integers(4, size=BATCH)
    weights = {layer.name: layer.kernel.value for layer in model.layers if hasattr(layer, "kernel")}
    with tf.GradientTape() as tape:
        losses = keras.losses.sparse_categorical_crossentropy(labels, model(images, training=True), from_logits=True)
        loss = keras.ops.mean(losses)
    expected = {name: float(tf.norm(gradient)) for name, gradient in tape.gradient(loss, weights).items()}
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_gradient_far_below_the_rounding_of_the_weights_is_measured() -> None:
    image = keras.Input((4,))
    x = layers.Dense(4, name="first")(image)
    found = measured(image, layers.Dense(3, name="last")(x * 1e-12))
    assert 1e-16 < found["first"]["relative_norm"] < 1e-11


def test_weights_of_zero_have_no_relative_norm() -> None:
    image = keras.Input((4,))
    found = measured(image, layers.Dense(3, name="dense", kernel_initializer="zeros")(image))
    assert found["dense"]["weight_norm"] == 0.0
    assert found["dense"]["gradient_norm"] > 0.0
    assert math.isnan(found["dense"]["relative_norm"])


def test_auxiliary_heads_are_left_out() -> None:
    image = keras.Input((4,))
    heads = [layers.Dense(3, name=name, kernel_initializer="ones")(image) for name in ("logits", "auxiliary")]
    assert list(measured(image, *heads)) == ["logits"]


def test_equal_seeds_give_equal_norms() -> None:
    def norms() -> list[Any]:
        seed_network(SEED)
        image = keras.Input((4,))
        x = layers.Dropout(0.5)(layers.Dense(8, name="first")(image))
        return gradient_norms(keras.Model(image, layers.Dense(3, name="last")(x)))

    assert norms() == norms()


# --------------------------------------------------------------------------------------------------------------- the depths


def test_depth_counts_layers_with_kernels_on_the_longest_way() -> None:
    image = keras.Input((8, 8, 3))
    stem = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", name="stem")(image)))
    branch = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(stem)
    branch = layers.Conv2D(6, 1, name="pointwise")(branch)
    shortcut = layers.Conv2D(6, 1, name="shortcut")(stem)
    x = layers.Add()([branch, shortcut])
    x = layers.Concatenate()([x, stem])
    x = layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D()(x))
    expected = {"stem": 1, "depthwise": 2, "pointwise": 3, "shortcut": 2, "logits": 4}
    assert depths(image, x) == expected


def test_a_shared_layer_counts_once_and_models_inside_are_opened() -> None:
    image = keras.Input((4,))
    entry = keras.Input((4,))
    inner = keras.Model(entry, layers.Dense(4, name="inner_2")(layers.Dense(4, name="inner_1")(entry)))
    shared = layers.Dense(4, name="shared")
    x = inner(shared(shared(image)))
    assert depths(image, layers.Dense(3, name="logits")(x)) == {"shared": 1, "inner_1": 3, "inner_2": 4, "logits": 5}


def test_attention_is_one_layer_and_a_network_without_kernels_is_refused() -> None:
    image = keras.Input((5, 4))
    attention = layers.MultiHeadAttention(2, 2, name="attention")
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(attention(image, image)))
    found = measured(image, layers.Dense(3, name="logits")(x))
    assert {name: (row["kind"], row["depth"]) for name, row in found.items()} == {
        "attention": ("attention", 1), "logits": ("dense", 2),
    }  # fmt: skip
    with pytest.raises(SweeperError, match="has no kernels"):
        gradient_norms(keras.Model(image, layers.LayerNormalization()(image)))


def test_what_cannot_be_trained_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError("no room")

    image = keras.Input((4,))
    model = keras.Model(image, layers.Dense(3)(image), name="big")
    monkeypatch.setattr(model, "train_on_batch", fail)
    with pytest.raises(KnobError, match=r"'big' can be computed on 16 images of 4: MemoryError: no room\. Choose a smaller"):
        gradient_norms(model)


# -------------------------------------------------------------------------------------------------------------- the picture


def rows(*norms: float, kind: str = "convolution") -> list[dict[str, Any]]:
    """Layers one behind the other with these relative norms."""
    return [
        {
            "layer": f"layer_{depth}",
            "kind": kind,
            "depth": depth,
            "gradient_norm": norm,
            "weight_norm": 1.0,
            "relative_norm": norm,
        }
        for depth, norm in enumerate(norms, start=1)
    ]  # fmt: skip


def test_the_frame_has_every_layer_and_says_which_has_no_logarithm() -> None:
    table = frame({WITH: rows(1.0, 0.0), WITHOUT: rows(float("nan"), 2.0)})
    assert list(table["panel"]) == [WITH, WITH, WITHOUT, WITHOUT]
    assert list(table["is_shown"]) == [True, False, False, True]
    assert list(table["depth"]) == [1, 2, 1, 2]


def test_growth_compares_the_ends_and_the_trend_follows_the_middle() -> None:
    table = frame({ONLY: rows(800.0, 1000.0, 1000.0, 10.0, 9.0, 8.0, 1.0, 2.0, 900.0)})
    assert growth(table) == 1000.0 / 2.0
    line = trend(table)
    assert list(line.index) == [2, 3, 4, 5, 6, 7, 8], "the ends lack neighbours on one side"
    assert list(line) == pytest.approx([1000.0, 1000.0, 10.0, 9.0, 8.0, 2.0**0.5, 2.0])
    assert math.isnan(growth(frame({ONLY: rows(0.0, 0.0)})))


@pytest.mark.parametrize("num_layers", [8, 28, 56])
def test_the_trend_runs_between_layers_that_take_turns(num_layers: int) -> None:
    line = trend(frame({ONLY: rows(*[1.0, 100.0] * (num_layers // 2))}))
    assert len(line) > num_layers / 2
    assert list(line) == pytest.approx([10.0] * len(line))


@pytest.mark.parametrize(
    ("panels", "said"),
    [
        ({ONLY: rows(1.0, 1000.0)}, "net: towards the image, gradients shrink 1k-fold"),
        ({ONLY: rows(0.0, 0.0)}, "net: towards the image, gradients cannot be compared"),
        (
            {WITH: rows(1.1, 1.0), WITHOUT: rows(520.0, 1.0)},
            "net: towards the image, gradients keep their size with skip connections; without, they grow 520-fold",
        ),
    ],
)
def test_the_title_says_what_the_gradients_do(panels: dict[str, Any], said: str) -> None:
    picture = gradient_flow("net", panels, batch=16, caption="A note.")
    title = picture.get_suptitle()
    assert " ".join(title.split()) == said
    assert len(picture.axes) == len(panels)
    caption = " ".join(picture.get_supxlabel().split())
    assert "16 images of random pixels. A note." in caption
    assert ("Not shown: 2 layers" in caption) is (panels == {ONLY: rows(0.0, 0.0)})


def test_both_panels_have_one_scale_and_a_point_for_each_layer() -> None:
    picture = gradient_flow("net", {WITH: rows(1.0, 2.0, 3.0), WITHOUT: rows(1e-6, 1.0, kind="dense")}, batch=16)
    left, right = picture.axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == [WITH, WITHOUT]
    assert left.get_ylim() == right.get_ylim()
    assert [len(axes.collections[0].get_offsets()) for axes in (left, right)] == [3, 2]
    assert [text.get_text() for text in picture.legends[0].get_texts()] == ["convolution", "dense"]


# --------------------------------------------------------------------------------------------------------- the command line

SIGMOIDS = '''"""Ten layers of sigmoids, each added to what came in, or not."""

import keras


def {name}(input_shape, num_classes, *{knob}):
    """A plain network."""
    image = keras.Input(input_shape)
    x = keras.layers.Dense(16)(keras.layers.Flatten()(image))
    for _ in range(10):
        y = keras.layers.Dense(16, activation="sigmoid")(x)
        x = keras.layers.Add()([x, y]) if {skip} else y
    return keras.Model(image, keras.layers.Dense(num_classes)(x))
'''


@pytest.fixture
def describe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Measure an architecture of a catalog of two, ``sigmoids`` with a knob ``skip`` and ``plain`` without, as JSON."""
    package = tmp_path / "made_architectures"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sigmoids.py").write_text(SIGMOIDS.format(name="sigmoids", knob=", skip: bool = True", skip="skip"))
    (package / "plain.py").write_text(SIGMOIDS.format(name="plain", knob=", width: int = 1", skip="False"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(catalog.PACKAGES, "architecture", package.name)

    def call(*arguments: str) -> Any:
        command = ["describe", *arguments, "--input-shape", "4,4,1", "--json"]
        result = CliRunner().invoke(cli, command, catch_exceptions=False)
        assert result.exit_code == 0
        return json.loads(result.stdout)

    return call


@pytest.mark.long
def test_describe_compares_with_and_without_skip_connections(describe: Callable[..., Any], tmp_path: Path) -> None:
    files = [str(tmp_path / "a.svg"), str(tmp_path / "b.svg")]
    facts = describe("sigmoids", "--gradient-flow", files[0])
    flow = facts["gradient_flow"]
    assert facts["files"] == files[:1]
    assert (flow["batch"], flow["seed"]) == (BATCH, SEED)
    assert [network["skip"] for network in flow["networks"]] == [True, False]
    whole, plain = (frame({"": network["layers"]}) for network in flow["networks"])
    assert list(whole["depth"]) == list(range(1, 13))
    assert list(whole["weight_norm"]) == list(plain["weight_norm"]), "both start from the same weights"
    assert growth(plain) < 1e-3 < 0.1 < growth(whole), "a derivative of at most a quarter a layer, ten times"
    again = describe("sigmoids", "--set", "skip=false", "--gradient-flow", files[1])
    assert again["gradient_flow"] == flow
    assert Path(files[1]).read_bytes().startswith(b"<?xml")


@pytest.mark.long
def test_with_normalisation_plain_networks_explode_towards_the_image(tmp_path: Path) -> None:
    knobs = ["--set", "blocks_per_stage=8-8", "--set", "width=8", "--input-shape", "8,8,1"]
    command = ["describe", "resnet", *knobs, "--gradient-flow", str(tmp_path / "flow.png"), "--json"]
    flow = json.loads(CliRunner().invoke(cli, command, catch_exceptions=False).stdout)["gradient_flow"]
    whole, plain = (growth(frame({"": network["layers"]})) for network in flow["networks"])
    assert plain > 5 * whole > 5


def test_an_architecture_without_the_knob_gets_one_panel(describe: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "plain.png"
    facts = describe("plain", "--gradient-flow", str(file))
    (network,) = facts["gradient_flow"]["networks"]
    assert network["skip"] is None
    assert len(network["layers"]) == 12
    assert file.read_bytes().startswith(b"\x89PNG")
    assert "gradient_flow" not in describe("plain")


def test_only_a_boolean_knob_is_compared() -> None:
    def knob(annotation: str) -> catalog.Parameter:
        return catalog.Parameter(name="skip", annotation=annotation, default=True)

    assert networks({"skip": knob("bool")}, {"skip": False, "width": 2}) == {
        WITH: {"skip": True, "width": 2}, WITHOUT: {"skip": False, "width": 2},
    }  # fmt: skip
    assert networks({"skip": knob("str")}, {"width": 2}) == {ONLY: {"width": 2}}
    assert networks({}, {}) == {ONLY: {}}
