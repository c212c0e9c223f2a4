"""Networks of a user's own: what is taken, what is refused in a sentence, and the checks of ``check-code``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.owncode import Code
from sweeper.training import built, conformance
from sweeper.training.program import structure_key
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("framework")

HEAD = """
import keras
import numpy as np
def mine(input_shape, num_classes, width=4, **knobs):
    image = keras.Input(input_shape)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(width, 3, padding="same")(image))
"""

SEQUENTIAL = """
import keras
def mine(input_shape, num_classes, width=4):
    model = keras.Sequential()
    model.add(keras.layers.Conv2D(width, 3, activation="relu", padding="same"))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(num_classes))
    model.compile(optimizer="adam", loss="mse")
    return model
"""

LAYER = """
import keras, tensorflow as tf
class Mine(keras.layers.Layer):
    def call(self, x):
        return tf.nn.relu(x)
def mine(input_shape, num_classes):
    image = keras.Input(input_shape)
    x = Mine()(keras.layers.Flatten()(image))
    return keras.Model(image, keras.layers.Dense(num_classes)(x))
"""


GOOD = """
import numpy as np
from sweeper import from_arrays

def good():
    return from_arrays("good", np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8), np.arange(40) % 2)
"""

OF_FINE = "from sweeper import Choice, Space\nfine = Space(architecture='fine', model={'deep': Choice(1)})\n"


def code_of(text: str) -> Code:
    return Code(origin="my_code/", files={"architectures/mine.py": text})


def ending(line: str) -> str:
    return f"{HEAD}    {line}\n"


@pytest.mark.parametrize(
    "text",
    [SEQUENTIAL, ending("return keras.Model(image, keras.layers.Dense(num_classes)(x))")],
    ids=["sequential", "functional"],
)
def test_a_plain_function_is_taken_whatever_it_builds_with(text: str) -> None:
    with catalog.using(code_of(text)):
        model = built.network("mine", (8, 8, 1), 5, {"width": 3})
        assert model.built
        assert model.output_shape == (None, 5)
        assert structure_key("mine", {"width": 3, "batch_size": 32}).startswith('["mine", {"width": 3}')
        assert conformance.architecture("mine", [(8, 8, 1)]).findings == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ending("pass"), "mine returns nothing, not a model. End it with: return keras.Model(inputs, outputs)"),
        (ending("return x"), "mine returns a KerasTensor, not a model."),
        (ending("return keras.Model(image, x)"), "mine gives (any, 4), not (any, 5), one number per class. End it with keras."),
        (
            ending("return keras.Model(image, keras.layers.Dense(num_classes, 'softmax')(x))"),
            "mine ends in softmax, but training",
        ),
        (ending("return keras.Model(image, keras.ops.softmax(keras.layers.Dense(num_classes)(x)))"), "mine ends in softmax"),
        (
            ending(
                "inner = keras.Sequential([keras.layers.Dense(num_classes), keras.layers.Softmax()]); "
                "return keras.Model(image, keras.layers.Activation('linear')(inner(x)))"
            ),
            "mine ends in softmax",
        ),
        (ending("return keras.Model(image, keras.layers.Dense(num_classes, 'sigmoid')(x))"), "mine ends in sigmoid"),
        (ending("return type('Own', (keras.Model,), {})()"), "mine returns a Own, which does not show its layers. Build it with"),
        (
            "import keras\ndef mine(s, n):\n    i = keras.Input((4, 4, 1)); x = keras.layers.Flatten()(i)\n"
            "    return keras.Model(i, keras.layers.Dense(n)(x))",
            "mine takes (any, 4, 4, 1), not (any, 8, 8, 1). Begin it with keras.Input(input_shape).",
        ),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(text: str, said: str) -> None:
    with catalog.using(code_of(text)), pytest.raises(KnobError) as caught:
        built.network("mine", (8, 8, 1), 5, {})
    assert str(caught.value).startswith("my_code/architectures/mine.py: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            ending(
                "y = keras.layers.Dense(3, name='unused')(x); x = keras.layers.Concatenate()([x, keras.ops.zeros_like(y)])\n"
                "    return keras.Model(image, keras.layers.Dense(num_classes)(x))"
            ),
            "mine.py: no gradient reaches unused/kernel and unused/bias. Use what these layers give, or leave them out.",
        ),
        (
            ending(
                "w = keras.initializers.Constant(np.random.default_rng().normal(size=(4, num_classes)))\n"
                "    return keras.Model(image, keras.layers.Dense(num_classes, kernel_initializer=w)(x))"
            ),
            "kernel is not the same with the same seed. Draw weights with initialisers of Keras, not with NumPy.",
        ),
        (
            ending(
                "w = keras.initializers.GlorotUniform(seed=3)\n"
                "    return keras.Model(image, keras.layers.Dense(num_classes, kernel_initializer=w)(x))"
            ),
            "kernel ignores the seed. Give its initialiser no seed of its own.",
        ),
        (
            ending("return keras.Model(image, keras.layers.Dense(num_classes)(keras.layers.Rescaling(1 / 255)(x)))"),
            "it rescales its images, which come with a mean of 0 and a deviation of 1 already. Leave the layer out.",
        ),
        (
            ending(
                "y = keras.ops.exp(keras.layers.Dense(num_classes)(x))\n"
                "    return keras.Model(image, y / keras.ops.sum(y, axis=1, keepdims=True))"
            ),
            "it gives probabilities, but training needs the values before softmax (logits). Leave softmax out.",
        ),
        (
            ending("return keras.Model(image, keras.layers.Dense(num_classes)(1e6 * x))"),
            "mine.py: with precision mixed_float16 it gives numbers that are not finite, before any training.",
        ),
        (ending("return 1 / 0"), "my_code/architectures/mine.py, line 7: ZeroDivisionError: division by zero."),
        (
            "import keras\ndef mine(s, n):\n    i = keras.Input(s); x = keras.layers.MaxPooling2D(16)(i)\n"
            "    return keras.Model(i, keras.layers.Dense(n)(keras.layers.Flatten()(x)))",
            "it takes images of 32x32x1, but not of 8x8x1: my_code/architectures/mine.py, line 3: ",
        ),
    ],
)
@pytest.mark.long
def test_each_finding_is_a_sentence(text: str, said: str) -> None:
    with catalog.using(code_of(text)):
        [found] = conformance.architecture("mine", [(32, 32, 1), (8, 8, 1)]).findings
    assert said in found
    assert "\n" not in found


@pytest.mark.long
def test_what_new_writes_passes_check_code(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("new", "architecture", "first")
    assert (code, err) == (0, "")
    assert out.startswith("my_code/architectures/first.py: edit it, then\n")
    code, out, err = run("check-code", "my_code")
    assert (code, out, err) == (0, "my_code/architectures/first.py: no finding\n", "")
    written = (tmp_path / "my_code" / "architectures" / "first.py").read_text()
    assert run("new", "architecture", "first")[0] == 2
    assert (tmp_path / "my_code" / "architectures" / "first.py").read_text() == written, "it is not written over"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet", "the architecture 'resnet' exists already (built in). Choose another name, for example my_resnet."),
        ("my-net", "'my-net' cannot be the name of a function."),
        ("_net", "'_net' cannot be the name of a function."),
        ("class", "'class' cannot be the name of a function."),
    ],
)
def test_a_name_that_cannot_be(name: str, said: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run("new", "architecture", name)
    assert code == 2
    assert said in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_the_command_checks_every_kind(run: Run, tmp_path: Path) -> None:
    Code(
        origin="",
        files={
            "architectures/raises.py": "raise RuntimeError('no')\n",
            "architectures/fine.py": SEQUENTIAL.replace("mine", "fine"),
            "architectures/halved.py": SEQUENTIAL.replace("mine", "halved"),
            "architectures/other.py": "def another(): ...\n",
            "search_spaces/fine.py": OF_FINE,
            "search_spaces/lost.py": "from sweeper import Space\nlost = Space(architecture='nowhere')\n",
            "search_spaces/table.py": "table = {}\n",
            "datasets/asks.py": "def asks(path: str): ...\n",
            "datasets/empty.py": "def empty(): ...\n",
            "datasets/good.py": GOOD,
            "plots/needy.py": "def needy(results, colour): ...\n",
        },
    ).write(tmp_path)
    (tmp_path / "architectures" / "model.pkl").write_bytes(b"\x80\x04")
    code, out, _ = run("check-code", tmp_path, "--input-shape", "8,8,1", "--json")
    facts = json.loads(out)
    assert code == 1
    root = f"{tmp_path}/"
    assert facts["notes"] == [f"{root}: architectures/model.pkl: not read, since only *.py files are."]
    fine = ["architectures/halved.py", "datasets/asks.py", "datasets/good.py"]
    assert [path for path, found in facts["findings"].items() if not found] == fine
    halved = "with precision mixed_float16 or mixed_bfloat16 its logits have half of the digits, too."
    assert facts["told"].pop("architectures/halved.py")[0].startswith(halved)
    assert {path: told for path, told in facts["told"].items() if told} == {
        "datasets/asks.py": ["not read: its option path has no default. sweeper describe-data takes one."],
        "datasets/good.py": ["24 training, 8 validation, 8 test images of 8x8x1, uint8, in 2 classes."],
    }
    name_it = "Name the function like the file, or the file like the function."
    told = {path: found[0].removeprefix(root) for path, found in facts["findings"].items() if found}
    assert told == {
        "architectures/fine.py": "architectures/fine.py: fine has no argument 'deep', which its search space sets.",
        "architectures/other.py": f"architectures/other.py defines no function called other. {name_it}",
        "architectures/raises.py": f"architectures/raises.py defines no function called raises. {name_it}",
        "search_spaces/fine.py": "architectures/fine.py: fine has no argument 'deep', which its search space sets.",
        "search_spaces/lost.py": "search_spaces/lost.py: its architecture 'nowhere' does not exist.",
        "search_spaces/table.py": "search_spaces/table.py: table is a dict. Make it a search space: sweeper.Space(...).",
        "datasets/empty.py": "datasets/empty.py: empty returns nothing. End it with: return sweeper.from_arrays(...)",
        "plots/needy.py": "plots/needy.py: its argument 'colour' has no default, and only the results are given.",
    }


@pytest.mark.long
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_operations_of_tensorflow_are_found_on_any_backend(backend: str, tmp_path: Path) -> None:
    code_of(LAYER).write(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "sweeper", "check-code", str(tmp_path), "--backend", backend, "--input-shape", "8,8,1"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert done.returncode == 1, done.stderr
    first, second = [line for line in done.stdout.splitlines() if line.startswith("  - ")]
    assert "line 2: it imports tensorflow, whose operations belong to that backend alone and cannot be counted." in first
    assert "MACs of layer 'mine' (Mine) cannot be counted" in second or "mine.py, line 8: AttributeError: " in second
