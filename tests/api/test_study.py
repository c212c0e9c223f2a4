"""Studies made in Python are those of files: the same identity, the same faults, and files written from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweeper
from sweeper import catalog, owncode
from sweeper.errors import DatasetError, InputError, KnobError, StudyFileError
from sweeper.study import spec
from tests.api.cells import run

SMALL: dict[str, Any] = {"name": "small", "dataset": "digits", "trials": 4, "max_epochs": 2}

CELL = """
    import keras
    from keras import layers

    def mine(input_shape, num_classes, *, width: int = 8, kind: str = "relu"):
        "A convolution, a mean over all places, and a dense layer."
        image = keras.Input(input_shape)
        x = layers.Conv2D(width, 3, padding="same", activation=kind)(image)
        return keras.Model(image, layers.Dense(num_classes)(layers.GlobalAveragePooling2D()(x)))

    def free(input_shape, num_classes, **knobs):
        return mine(input_shape, num_classes, **knobs)
"""


@pytest.fixture(scope="module")
def mine() -> Any:
    return run(CELL)["mine"]


def same(study: sweeper.Study, text: str) -> None:
    """The study is that of a file."""
    with catalog.using(study.code):
        assert study.spec == spec.parse(text)
        assert study.spec.study_id == spec.parse(text).study_id == spec.parse(study.to_yaml()).study_id


def test_every_key_of_a_file_is_an_argument() -> None:
    study = sweeper.Study(
        name="all",
        dataset={"name": "digits", "size": np.int64(16)},
        arms={"cnn": {}, "se": sweeper.arm("resnet", attention="se", points=[{"learning_rate": 0.01}]), "l": "lenet", "vit": {}},
        trials=9,
        max_epochs=3,
        objectives=("max val_accuracy",),
        constraints=["parameters <= 100000"],
        search={"sampler": "tpe", "seed": 3},
        stopping={"rule": "none"},
        confirm={"seeds": 2},
        baseline="cnn",
        training={"deterministic": False},
        resources={"cpus_per_trial": 2},
    )  # fmt: skip
    text = """
name: all
dataset: {name: digits, size: 16}
arms:
  cnn:
  se: {architecture: resnet, fixed: {attention: se}, points: [{learning_rate: 0.01}]}
  l: {architecture: lenet}
  vit: {}
