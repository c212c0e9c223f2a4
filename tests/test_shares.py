"""Where parameters sit: by block and kind, and the figure of it."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest

from sweeper import catalog
from sweeper.plots._parameters import frame, parameters
from sweeper.training.measuring.blocks import blocks
from sweeper.training.measuring.measure import inference_network, trainable_parameters
from sweeper.training.measuring.shares import parameter_shares
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("framework")


@pytest.mark.parametrize("name", ["cnn", "resnet", "vit", "swin", "densenet"])
def test_shares_sum_to_the_network(name: str) -> None:
    function = catalog.load("architecture", name)
    model = function((8, 8, 1), 10, **function.tiny)
    shares = parameter_shares(model)
    assert sum(share["parameters"] for share in shares) == trainable_parameters(model)
    assert sum(share["share"] for share in shares) == pytest.approx(1)
    assert "other" not in {share["kind"] for share in shares} or name == "vit", "class token and positions alone are neither"


def test_shares_by_hand() -> None:
    image = keras.Input((4, 4, 1))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3)(image))
    model = keras.Model(image, keras.layers.Dense(5)(keras.layers.Flatten()(x)))
    found = {(share["kind"], share["parameters"]) for share in parameter_shares(model)}
    assert found == {("convolution", 9 * 2 + 2), ("normalisation", 4), ("dense", 8 * 5 + 5)}


def test_the_frame_has_blocks_in_order_and_kinds_beside_each_other() -> None:
    shares = [
        {"block": "stage 1", "kind": "convolution", "parameters": 7, "share": 0.07},
        {"block": "stage 1", "kind": "normalisation", "parameters": 3, "share": 0.03},
        {"block": "head", "kind": "dense", "parameters": 90, "share": 0.9},
    ]
    table = frame(shares)
    assert list(table.index) == ["stage 1", "head"]
    assert table.to_dict("list") == {"convolution": [7, 0], "dense": [0, 90], "normalisation": [3, 0]}
    figure = parameters("a network", shares)
    assert figure.get_suptitle() == "a network: 90 % of 100 parameters are in dense layers"
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["whole network", "stage 1", "head"]
    # Parts long enough have their names on them, and beside each row stands what it has.
    assert [text.get_text() for text in axes.texts] == ["dense 90.0 %", "100", "10 (10.0 %)", "dense 90.0 %", "90 (90.0 %)"]


@pytest.mark.parametrize("name", ["cnn", "resnet", "vit", "densenet", "googlenet"])
def test_no_two_blocks_have_the_same_title(name: str) -> None:
    model = inference_network(catalog.load("architecture", name)((48, 48, 1), 10))
    titles = [block.title for block in blocks(model)]
    assert len(set(titles)) == len(titles), "the frame tells blocks apart by title"


def test_describe_lists_a_variant_whole_and_what_is_other_than_in_it(run: Run) -> None:
    changes = ("attention=none", "stem=small", "dropout=0.2")  # a knob of no variant, one of this one, and one as it has it
    settings = [part for change in ("variant=b0", *changes) for part in ("--set", change)]
    code, out, _ = run("describe", "efficientnet", *settings, "--input-shape", "32,32,3")
    assert code == 0
    lines = ("variant = b0", "attention = none", "stochastic_depth_rate = 0.2", "other than in variant b0: attention, stem")
    for line in lines:
        assert f"  {line}\n" in out
    assert "other than" not in run("describe", "lenet", "--set", "variant=5", "--input-shape", "32,32,1")[1]


def test_two_pictures_need_two_files(run: Run, tmp_path: Path) -> None:
    code, _, err = run("describe", "lenet", "--diagram", tmp_path / "a.png", "--parameters", tmp_path / "." / "a.png")
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert "two pictures cannot have one name; give --diagram, --parameters and --gradient-flow a file each." in err


def test_describe_tells_memory_and_shares_and_draws_them(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(
        "describe", "vgg", "--set", "head=dense", "--input-shape", "16,16,1", "--parameters", "where.png", "--json"
    )  # fmt: skip
    assert code == 0
    facts = json.loads(out)
    assert facts["files"] == ["where.png"]
    assert (tmp_path / "where.png").stat().st_size > 10_000
    assert facts["weights_mb"] * 1e6 == 4 * facts["total_parameters"]
    assert 0 < facts["peak_activation_mb"] < facts["activation_mb"]
    assert sum(share["parameters"] for share in facts["parameter_shares"]) == facts["trainable_parameters"]
    code, out, _ = run("describe", "cnn", "--input-shape", "8,8,1")
    assert code == 0
    assert "activations of one image" in out


def test_a_picture_that_cannot_be_written_is_one_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run("describe", "cnn", "--input-shape", "8,8,1", "--parameters", "file/where.png")
    assert code == 2
    assert "Give another file with --parameters" in err


@pytest.mark.long
def test_describe_times_one_and_thirty_two_images(run: Run) -> None:
    code, out, _ = run("describe", "lenet", "--input-shape", "8,8,1", "--latency", "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["latency_ms"] > 0
    assert facts["latency_ms_batch32"] > 0
