"""Networks as blocks and as a picture: nothing is lost, what repeats is folded, and every letter has its place."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Bbox

from sweeper import catalog
from sweeper.cli import cli
from sweeper.errors import InputError
from sweeper.plots._diagram import WIDTH, diagram
from sweeper.training.built import shapes_alone
from sweeper.training.measuring._folding import Part, Step, fold
from sweeper.training.measuring.blocks import Block, blocks
from sweeper.training.measuring.measure import calls, count_macs, trainable_parameters

pytestmark = pytest.mark.usefixtures("framework")

layers = keras.layers

SIZES: dict[str, tuple[str, dict[str, Any], tuple[int, int, int]]] = {
    **{f"tiny {name}": (name, catalog.load("architecture", name).tiny, (8, 8, 1)) for name in catalog.names("architecture")},
    **{name: (name, {}, (48, 48, 1)) for name in catalog.names("architecture")},
    "cnn at 224": ("cnn", {}, (224, 224, 3)),
    "cnn without pooling": ("cnn", {"num_blocks": 6}, (8, 8, 1)),
    "resnet se": ("resnet", {"attention": "se"}, (32, 32, 3)),
    "resnet bam": ("resnet", {"attention": "bam", "norm": "none"}, (32, 32, 3)),
    "plain resnet cbam": ("resnet", {"attention": "cbam", "skip": False}, (32, 32, 3)),
    "plain resnet eca": ("resnet", {"attention": "eca", "skip": False, "kernel": "7x7_depthwise"}, (32, 32, 3)),
    "resnet 50": ("resnet", {"variant": "50"}, (224, 224, 3)),
    "resnet 50 small": ("resnet", {"variant": "50"}, (8, 8, 1)),
    "densenet 121": ("densenet", {"variant": "121"}, (224, 224, 3)),
    "efficientnet b0": ("efficientnet", {"variant": "b0"}, (224, 224, 3)),
    "vit small": ("vit", {"variant": "small/16", "stochastic_depth_rate": 0.0}, (224, 224, 3)),
    "swin tiny": ("swin", {"variant": "tiny"}, (224, 224, 3)),
    "vit mean": ("vit", {"pooling": "mean", "head": "hidden"}, (48, 48, 1)),
}


CASES = [
    pytest.param(size, marks=() if size.startswith("tiny") or size in ("cnn", "resnet 50") else pytest.mark.long)
    for size in SIZES
]


@pytest.fixture(scope="module")
def built() -> Callable[[str], keras.Model]:
    """Models by their name in `SIZES`, each built once."""
    models: dict[str, keras.Model] = {}

    def build(size: str) -> keras.Model:
        name, arguments, shape = SIZES[size]
        if size not in models:
            with shapes_alone():
                models[size] = catalog.load("architecture", name)(shape, 7, **arguments)
        return models[size]

    return build


Built = Callable[[str], keras.Model]


@pytest.mark.parametrize("size", CASES)
def test_blocks_sum_to_the_model(size: str, built: Built) -> None:
    model = built(size)
    found = blocks(model)
    assert sum(block.parameters for block in found) == trainable_parameters(model)
    assert sum(block.macs for block in found) == count_macs(model)
    assert sum(block.num_layers for block in found) == len(model.layers) - 1, "every layer but the input"
    assert found[-1].output_shape == (7,)
    assert all(part.steps and all(step.text for step in part.steps) for block in found for part in block.parts)


def outline(found: list[Block]) -> list[tuple[str, tuple[int, ...], list[int]]]:
    """Titles, shapes and repeats."""
    return [(block.title, block.output_shape, [part.repeats for part in block.parts]) for block in found]


def test_a_densenet_of_429_layers_is_six_boxes(built: Built) -> None:
    found = blocks(built("densenet 121"))
    assert outline(found) == [
        ("stem", (56, 56, 64), [1]),
        ("stage 1", (28, 28, 128), [6, 1]),
        ("stage 2", (14, 14, 256), [12, 1]),
        ("stage 3", (7, 7, 512), [24, 1]),
        ("stage 4", (7, 7, 1024), [16, 1]),
        ("head", (7,), [1]),
    ]
    unit = Step(text="batch norm, relu, conv 1×1 128, batch norm, relu, conv 3×3 32, concatenate", has_skip=True)
    assert found[1].parts[0] == Part(repeats=6, steps=(unit,))
    assert found[1].parts[1].steps[0].text == "batch norm, relu, conv 1×1 128, average pool 2×2 /2"
    assert [block.has_skip for block in found] == [False, True, True, True, True, False]


def test_a_resnet_has_its_stages_and_its_projected_shortcuts(built: Built) -> None:
    found = blocks(built("resnet 50"))
    assert outline(found) == [
        ("stem", (56, 56, 64), [1]),
        ("stage 1", (56, 56, 256), [1, 2]),
        ("stage 2", (28, 28, 512), [1, 3]),
        ("stage 3", (14, 14, 1024), [1, 5]),
        ("stage 4", (7, 7, 2048), [1, 2]),
        ("head", (7,), [1]),
    ]
    first, others = found[2].parts
    assert first.steps[0].text == (
        "conv 1×1 128, batch norm, relu, conv 3×3 128 /2, batch norm, relu, conv 1×1 512, batch norm, "
        "add (shortcut: conv 1×1 512 /2, batch norm), relu"
    )
    assert others.steps[0].text.endswith("conv 1×1 512, batch norm, add, relu")
    assert first.steps[0].has_skip and others.steps[0].has_skip


def test_an_efficientnet_begins_its_stages_where_the_map_is_widened(built: Built) -> None:
    found = blocks(built("efficientnet b0"))
    assert [block.output_shape for block in found[:-1]] == [
        (112, 112, 32),
        (112, 112, 16),
        (56, 56, 24),
        (28, 28, 40),
        (14, 14, 112),
        (7, 7, 1280),
    ]
    assert all(block.parts[0].steps[0].text.startswith("conv 1×1") for block in found[2:-1])
    assert "gate (average over positions, dense 4 silu, dense 96 sigmoid)" in found[2].parts[0].steps[0].text
    assert found[4].parts[1].repeats == 2, "rates of stochastic depth that differ do not keep units apart"


def test_a_transformer_is_folded_with_both_of_its_skips(built: Built) -> None:
    found = blocks(built("vit small"))
    assert [block.title for block in found] == ["patch embedding", "encoder", "head"]
    layer = found[1].parts[0]
    assert layer.repeats == 12
    assert [step.has_skip for step in layer.steps] == [True, True]
    assert layer.steps[0].text.startswith("layer norm, attention 6 heads")


def test_windows_are_told_from_shifted_ones(built: Built) -> None:
    found = blocks(built("swin tiny"))
    assert outline(found) == [
        ("stem", (56, 56, 96), [1]),
        ("stage 1", (56, 56, 96), [1, 1, 1, 1]),
        ("stage 2", (28, 28, 192), [1, 1, 1, 1, 1]),
        ("stage 3", (14, 14, 384), [1, 3]),
        ("stage 4", (7, 7, 768), [1, 2, 1]),
        ("head", (7,), [1]),
    ]
    texts = [step.text.split(", ")[1] for step in found[3].parts[1].steps]
    assert texts[::2] == ["window attention 12 heads", "shifted window attention 12 heads"]
    assert found[4].parts[1].steps[0].text.startswith("layer norm, window attention 24 heads, "), "one window covers the map"


def test_an_encoder_behind_convolutions_is_a_block_of_its_own(built: Built) -> None:
    found = blocks(built("hybrid"))
    assert [block.title for block in found] == ["stem", "token embedding", "encoder", "head"]
    assert found[1].parts[0].steps[0].text.startswith("conv 3×3 48 /2, batch norm, relu, conv 1×1 64, reshape")
    assert found[3].parts[0].steps[0].text == "sequence pooling, dense 7"


def test_pooling_ends_a_stage_with_its_dropout(built: Built) -> None:
    found = blocks(built("cnn"))
    assert [block.title for block in found] == ["stage 1", "stage 2", "stage 3", "head"]
    assert [part.steps[0].text for part in found[0].parts] == ["conv 3×3 32, batch norm, relu", "max pool 2×2 /2, dropout"]
    assert found[0].parts[0].repeats == 2


def of(function: Callable[[Any], Any], shape: tuple[int, ...] = (8, 8, 4)) -> list[Block]:
    """Blocks of a model of one function of its input."""
    entry = keras.Input(shape)
    return blocks(keras.Model(entry, function(entry)))


def shared(x: Any) -> Any:
    dense = layers.Dense(4)
    return dense(dense(x))


def tied(x: Any) -> Any:
    dense = layers.Dense(4)
    return dense(layers.TimeDistributed(dense)(x))


def nested(x: Any) -> Any:
    inner = keras.Input((8, 8, 4))
    return keras.Model(inner, layers.Conv2D(3, 1)(layers.ReLU()(inner)), name="inside")(x)


def entangled(x: Any) -> Any:
    left, right = layers.Conv2D(4, 1)(x), layers.Conv2D(4, 1)(x)
    both = layers.Add()([left, right])
    return layers.Concatenate()([both, layers.ReLU()(left)])


GRAPHS: dict[str, tuple[Callable[[Any], Any], str, bool, int]] = {
    # what it is, its words, whether it has a skip connection, its layers
    "branches": (
        lambda x: layers.Concatenate()([layers.Conv2D(2, 1)(x), layers.ReLU()(layers.Conv2D(3, 3, padding="same")(x))]),
        "concatenate (conv 3×3 3, relu | conv 1×1 2)",
        False,
        4,
    ),
    "gate": (lambda x: x * layers.Dense(4, activation="sigmoid")(x), "gate (dense 4 sigmoid)", False, 1),
    "sum with itself": (lambda x: layers.ReLU()(x + x), "add, relu", False, 1),
    "skip in a skip": (
        lambda x: x + layers.Conv2D(4, 1)(layers.Add()([layers.ReLU()(x), layers.Conv2D(4, 1)(layers.ReLU()(x))])),
        "add",
        True,
        5,
    ),
    "shared layer": (shared, "dense 4, dense 4", False, 1),
    "tied weights": (tied, "time distributed, dense 4", False, 2),
    "inner model": (nested, "model inside (3 layers)", False, 3),
    "entangled": (entangled, "conv 1×1 4, conv 1×1 4", False, 5),
    "strides and groups": (
        lambda x: layers.Conv2D(4, 3, groups=2, activation="relu")(layers.DepthwiseConv2D(3, strides=2)(x)),
        "depthwise 3×3 /2, conv 3×3 4 in 2 groups relu",
        False,
        2,
    ),
}


@pytest.mark.parametrize(("function", "text", "has_skip", "num_layers"), GRAPHS.values(), ids=GRAPHS.keys())
def test_graphs_of_other_shapes(function: Callable[[Any], Any], text: str, has_skip: bool, num_layers: int) -> None:
    found = of(function)
    written = ", ".join(step.text for block in found for part in block.parts for _ in range(part.repeats) for step in part.steps)
    assert text in written
    assert any(block.has_skip for block in found) is has_skip
    assert sum(block.num_layers for block in found) == num_layers
    entry = keras.Input((8, 8, 4))
    model = keras.Model(entry, function(entry))
    assert sum(block.parameters for block in found) == trainable_parameters(model)
    assert sum(block.macs for block in found) == count_macs(model)


def test_a_sequential_model_has_blocks_too() -> None:
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3, strides=2), layers.Flatten(), layers.Dense(3)])
    assert [block.title for block in blocks(model)] == ["stage 1", "head"]
    assert [call.sources for call in calls(model)] == [(-1,), (0,), (1,)]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ("", []),
        ("a b c", [(1, ["a, b, c"])]),
        ("a a a", [(3, ["a"])]),
        ("a b a b c", [(2, ["a, b"]), (1, ["c"])]),
        ("x a b a b", [(1, ["x"]), (2, ["a, b"])]),
        ("x a b a b a", [(1, ["x, a"]), (2, ["b, a"])]),
        ("+x r +u r +u r", [(1, ["+x"]), (1, ["r"]), (2, ["+u", "r"])]),
        ("+a +b +a +b n", [(2, ["+a", "+b"]), (1, ["n"])]),
        ("p +u q q +u p", [(1, ["p"]), (1, ["+u"]), (2, ["q"]), (1, ["+u"]), (1, ["p"])]),
    ],
)
def test_folding(texts: str, expected: list[tuple[int, list[str]]]) -> None:
    parts = fold([Step(text=text, has_skip=text.startswith("+")) for text in texts.split()])
    assert [(part.repeats, [step.text for step in part.steps]) for part in parts] == expected


# ------------------------------------------------------------------------------------------------------------- the picture


def extents(picture: Figure) -> tuple[list[tuple[str, Bbox]], list[Bbox], list[Bbox]]:
    """Where every text, box and panel of a picture is, in pixels."""
    picture.draw_without_rendering()
    (axes,) = picture.axes
    texts = [(text.get_text(), text.get_window_extent()) for text in axes.texts if text.get_text()]
    patches = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    boxes, panels = ([patch.get_window_extent() for patch in patches if patch.get_gid() == gid] for gid in ("box", "panel"))
    return texts, boxes, panels


def is_inside(inner: Bbox, outer: Bbox) -> bool:
    return bool(outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1)


def overlap(one: Bbox, other: Bbox) -> bool:
    return bool(one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1)


def check(picture: Figure, num_blocks: int) -> None:
    """Fail unless every text stands in one place of its own, inside its box or outside all, and no boxes overlap."""
    texts, boxes, panels = extents(picture)
    assert len(boxes) == num_blocks + 2
    assert not any(overlap(one, other) for one, other in itertools.combinations(boxes, 2))
    assert all(sum(is_inside(panel, box) for box in boxes) == 1 for panel in panels)
    for text, place in texts:
        assert is_inside(place, picture.bbox), text
        for frame in boxes + panels:
            assert is_inside(place, frame) or not overlap(place, frame), text
    for (text, place), (other, where) in itertools.combinations(texts, 2):
        assert not overlap(place, where), (text, other)


@pytest.mark.long
@pytest.mark.parametrize("size", CASES)
def test_every_text_has_its_place(size: str, built: Built) -> None:
    found = blocks(built(size))
    picture = diagram(f"the network {size}", found, input_shape=SIZES[size][2])
    check(picture, len(found))
    written = " ".join(text.get_text() for text in picture.axes[0].texts)
    for block in found:
        for step in (step for part in block.parts for step in part.steps):
            assert step.text in written, "wrapped, but complete"


def made(**changes: Any) -> Block:
    """A block with a text of every awkward kind."""
    step = Step(text=f"conv 3×3 64, {'long ' * 60}layer, {'unbroken' * 40}, add", has_skip=True)
    values = {
        "title": "stage 1",
        "parts": (Part(repeats=1234, steps=(step, Step(text="relu"))),),
        "output_shape": (12345, 12345, 12345),
        "num_layers": 123_456,
        "parameters": 999_499_999,
        "macs": 0,
    }
    return Block(**{**values, **changes})


def test_awkward_blocks_keep_their_places_too() -> None:
    found = [made(), made(parameters=1, macs=123_456_789_012), made(parts=()), made(output_shape=(7,))]
    picture = diagram("name " * 40, found, input_shape=(48, 48, 1))
    check(picture, 4)
    nothing = [dataclasses.replace(block, parameters=0, macs=0) for block in found]
    check(diagram("nothing to train", nothing, input_shape=(48, 48, 1)), 4)


def test_the_picture_grows_with_the_blocks_and_tells_the_totals() -> None:
    small, large = (diagram("made", [made()] * number, input_shape=(48, 48, 1)) for number in (2, 20))
    assert small.get_size_inches()[0] == large.get_size_inches()[0] == WIDTH
    assert large.get_size_inches()[1] > 5 * small.get_size_inches()[1]
    texts = [text.get_text() for text in small.axes[0].texts]
    assert texts[0] == "made: 2G parameters, 0 multiply-accumulates"
    assert texts.count("999M  (50.0 %)") == 2
    assert "12345 × 12345 × 12345 logits" in texts


# -------------------------------------------------------------------------------------------------------- the command line

COMMAND = ["describe", "cnn", "--set", "width=4", "--set", "batch_norm=false", "--input-shape", "8,8,1", "--num-classes", "7"]


def test_describe_draws_and_says_where(tmp_path: Path) -> None:
    drawn = []
    for name in ("a.png", "new folder/b.SVG"):
        result = CliRunner().invoke(cli, [*COMMAND, "--json", "--diagram", str(tmp_path / name)], catch_exceptions=False)
        assert result.exit_code == 0
        assert json.loads(result.stdout)["files"] == [str(tmp_path / name)]
        drawn.append((tmp_path / name).read_bytes())
    assert drawn[0].startswith(b"\x89PNG")
    assert drawn[1].startswith(b"<?xml") and b"<svg" in drawn[1]
    assert {path.name for path in tmp_path.rglob("*")} == {"a.png", "new folder", "b.SVG"}
    result = CliRunner().invoke(cli, [*COMMAND, "--diagram", str(tmp_path / "b.svg")], catch_exceptions=False)
    assert result.stdout.splitlines()[-1] == str(tmp_path / "b.svg")
    assert (tmp_path / "b.svg").read_bytes() == drawn[1], "equal networks give equal files"
    assert json.loads(CliRunner().invoke(cli, [*COMMAND, "--json"], catch_exceptions=False).stdout)["files"] == []


@pytest.mark.parametrize("name", ["net.pdf", "net", "png", ".png", "net.png.gz"])
def test_another_ending_is_refused_before_anything_is_built(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load", lambda *_: pytest.fail("built"))
    result = CliRunner().invoke(cli, [*COMMAND, "--diagram", str(tmp_path / name)])
    assert result.exit_code == 2
    assert "ends neither in .png nor in .svg; write for example cnn.png." in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"file/net.png cannot be written \(.+\). Give another file with --diagram."):
        CliRunner().invoke(cli, [*COMMAND, "--diagram", str(tmp_path / "file" / "net.png")], catch_exceptions=False)
    (tmp_path / "folder.png").mkdir()
    result = CliRunner().invoke(cli, [*COMMAND, "--diagram", str(tmp_path / "folder.png")])
    assert result.exit_code == 2 and "is a directory" in result.stderr