objectives: [max val_accuracy]
constraints: [parameters <= 100000]
budget: {trials: 9, max_epochs: 3}
search: {sampler: tpe, seed: 3}
stopping: {rule: none}
confirm: {seeds: 2}
baseline: cnn
training: {deterministic: false}
resources: {cpus_per_trial: 2}
"""
    same(study, text)
    keys = set(spec.StudySpec.model_fields) - {"budget"} | {"trials", "max_epochs", "ablation", "code"}
    import inspect

    assert set(inspect.signature(sweeper.Study).parameters) == keys


def test_a_list_of_names_and_an_ablation() -> None:
    same(
        sweeper.Study(**SMALL, arms=["cnn", "resnet"]),
        "name: small\ndataset: {name: digits}\narms: {cnn: {}, resnet: {}}\nbudget: {trials: 4, max_epochs: 2}\n",
    )
    ablation = {"baseline": {"architecture": "resnet"}, "changes": {"se": {"attention": "se"}}}
    study = sweeper.Study(name="a", dataset="digits", ablation=ablation, max_epochs=2)
    assert list(study.spec.arms) == ["baseline", "se"] and study.spec.baseline == "baseline"


FAULTS = {
    "a wrong value": ({**SMALL, "arms": {"cnn": {"fixed": {"width": -3}}}}, "arms.cnn.fixed.width: "),
    "an unknown key": ({**SMALL, "arms": {"cnn": {"fix": {}}}}, "arms.cnn.fix: "),
    "an unknown name": ({**SMALL, "arms": ["cnnn"]}, "arms.cnnn.architecture: unknown architecture 'cnnn'. Did you mean 'cnn'?"),
    "no arms": (SMALL, "the key 'arms' is missing."),
    "no trials": ({"name": "small", "dataset": "digits", "arms": ["cnn"], "max_epochs": 2}, "budget: the key 'trials' is missing."),
    "a name": ({**SMALL, "name": "_small", "arms": ["cnn"]}, "name: "),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_those_of_a_file_without_its_lines(case: str) -> None:
    given, said = FAULTS[case]
    with pytest.raises(StudyFileError) as error:
        sweeper.Study(**given)
    assert str(error.value).startswith(f"study '{given['name']}': 1 fault\n  - {said}")
    assert "line " not in str(error.value)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(StudyFileError, match="3 faults"):
        sweeper.Study(name="x", dataset="digit", arms={"cnn": {"fixed": {"width": -3}}}, trials=0, max_epochs=1)


REFUSED = {
    "an object": ({"arms": {"cnn": {"fixed": {"width": object()}}}}, "arms.cnn.fixed.width is <object"),
    "arms of one name": ({"arms": "cnn"}, "arms is 'cnn'"),
    "an arm that is a number": ({"arms": {"cnn": 3}}, "not a int|not an int"),
    "a lambda": ({"arms": {"cnn": lambda: 1}}, "a lambda has no name"),
    "Keras Tuner's build": ({"arms": {"cnn": run("def build(hp): 1")["build"]}}, r"build\(hp\) cannot be an architecture"),
    "a name of the catalog": ({"arms": {"x": run("def cnn(input_shape, classes): 1")["cnn"]}}, "'cnn' exists already .built in."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_down_is_refused(case: str) -> None:
    given, said = REFUSED[case]
    with pytest.raises(InputError, match=said):
        sweeper.Study(**SMALL, **given)
    with pytest.raises(InputError, match="'width' is given twice"):
        sweeper.arm("cnn", fixed={"width": 8}, width=16)


def test_a_function_is_an_architecture_of_its_name(mine: Any) -> None:
    study = sweeper.Study(**SMALL, arms={"own": mine, "narrow": sweeper.arm(mine, width=4), "cnn": {}})
    assert {name: arm.architecture for name, arm in study.spec.arms.items()} == {"own": "mine", "narrow": "mine", "cnn": "cnn"}
    assert study.spec.arms["narrow"].fixed == {"width": 4}
    code = study.code
    assert code is not None and list(code.files) == ["architectures/mine.py"]
    with catalog.using(code):
        assert catalog.summary("architecture", "mine") == "A convolution, a mean over all places, and a dense layer"
        assert catalog.load("architecture", "mine")((8, 8, 1), 3, width=2).output_shape == (None, 3)


def test_a_space_beside_a_function_is_a_file_too(mine: Any) -> None:
    space = {
        "width": sweeper.Int(low=4, high=64, log=True),
        "kind": sweeper.Choice("gelu", "relu"),
        "batch_size": sweeper.Choice(16),
    }
    study = sweeper.Study(**SMALL, arms={"own": sweeper.arm(mine, space=space), "other": sweeper.arm(mine, space=space)})
    assert study.code is not None and sorted(study.code.files) == ["architectures/mine.py", "search_spaces/mine.py"]
    with catalog.using(study.code):
        made = study.spec.space_of("own")
    assert made.model == {
        "width": sweeper.Int(low=4, high=64, log=True, default=8),
        "kind": sweeper.Choice("gelu", "relu", default="relu"),
    }
    assert made.training["batch_size"] == sweeper.Choice(16) and "learning_rate" in made.training

    wide = {"width": sweeper.Int(low=4, high=640, default=32)}
    study = sweeper.Study(**SMALL, arms={"own": sweeper.arm(mine, space=space), "wide": sweeper.arm(mine, space=wide)})
    assert study.code is not None and {"search_spaces/mine_own.py", "search_spaces/mine_wide.py"} < set(study.code.files)
    assert study.spec.arms["wide"].space == "mine_wide"


def test_knobs_without_names_need_a_space() -> None:
    free = run(CELL)["free"]
    space = {"width": sweeper.Int(low=4, high=8, default=8)}
    study = sweeper.Study(**SMALL, arms={"own": sweeper.arm(free, space=space)})
    with catalog.using(study.code):
        assert "width" in study.spec.space_of("own").model


def test_a_space_of_a_built_in_architecture_has_the_arm_in_its_name() -> None:
    space = {
        "num_blocks": sweeper.Choice(2),
        "momentum": sweeper.Float(low=0.5, high=0.9, width=0.5, centre=0.6).when(optimizer="sgd"),
        "warmup_epochs": sweeper.Int(low=0, high=3).when(schedule=("cosine", "constant")),
    }
    study = sweeper.Study(**SMALL, arms={"tiny": sweeper.arm("cnn", space=space, width=8)})
    with catalog.using(study.code):
        made = study.spec.space_of("tiny")
    assert made.training["momentum"] == sweeper.Float(low=0.5, high=0.9, width=0.5, centre=0.6, default=0.9).when(optimizer="sgd")
    assert made.training["warmup_epochs"].condition == ("schedule", ("cosine", "constant"))
    assert study.spec.arms["tiny"].space == "cnn_tiny"


SPACES = {
    "an unknown knob": ({"widht": sweeper.Int(low=1, high=2)}, "unknown knob 'widht'. Did you mean 'width'?"),
    "no knob": ({"width": 3}, "'width' is 3; allowed: sweeper.Int"),
    "a default outside": ({"width": sweeper.Int(low=16, high=32)}, "the default of argument 'width': 8 is outside its range"),
    "a space of another": (sweeper.Space(architecture="cnn"), "belongs to architecture 'cnn', not 'mine'"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPACES)
def test_spaces_that_do_not_go_with_a_function(case: str, mine: Any) -> None:
    space, said = SPACES[case]
    with pytest.raises(InputError) as error:
        sweeper.Study(**SMALL, arms={"own": sweeper.arm(mine, space=space)})
    assert said in str(error.value)


def test_a_number_without_a_default_is_no_knob_of_a_space() -> None:
    with pytest.raises(KnobError, match="'width' has no default"):
        sweeper.Space(architecture="cnn", model={"width": sweeper.Int(low=8, high=16)})


def test_two_functions_of_one_name_are_told_apart(mine: Any) -> None:
    with pytest.raises(InputError, match=r"arms 'a' and 'b' have two functions called mine.*sweeper\.arm\(mine, width=32\)"):
        sweeper.Study(**SMALL, arms={"a": mine, "b": run(CELL)["mine"]})


def test_a_file_and_its_code_are_the_same_study(mine: Any, tmp_path: Path) -> None:
    study = sweeper.Study(**SMALL, arms={"own": sweeper.arm(mine, space={"width": sweeper.Int(low=4, high=8)}), "cnn": {}})
    text = study.to_yaml(tmp_path / "there" / "small.yaml")
    assert text == (tmp_path / "there" / "small.yaml").read_text() and "code: my_code/" in text
    assert "code:" not in study.to_yaml()
    folder = tmp_path / "there" / "my_code"
    again = sweeper.Study.from_yaml(tmp_path / "there" / "small.yaml", code=folder)
    assert again.spec == study.spec and again.code is not None and study.code is not None
    assert again.code.sha256s() == study.code.sha256s()
    assert sweeper.Study.from_yaml(study.to_yaml(), code=folder).spec == study.spec
    with pytest.raises(InputError, match=r"small\.yaml needs the code in .*my_code/, which is run only if you say so.*code='"):
        sweeper.Study.from_yaml(str(tmp_path / "there" / "small.yaml"))
    assert "code: my_code/" in again.to_yaml(tmp_path / "third.yaml"), "it goes along once more"
    assert owncode.read(tmp_path / "my_code").sha256s() == study.code.sha256s()


def test_a_folder_of_code_and_functions_go_together(mine: Any, tmp_path: Path) -> None:
    (tmp_path / "architectures").mkdir()
    (tmp_path / "architectures" / "flat.py").write_text("import keras\n\n\ndef flat(input_shape, num_classes):\n    return 1\n")
    study = sweeper.Study(**SMALL, arms={"own": mine, "flat": {}}, code=tmp_path)
    assert study.code is not None and sorted(study.code.files) == ["architectures/flat.py", "architectures/mine.py"]
    (tmp_path / "architectures" / "mine.py").write_text("def mine(input_shape, num_classes):\n    return 1\n")
    with pytest.raises(InputError, match=r"architectures/mine\.py is there already"):
        sweeper.Study(**SMALL, arms={"own": mine, "flat": {}}, code=tmp_path)


def test_lines_count_in_the_faults_of_a_text() -> None:
    with pytest.raises(StudyFileError, match="line 3: arms"):
        sweeper.Study.from_yaml("name: x\ndataset: {name: digits}\narms: 3\nbudget: {trials: 1, max_epochs: 1}\n")
    with pytest.raises(InputError, match="there is no such file"):
        sweeper.Study.from_yaml("nowhere.yaml")


def test_results_of_a_study_that_was_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="There is no study in results yet"):
        sweeper.Study(**SMALL, arms=["cnn"]).results()
    with pytest.raises(InputError, match=r"unknown option 'num_cpu'\. Did you mean 'num_cpus'\?"):
        sweeper.Study(**SMALL, arms=["cnn"]).run(num_cpu=2)  # type: ignore[call-arg]
    with pytest.raises(InputError, match="address cannot be used with cluster='local', which takes: num_cpus, num_gpus"):
        sweeper.Study(**SMALL, arms=["cnn"]).run(address="x:1")
    assert not (tmp_path / "results").exists()


class TestArrays:
    images = np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8)
    labels = np.arange(40) % 4

    def test_the_same_arrays_are_the_same_study(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        one = sweeper.arrays(self.images, self.labels, class_names="abcd", validation_fraction=0.2)
        two = sweeper.arrays(self.images[..., None], self.labels.astype(float).tolist(), class_names=("a", "b", "c", "d"), validation_fraction=0.2)  # fmt: skip  # noqa: E501
        assert one == two and one["class_names"] == ["a", "b", "c", "d"]
        assert [path.name for path in (tmp_path / "results" / "_arrays").iterdir()] == [Path(one["path"]).name]
        assert sweeper.arrays(self.images + 1, self.labels)["path"] != one["path"]
        study = sweeper.Study(name="own", dataset=one, arms=["cnn"], trials=1, max_epochs=1)
        dataset = catalog.load("dataset", "arrays")(**study.spec.dataset.options)
        assert (
            dataset.train.images.shape == (32, 8, 8, 1) and dataset.class_names == ("a", "b", "c", "d") and not dataset.has_test
        )

    def test_all_splits(self, tmp_path: Path) -> None:
        given = sweeper.arrays(*[self.images, self.labels] * 3, folder=tmp_path)
        dataset = catalog.load("dataset", "arrays")(path=given["path"])
        assert len(dataset.validation) == len(dataset.read_test()) == 40

    @pytest.mark.parametrize(
        ("arrays", "said"),
        [
            ((images, labels[:-1]), "sweeper.arrays, training split: 40 images, but labels of shape"),
            ((images.astype(float), labels), "float32 images must lie between 0 and 1"),
            ((images.astype(int), labels), "images are int64"),
            ((images, labels, images), "lacks y_validation"),
            ((images, labels, None, None, images[:, :4], labels), "test split: images are"),
            ((images, labels.astype(str)), "labels are <U"),
            ((images, labels + 1), "class 0 has no image"),
        ],
    )  # fmt: skip
    def test_faults_are_those_of_a_file(self, arrays: Any, said: str, tmp_path: Path) -> None:
        with pytest.raises(DatasetError) as error:
            sweeper.arrays(*arrays, folder=tmp_path / "new")
        assert said in str(error.value)
        assert not (tmp_path / "new").exists()

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="Give another folder"):
            sweeper.arrays(self.images, self.labels, folder=tmp_path / "file")
