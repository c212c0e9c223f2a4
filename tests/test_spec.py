"""The study file: what it may say, one report of everything wrong with it, and nothing else whatever it holds."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweeper import catalog, spec, strict_yaml
from sweeper.catalog import Parameter
from sweeper.errors import MOST_FAULTS, InputError, LedgerError, StudyFileError
from sweeper.space import TRAINING, Choice, Float, Int, Knob, Space
from sweeper.spec import StudySpec, parse, parse_stored, parse_value

STUDIES = sorted((Path(__file__).parents[1] / "studies").glob("*.yaml"))

MINIMAL = """\
name: mine
dataset: {name: digits}
arms:
  cnn:
budget: {trials: 4, max_epochs: 3}
"""


def faults(text: str) -> list[str]:
    """Every fault of a text, in order."""
    with pytest.raises(StudyFileError) as caught:
        parse(text, "study.yaml")
    assert caught.value.exit_code == 2
    return list(caught.value.faults)


def fault(text: str) -> str:
    """The only fault of a text."""
    found = faults(text)
    assert len(found) == 1, found
    return found[0]


def with_name(name: str) -> str:
    return MINIMAL.replace("name: mine", f"name: {name}")


def with_arm(arm: str) -> str:
    """The minimal study with this line in place of its arm."""
    return MINIMAL.replace("  cnn:", f"  {arm}")


def with_fixed(fixed: str, arm: str = "cnn") -> str:
    return with_arm(f"{arm}: {{fixed: {{{fixed}}}}}")


# -------------------------------------------------------------------------------------------------------- valid studies


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_ready_studies_are_valid(path: Path) -> None:
    study = spec.load(path)
    assert study.name == path.stem
    assert parse(study.to_yaml()) == study
    assert path.read_text(encoding="utf-8").startswith(f"# sweeper launch studies/{path.name}")


def test_everything_left_out_is_filled_in() -> None:
    study = parse(MINIMAL)
    assert study.model_dump() == {
        "name": "mine",
        "dataset": {
            "name": "digits",
            "size": 8,
            "validation_fraction": 0.2,
            "test_fraction": 0.2,
            "split_seed": 0,
            "fraction": 1.0,
        },
        "arms": {"cnn": {"architecture": "cnn", "space": "cnn", "fixed": {}}},
        "objectives": ("max val_accuracy", "min parameters"),
        "budget": {"trials": 4, "max_epochs": 3},
        "search": {"sampler": "tpe", "allocation": "equal", "seed": 0},
        "stopping": {"rule": "asha", "grace_epochs": 1, "reduction_factor": 3},
        "training": {"backend": "tensorflow", "precision": "float32", "deterministic": True},
        "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0.0},
    }
    assert study.goals == (("max", "val_accuracy"), ("min", "parameters"))
    assert study.dataset.options == {
        "size": 8,
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
        "split_seed": 0,
        "fraction": 1.0,
    }
    assert study.space_of("cnn").architecture == "cnn"


@pytest.mark.parametrize("arm", ["cnn:", "cnn: {}", "cnn: {fixed: }", "cnn: {architecture: cnn}", "cnn: {space: cnn, fixed: {}}"])
def test_an_arm_may_say_as_little_as_its_name(arm: str) -> None:
    assert parse(with_arm(arm)) == parse(MINIMAL)


def test_an_empty_section_has_its_defaults() -> None:
    assert parse(MINIMAL + "search:\nstopping:\n  # rule: none\ntraining: {}\nresources:\n") == parse(MINIMAL)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("learning_rate: 1e-3", 0.001),
        ("learning_rate: 1E-3", 0.001),
        ("learning_rate: .001", 0.001),
        ("learning_rate: +1.e-3", 0.001),
        ("num_blocks: 03", 3),
        ("num_blocks: +3", 3),
        ("batch_norm: true", True),
        ("batch_norm: FALSE", False),
        ("attention: se", "se"),
        ("attention: 'se'", "se"),
    ],
)
def test_numbers_and_truth_values_are_those_of_yaml_1_2(written: str, value: Any) -> None:
    fixed = parse(with_fixed(written)).arms["cnn"].fixed
    assert list(fixed.values()) == [value]
    assert type(next(iter(fixed.values()))) is type(value)


@pytest.mark.parametrize(
    "word", ["yes", "no", "on", "off", "y", "NO", "2024-01-31", "1:30", "0x10", "1_000", "0b1", "1e", "-", "tRUE"]
)
def test_what_other_readers_take_for_something_else_is_text(word: str) -> None:
    assert strict_yaml.read(f"key: {word}" if word != "-" else "key: '-'").data == {"key": word}


def test_octal_looking_numbers_are_decimal() -> None:
    assert strict_yaml.read("[010, 08, 0017, -010]").data == [10, 8, 17, -10]
    assert parse(MINIMAL.replace("trials: 4", "trials: 010")).budget.trials == 10


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_endings_and_a_byte_order_mark_do_not_matter(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", ending).encode())
    assert spec.load(path) == parse(MINIMAL)


# ---------------------------------------------------------------------------------------------- identity and round trip


def test_the_id_depends_on_what_is_said_and_not_on_how() -> None:
    study = parse(MINIMAL + "search: {seed: 3, sampler: random}\nstopping: {rule: none}\n")
    again = parse(
        """
        # the same, written by somebody else
        stopping:
            rule: 'none'
        search: {"sampler": random, seed: 03}
        budget:
            max_epochs: 3
            trials: +4
        arms: {cnn: {space: cnn, architecture: cnn}}
        dataset: {test_fraction: 2e-1, name: digits, size: 8}
        resources: {gpus_per_trial: 0}
        name: "mine"
        """
    )
    assert again.study_id == study.study_id
    assert again.canonical() == study.canonical()
    assert spec.differences(study, again) == []
    assert re.fullmatch(r"[0-9a-f]{16}", study.study_id)


def test_the_order_of_arms_says_nothing() -> None:
    forth = parse(MINIMAL.replace("  cnn:", "  cnn:\n  vit:\n  resnet:").replace("trials: 4", "trials: 11"))
    back = parse(MINIMAL.replace("  cnn:", "  resnet:\n  vit:\n  cnn:").replace("trials: 4", "trials: 11"))
    assert forth.study_id == back.study_id
    assert {arm: forth.trials_of(arm) for arm in forth.arms} == {arm: back.trials_of(arm) for arm in back.arms}
    assert sum(forth.trials_of(arm) for arm in forth.arms) == 11


def test_one_number_has_one_type() -> None:
    """0 and 0.0 for a share, 2 and 2.0 for an option are one study: the id follows the meaning."""
    for whole, real in (("dropout: 0", "dropout: 0.0"), ("label_smoothing: 0", "label_smoothing: 0.0")):
        assert parse(with_fixed(whole)).study_id == parse(with_fixed(real)).study_id
    assert parse(with_fixed("mlp_ratio: 2", "vit")).study_id == parse(with_fixed("mlp_ratio: 2.0", "vit")).study_id
    assert parse(with_fixed("width: 32.0")).arms["cnn"].fixed == {"width": 32}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("name: other", "name: mine -> other"),
        ("budget: {trials: 5, max_epochs: 3}", "budget.trials: 4 -> 5"),
        ("search: {seed: 1}", "search.seed: 0 -> 1"),
        ("objectives: [max val_accuracy]", "objectives: ['max val_accuracy', 'min parameters'] -> ['max val_accuracy']"),
        ("arms: {cnn: {fixed: {width: 16}}}", "arms.cnn.fixed.width: (absent) -> 16"),
        ("dataset: {name: digits, size: 9}", "dataset.size: 8 -> 9"),
        ("training: {deterministic: false}", "training.deterministic: True -> False"),
    ],
)
def test_the_id_changes_with_the_content(change: str, line: str) -> None:
    content = {**yaml.safe_load(MINIMAL), **yaml.safe_load(change)}
    study, changed = parse(MINIMAL), parse(yaml.safe_dump(content))
    assert changed.study_id != study.study_id
    assert line in spec.differences(study, changed)


def test_grids_leave_other_studies_as_they_were() -> None:
    """Ids and stored files from before there were grids."""
    study = parse(MINIMAL)
    assert json.loads(study.canonical())["search"] == {"sampler": "tpe", "allocation": "equal", "seed": 0}
    assert "grid_points" not in study.to_yaml()
    assert spec.parse_stored(study.to_yaml(), "stored").study_id == study.study_id


def test_a_grid_has_three_points_unless_it_says_otherwise() -> None:
    study = parse(MINIMAL + "search: {sampler: grid}\n")
    assert study.search.grid_points == 3
    assert "grid_points: 3" in study.to_yaml()
    assert parse(study.to_yaml()) == spec.parse_stored(study.to_yaml(), "stored") == study
    assert parse(MINIMAL + "search: {sampler: grid, grid_points: 3}\n").study_id == study.study_id
    other = parse(MINIMAL + "search: {sampler: grid, grid_points: 5}\n")
    assert other.study_id != study.study_id
    assert spec.differences(study, other) == ["search.grid_points: 3 -> 5"]
    assert other.grid_of("cnn") is not None
    assert parse(MINIMAL).grid_of("cnn") is None


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (
            "{sampler: tpe, grid_points: 3}",
            "only a grid has them, and the sampler is tpe. Leave them out, or write sampler: grid.",
        ),
        ("{grid_points: 3}", "only a grid has them, and the sampler is tpe."),
        ("{sampler: grid, grid_points: 1}", "1 is outside its range; allowed: at least 2."),
        ("{sampler: grid, grid_points: 0}", "0 is outside its range; allowed: at least 2."),
        ("{sampler: grid, grid_points: 101}", "101 is outside its range; allowed: at most 100."),
        ("{sampler: grid, grid_points: 2.5}", "2.5 is a number; allowed: a whole number."),
        ("{sampler: grid, grid_points: true}", "true is a truth value; allowed: a whole number."),
    ],
)
def test_points_of_a_grid(search: str, said: str) -> None:
    found = fault(MINIMAL + f"search: {search}\n")
    assert found.startswith("line 6: search.grid_points: ")
    assert said in found


def test_a_misspelt_sampler_is_the_only_fault() -> None:
    assert "search.sampler: 'gird' is not one of its values. Did you mean 'grid'?" in fault(
        MINIMAL + "search: {sampler: gird, grid_points: 3}\n"
    )


SMALL = """\
name: mine
dataset: {name: digits}
arms:
  small:
    architecture: resnet
    space: resnet_published
    fixed: {variant: "18", optimizer: adam, schedule: cosine, batch_size: 32}
  large: {architecture: cnn}
budget: {trials: TRIALS, max_epochs: 3}
search: {sampler: grid, grid_points: POINTS}
"""


@pytest.mark.parametrize(
    ("fixed", "points", "size", "default", "most"),
    [
        ("", 2, 4, "one trial more", 11),  # learning rates x label smoothings, the default rate not among them
        (", learning_rate: 0.001", 4, 4, "one of them", 9),  # no smoothing is the default
    ],
)
def test_more_trials_than_points_are_refused(fixed: str, points: int, size: int, default: str, most: int) -> None:
    text = SMALL.replace("POINTS", str(points)).replace("batch_size: 32", f"batch_size: 32{fixed}")
    assert parse(text.replace("TRIALS", str(most))).budget.trials == most
    share = most // 2 + 1
    assert fault(text.replace("TRIALS", str(most + 1))) == (
        f"line 9: budget.trials: arm 'small' would get {share} trials, but its grid has {size} points; its default configuration "
        f"is {default}. Allowed: at most {most} trials in all. Lower it, raise search.grid_points, or fix fewer knobs."
    )


def test_faults_of_an_arm_hide_its_grid() -> None:
    wrong = SMALL.replace("POINTS", "2").replace("TRIALS", "100")
    for old, new in (("architecture: resnet", "architecture: 3"), ("space: resnet_published", "space: [a]"), ("adam", "adma")):
        assert not [text for text in faults(wrong.replace(old, new)) if "budget" in text]


def fixed_values(arm: str) -> st.SearchStrategy[dict[str, Any]]:
    """Fixed values of an arm: any knobs of its space that need no other, anywhere in their range."""
    space = catalog.load("space", arm)

    def values(knob: Knob) -> st.SearchStrategy[Any]:
        if isinstance(knob, Choice):
            return st.sampled_from(knob.options)
        if isinstance(knob, Int):
            return st.integers(knob.low, knob.high)
        assert isinstance(knob, Float)
        return st.floats(knob.low, knob.high)

    free = {name: values(knob) for name, knob in space.knobs.items() if knob.condition is None}
    return st.fixed_dictionaries({}, optional=free)


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    """The content of a valid study file."""
    names = draw(st.lists(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,39}", fullmatch=True), min_size=1, max_size=4, unique=True))
    arms = {}
    for name in names:
        space = draw(st.sampled_from([name for name in catalog.names("space") if catalog.load("space", name).architecture]))
        architecture = catalog.load("space", space).architecture
        arms[name] = {"architecture": architecture, "space": space, "fixed": draw(fixed_values(space))}
    epochs = draw(st.integers(1, 1000))
    goals = st.sampled_from(["max val_accuracy", "min val_loss", "min train_loss", "max train_accuracy"])
    optional = {
        "objectives": st.tuples(goals, st.sampled_from(["min parameters", "min macs"])).map(list),
        "search": st.fixed_dictionaries(
            {},
            optional={
                "sampler": st.sampled_from(["tpe", "random", "qmc"]),
                "recipe": st.just("augmentation"),
                "seed": st.integers(0, 2**63 - 1),
            },
        ),
        "stopping": st.fixed_dictionaries(
            {}, optional={"rule": st.sampled_from(["asha", "none"]), "grace_epochs": st.integers(1, epochs)}
        ),
        "training": st.fixed_dictionaries(
            {}, optional={"deterministic": st.booleans(), "backend": st.sampled_from(["jax", "torch"])}
        ),
        "resources": st.fixed_dictionaries({}, optional={"gpus_per_trial": st.floats(0, 1) | st.integers(0, 64)}),
    }
    # Texts that a looser reader takes for numbers, truth values or dates, or that need quotes.
    tricky = st.sampled_from(
        ["1e-3", "010", "yes", "null", "~", "2024-01-31", "a: b", "# a", "- a", "*a", "&a", "!a", " a ", "ü\u2028", "="]
    )
    dataset = st.fixed_dictionaries(
        {"name": st.just("arrays"), "path": (tricky | st.text(st.characters(exclude_categories=["C"]))).filter(bool)}
    )
    return {
        "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", fullmatch=True)),
        "dataset": draw(st.just({"name": "digits"}) | dataset),
        "arms": arms,
        "budget": {"trials": draw(st.integers(len(arms), 1000)), "max_epochs": epochs},
        **draw(st.fixed_dictionaries({}, optional=optional)),
    }


@settings(max_examples=60)
@given(contents())
def test_a_resolved_study_reads_back_as_itself(content: dict[str, Any]) -> None:
    study = parse(strict_yaml.write(content))
    again = parse(study.to_yaml())
    assert again == study
    assert again.study_id == study.study_id
    assert again.to_yaml() == study.to_yaml()
    assert spec.differences(study, again) == []
    assert sum(study.trials_of(arm) for arm in study.arms) == study.budget.trials


WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]))
WRITABLE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab1~-: #e'\"", max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(WRITABLE)
@example({"a": "1e-3", "1e3": ["010", "yes", "", "null"]})
def test_what_is_written_reads_back_unchanged(data: Any) -> None:
    reading = strict_yaml.read(strict_yaml.write(data))
    assert reading.faults == []
    assert reading.data == data
    assert repr(reading.data) == repr(data), "types too"


# -------------------------------------------------------------------------------------------------------- what is wrong

WRONG = """\
name: ../mine
nmae: typo
dataset: {name: digits, sise: 8, split_seed: true}
arms:
  cnn: {architecure: cnn, fixed: {widht: 32, width: 33, dropout: lots, num_blocks: true, kernel_size: [3]}}
  resnett: {}
  vit: {space: vti}
  mixed: {architecture: resnet, space: cnn}
  listed: [cnn]
  numbered: {architecture: 3}
  hidden: {architecture: cnn, fixed: {squeeze_ratio: 8, attention: none}}
  9lives: {architecture: cnn}
objectives: [max val_acuracy, val_loss, min val_accuracy, 3]
budget: {trials: 3, max_epochs: -3, epochs: 3}
search: {sampler: tpee, seed: -1}
stopping: {rule: ashaa, reduction_factor: 1, grace_epochs: 1.5}
training: {backend: tensorflo, deterministic: yes}
resources: {cpus_per_trial: true, gpus_per_trial: -0.5}
budgte: {}
name: again
"""


def test_everything_wrong_is_said_at_once_each_with_its_line_and_a_way_out() -> None:
    found = faults(WRONG)
    expected = [
        ("line 2: nmae: unknown key", "Did you mean 'name'?"),
        ("line 3: dataset.sise: unknown option of dataset digits 'sise'", "Did you mean 'size'?"),
        ("line 3: dataset.split_seed: true is a truth value", "allowed: a whole number."),
        ("line 5: arms.cnn.architecure: unknown key", "Did you mean 'architecture'?"),
        ("line 5: arms.cnn.fixed.dropout: 'lots' is not a number", "allowed: 0 to 0.5"),
        ("line 5: arms.cnn.fixed.kernel_size: it is a list", "allowed: a number, text, true or false."),
        ("line 5: arms.cnn.fixed.num_blocks: true is not a whole number", "allowed: 2 to 4"),
        ("line 5: arms.cnn.fixed.widht: unknown knob 'widht'", "Did you mean 'width'?"),
        ("line 5: arms.cnn.fixed.width: 33 is not one of its options", "allowed: 16, 32, 48."),
        ("line 6: arms.resnett.architecture: unknown architecture 'resnett'", "Did you mean 'resnet'?"),
        ("line 7: arms.vit.space: unknown space 'vti'", "Did you mean 'vit'?"),
        ("line 8: arms.mixed.space: space 'cnn' belongs to architecture 'cnn', not 'resnet'.", ""),
        ("line 9: arms.listed: it is a list", "allowed: keys and values."),
        ("line 10: arms.numbered.architecture: 3 is a whole number", "allowed: text."),
        ("line 11: arms.hidden.fixed.squeeze_ratio: exists only when 'attention' is se", "here 'attention' is fixed to none."),
        ("line 12: arms.9lives: '9lives' cannot be the name of an arm", "allowed: 1 to 40 letters"),
        ("line 13: objectives[0]: unknown column 'val_acuracy'", "Did you mean 'val_accuracy'?"),
        ("line 13: objectives[1]: 'val_loss' is no objective", "Did you mean 'min val_loss'?"),
        ("line 13: objectives[2]: 'min val_accuracy' would look for the worst", "write 'max val_accuracy'."),
        ("line 13: objectives[3]: 3 is a whole number", "allowed: text."),
        ("line 14: budget.epochs: unknown key", "Did you mean 'max_epochs'?"),
        ("line 14: budget.max_epochs: -3 is outside its range", "allowed: at least 1."),
        ("line 14: budget.trials: 3 trials cannot be split over 8 arms", "allowed: 8 or more."),
        ("line 15: search.sampler: 'tpee' is not one of its values", "Did you mean 'tpe'?"),
        ("line 15: search.seed: -1 is outside its range", "allowed: at least 0."),
        ("line 16: stopping.grace_epochs: 1.5 is a number", "allowed: a whole number."),
        ("line 16: stopping.reduction_factor: 1 is outside its range", "allowed: at least 2."),
        ("line 16: stopping.rule: 'ashaa' is not one of its values", "Did you mean 'asha'?"),
        ("line 17: training.backend: 'tensorflo' is not one of its values", "Did you mean 'tensorflow'?"),
        ("line 17: training.deterministic: 'yes' is text", "allowed: true or false."),
        ("line 18: resources.cpus_per_trial: true is a truth value", "allowed: a whole number."),
        ("line 18: resources.gpus_per_trial: -0.5 is outside its range", "allowed: at least 0"),
        ("line 19: budgte: unknown key", "Did you mean 'budget'?"),
        ("line 20: name: the key stands twice; keep one.", ""),
    ]
    for beginning, end in expected:
        assert any(text.startswith(beginning) and end in text for text in found), (beginning, end, found)
    assert len(found) == len(expected), [text for text in found if not any(text.startswith(start) for start, _ in expected)]
    assert found == sorted(found, key=lambda text: int(text.split(":")[0].removeprefix("line ")))
    for text in found:
        assert not re.search(r"<class|NoneType|\bTrue\b|\bFalse\b|\bNone\b|Input should|pydantic|dict|\bstr\b|\bint\b", text), (
            text
        )


def test_the_message_counts_names_the_file_and_does_not_flood() -> None:
    with pytest.raises(StudyFileError) as caught:
        parse(WRONG, "my/study.yaml")
    assert str(caught.value).splitlines()[0] == f"my/study.yaml: {len(caught.value.faults)} faults"
    with pytest.raises(StudyFileError) as caught:
        parse("".join(f"key{number}: 1\n" for number in range(5000)))
    lines = str(caught.value).splitlines()
    assert len(lines) == MOST_FAULTS + 2
    assert lines[0] == "study: 5,004 faults"
    assert lines[-1] == "  and 4,904 more"


@pytest.mark.parametrize(
    "name", ["../mine", "a/b", "/etc/passwd", '""', "x" * 200, "'ünï'", "-x", "_x", ".", "..", "a.b", "'a b'", "'a\n'", "'C:'"]
)
def test_a_name_that_is_no_safe_folder_is_refused(name: str) -> None:
    found = fault(with_name(name))
    assert found.startswith("line 1: name: '")
    assert "cannot be the name of a study; allowed: 1 to 63 letters (a to z), digits, '_' and '-'" in found
    assert len(found) < 250


@pytest.mark.parametrize("name", ["../mine", "a/b", "-x", "1", "x" * 41, "''", "ünï", "a.b", "<<"])
def test_so_is_the_name_of_an_arm(name: str) -> None:
    found = fault(with_arm(f"? {name}\n  : {{architecture: cnn}}"))
    assert "cannot be the name of an arm; allowed: 1 to 40 letters (a to z), digits and '_'" in found


@pytest.mark.parametrize("name", ["int", "str", "float", "bool", "fixed", "space", "name", "null", "true"])
def test_arms_may_be_called_like_words_of_the_reader(name: str) -> None:
    assert parse(with_arm(f"{name}: {{architecture: cnn}}")).arms[name].space == "cnn"
    assert fault(with_arm(f"{name}: {{architecture: cnn, fixed: {{width: []}}}}")).startswith(
        f"line 4: arms.{name}.fixed.width: it is a list"
    )
    assert fault(with_arm(f"{name}: {{architecture: cnn, spcae: cnn}}")).startswith(f"line 4: arms.{name}.spcae: unknown key.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MINIMAL.replace("trials: 4", "trials: true"), "line 5: budget.trials: true is a truth value; allowed: a whole number."),
        (MINIMAL.replace("trials: 4", "trials: 4.0"), "line 5: budget.trials: 4.0 is a number; allowed: a whole number."),
        (MINIMAL.replace("trials: 4", "trials: '4'"), "line 5: budget.trials: '4' is text; allowed: a whole number."),
        (MINIMAL.replace("trials: 4", "trials:"), "line 5: budget.trials: it is empty; allowed: a whole number."),
        (MINIMAL.replace("trials: 4", "trials: 0"), "line 5: budget.trials: 0 is outside its range; allowed: at least 1."),
        (MINIMAL.replace("trials: 4", "trials: 9999999"), "allowed: at most 1000000."),
        (
            MINIMAL.replace("trials: 4", "trials: " + "9" * 5000),
            "line 5: budget.trials: a whole number of 5000 digits; allowed: at most 20.",
        ),
        (MINIMAL.replace("trials: 4", "trials: 1e999"), "line 5: budget.trials: 1e999 is not a finite number."),
        (
            with_arm("resnet: {fixed: {variant: '50'}}"),
            "arms.resnet.fixed.variant: space 'resnet' sets every size itself, so a published one would have no effect. "
            "Use space: resnet_published.",
        ),
        (
            with_arm("resnet: {space: resnet_published, fixed: {variant: 50}}"),
            'arms.resnet.fixed.variant: 50 is a whole number; allowed: text. Put it in quotes: "50".',
        ),
        (
            MINIMAL + "resources: {gpus_per_trial: 1.5}",
            "resources.gpus_per_trial: 1.5 GPUs cannot be given; allowed: a part of one (0.5), or a whole number.",
        ),
        (
            MINIMAL + "stopping: {grace_epochs: 9}",
            "line 6: stopping.grace_epochs: 9 is more than budget.max_epochs; allowed: 1 to 3.",
        ),
        (MINIMAL.replace("  cnn:", "  cnn:\n  vit:").replace("trials: 4", "trials: 1"), "1 trial cannot be split over 2 arms"),
        (with_fixed("dropout: .nan"), "line 4: arms.cnn.fixed.dropout: .nan is not a finite number."),
        (with_fixed("dropout: -.inf"), "line 4: arms.cnn.fixed.dropout: -.inf is not a finite number."),
        (with_fixed("dropout: 0.6"), "line 4: arms.cnn.fixed.dropout: 0.6 is outside its range; allowed: 0 to 0.5."),
        (with_fixed("num_blocks: 3.0"), "line 4: arms.cnn.fixed.num_blocks: 3.0 is not a whole number; allowed: 2 to 4."),
        (with_fixed("width:"), "line 4: arms.cnn.fixed.width: it is empty; allowed: a number, text, true or false."),
        (
            with_fixed("width: {low: 3}"),
            "line 4: arms.cnn.fixed.width: it is keys and values; allowed: a number, text, true or false.",
        ),
        (with_fixed("batch_norm: yes"), "arms.cnn.fixed.batch_norm: 'yes' is not one of its options; allowed: true, false."),
        (with_fixed("attention: true"), "arms.cnn.fixed.attention: true is not one of its options; allowed: none, se."),
        (with_fixed("variant: 50", "resnet"), "variant: 50 is a whole number; allowed: text. Put it in quotes: '50'."),
        (with_fixed("momentum: 0.9", "vit"), "exists only when 'optimizer' is sgd; this space never makes it that."),
        (with_fixed("momentum: 0.9, optimizer: adam"), "exists only when 'optimizer' is sgd; here 'optimizer' is fixed to adam."),
        (with_fixed("dense_units: 64, head: average"), "exists only when 'head' is flatten; here 'head' is fixed to average."),
        (with_arm("cnn: 3"), "line 4: arms.cnn: 3 is a whole number; allowed: keys and values."),
        (with_arm("cnn: {fixed: [1]}"), "line 4: arms.cnn.fixed: it is a list; allowed: keys and values."),
        (with_arm("'_blocks': {architecture: __init__}"), "unknown architecture '__init__'. Allowed: "),
        (with_arm("[a]: 1"), "line 4: arms: a key must be a word"),
        (MINIMAL.replace("arms:\n  cnn:", "arms: {}"), "line 3: arms: it is empty; at least one is needed."),
        (MINIMAL.replace("arms:\n  cnn:", "arms:"), "line 3: arms: it is empty; allowed: keys and values."),
        (MINIMAL.replace("arms:\n  cnn:", "arms: [cnn]"), "Write one line per arm, for example '  cnn: {}'."),
        (
            MINIMAL.replace("{name: digits}", "digits"),
            "line 2: dataset: 'digits' is text; allowed: keys and values. Write {name: digits}.",
        ),
        (MINIMAL.replace("{name: digits}", "{size: 8}"), "line 2: dataset: the key 'name' is missing."),
        (
            MINIMAL.replace("{name: digits}", "{name: digit}"),
            "line 2: dataset.name: unknown dataset 'digit'. Did you mean 'digits'?",
        ),
        (
            MINIMAL.replace("{name: digits}", "{name: arrays}"),
            "line 2: dataset: the key 'path' is missing: dataset arrays needs it.",
        ),
        (
            MINIMAL.replace("{name: digits}", "{name: arrays, path: a, class_names: [a, 3]}"),
            "dataset.class_names: item 2: 3 is a whole number",
        ),
        (
            MINIMAL.replace("{name: digits}", "{name: arrays, path: a, class_names: a}"),
            "'a' is text; allowed: a list, each item text.",
        ),
        (MINIMAL + "objectives: max val_accuracy", "'max val_accuracy' is text; allowed: a list. Write [max val_accuracy]."),
        (MINIMAL + "objectives: []", "line 6: objectives: it is empty; at least one is needed."),
        (MINIMAL + "objectives: [min macs]", "objectives[0]: 'macs' cannot be the first objective"),
        (MINIMAL + "objectives: [min val_loss, min val_loss]", "objectives[1]: 'val_loss' stands twice; keep one."),
        (
            MINIMAL + "objectives: [best val_loss]",
            "objectives[0]: 'best val_loss' is no objective; write 'max COLUMN' or 'min COLUMN'",
        ),
        (MINIMAL + "model_config: 1", "line 6: model_config: unknown key."),
        (MINIMAL + "<<: {seed: 1}", "line 6: '<<': unknown key."),
        (MINIMAL + '"\\e[31m": 1', "line 6: a key holds the control character U+001B."),
        (with_name('"a\\0b"'), "line 1: name: holds the control character U+0000."),
        (MINIMAL.replace("digits}", 'arrays, path: "a\\ud800"}'), "line 2: dataset.path: holds the control character U+D800."),
    ],
)
def test_a_single_fault_is_one_sentence_in_its_place(text: str, said: str) -> None:
    found = faults(text)
    assert any(said in one for one in found), found
    assert len(found) <= 2


def test_a_missing_key_is_named() -> None:
    assert faults("name: mine") == [f"line 1: the key '{key}' is missing." for key in ("arms", "budget", "dataset")]
    assert fault(MINIMAL.replace("trials: 4, ", "")) == "line 5: budget: the key 'trials' is missing."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty; a study needs at least name, dataset, arms and budget."),
        ("# one\n\n# two\n", "the file is empty"),
        ("---\n", "the file is empty"),
        ("null", "the file is empty"),
        ("- name: mine\n", "the file holds a list instead of keys and values"),
        ("mine", "the file holds text instead of keys and values"),
        ("3", "the file holds a whole number instead of keys and values"),
        (with_name("a: b"), "line 1: this is not valid YAML (column 8): a ':' that cannot stand here"),
        (with_arm("\tcnn:"), "line 4: this is not valid YAML (column 3): a tab; indent with spaces."),
        (MINIMAL + "search: {seed: 1", "line 6: this is not valid YAML (column 17): a bracket without its '}'."),
        (MINIMAL + 'search: "open', "line 6: this is not valid YAML (column 14): a quote that is never closed."),
        (MINIMAL + " search: 1", "line 6: this is not valid YAML (column 2): this does not fit the lines before it"),
        (MINIMAL + "x: `a`", "line 6: this is not valid YAML (column 4): text that begins with '`'; put it in quotes."),
        (MINIMAL + "---\n" + MINIMAL, "line 6: this is not valid YAML (column 1): a second document ('---'); a file holds one"),
        (MINIMAL + "a: &a [x, x]\nb: &b [*a, *a]\n", "line 6: anchors (&) are not allowed"),
        (MINIMAL + "a: *a\n", "line 6: aliases (*) are not allowed"),
        (MINIMAL + "!!python/object/apply:os.system ['true']: 1", "line 6: tags (!) are not allowed"),
        (MINIMAL + "a: !!str b", "line 6: tags (!) are not allowed"),
        (MINIMAL + "a: a\0b", "line 6: the character U+0000, which no text holds"),
        (MINIMAL + 'a: "\\UFFFFFFFF"', "an escape that stands for no character"),
        (f"%YAML {'9' * 5000}.1\n---\na: b", "an odd %YAML line"),
        ("[" * 10_000, "line 1: nested more than 20 levels deep; a study has five."),
        ("[" * 10_000 + "]" * 10_000, "nested more than 20 levels deep"),
        ("{a: " * 10_000, "nested more than 20 levels deep"),
        ("- " * 10_000, "nested more than 20 levels deep"),
        ("\n".join(" " * depth + "a:" for depth in range(1000)), "line 20: nested more than 20 levels deep"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_study_at_all(text: str, said: str) -> None:
    assert said in fault(text)


def test_a_bomb_is_refused_in_no_memory() -> None:
    layers = ["a0: &a0 [boom, boom, boom, boom, boom, boom, boom, boom, boom]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    tracemalloc.start()
    try:
        assert "anchors (&) are not allowed" in fault("\n".join(layers))
        assert "nested more than 20 levels" in fault("[" * 900_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def test_a_tag_is_never_acted_on(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for tag in (
        "!!python/object/apply:os.system",
        "!!python/object/apply:subprocess.check_output",
        "!!python/object/new:os.system",
    ):
        fault(f"{tag} ['touch {trace}']")
        fault(MINIMAL + f"x: {tag} ['touch {trace}']")
    assert not trace.exists()


# ---------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (random.Random(0).randbytes(5000), "this is not a text file; a study file is YAML in UTF-8."),
        (gzip.compress(MINIMAL.encode(), mtime=0), "this is not a text file"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "this is not a text file"),
        (MINIMAL.encode("utf-16"), "this is text in UTF-16; save it in UTF-8."),
        (MINIMAL.encode("utf-16-be"), "the character U+0000"),
        (MINIMAL.replace("mine", "ünï").encode("latin-1"), "this is not a text file"),
        (b"\0" * 100, "the character U+0000"),
        (b"", "the file is empty"),
        (b"#" * 100_001, "the file is larger than 100,000 bytes; a study file is small text."),
    ],
)
def test_a_file_that_is_no_text(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(data)
    with pytest.raises(StudyFileError) as caught:
        spec.load(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: 1 fault\n")


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, said in (
        (tmp_path / "absent.yaml", "cannot be read: there is no such file. Give the path of a study file (YAML)."),
        (tmp_path, "is a folder. Give the path of a study file (YAML)."),
        (tmp_path / ("x" * 300), "cannot be read: File name too long."),
        (Path("a\0b"), "is no path."),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            spec.load(path)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        spec.load(tmp_path / "secret.yaml")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no endless file here")
def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(StudyFileError, match="larger than"):
        spec.load("/dev/zero")


def test_a_stored_study_that_is_damaged_is_the_ledgers_fault() -> None:
    study = parse(MINIMAL)
    assert spec.parse_stored(study.to_yaml(), "results/mine/study.yaml") == study
    with pytest.raises(LedgerError, match=r"Restore the file from a copy\.\nresults/mine/study\.yaml: 1 fault\n  - line 4: "):
        spec.parse_stored(study.to_yaml()[:40], "results/mine/study.yaml")
    for text in ("", "[]", "name: mine", study.to_yaml().replace("max_epochs: 3", "max_epochs: lots")):
        with pytest.raises(LedgerError, match="Restore the file"):
            spec.parse_stored(text, "results/mine/study.yaml")
    gone = study.to_yaml().replace("architecture: cnn", "architecture: a_former_one").replace("name: digits", "name: gone")
    assert spec.parse_stored(gone, "study.yaml").arms["cnn"].architecture == "a_former_one", "results outlive the catalog"


# ----------------------------------------------------------------------------------------------------------------- fuzz


def only_understood(text: str) -> None:
    """Whatever the text: a study, or an error that was meant for the user."""
    message = ""
    try:
        study = parse(text)
    except InputError as error:
        message = str(error)
    else:
        assert isinstance(study, StudySpec)
        assert parse(study.to_yaml()) == study
    assert message.encode().decode() == message


@settings(max_examples=300)
@given(st.text())
@example("? ")
@example("a: 'b'c")
@example("{a: b}}")
@example("\ufeff")
@example("%TAG ! tag:x,2000:\n---\na: !a b")
@example("a: |\n\tb")
def test_any_text(text: str) -> None:
    only_understood(text)


@settings(max_examples=300)
@given(st.text(" \n\t:-[]{},&*!|>'\"%@`#?.~<=0123456789aetrunlsif\\_"))
def test_any_text_that_looks_like_yaml(text: str) -> None:
    only_understood(text)


FULL = parse(MINIMAL.replace("  cnn:", "  cnn: {fixed: {attention: se}}\n  vit:")).to_yaml()
SNIPPETS = [
    *["", " ", "\n", "\t", ":", "- ", "{", "}", "[", "]", "&a", "*a", "!!x", "'", '"', "#", "|", ">", "%", "?", "\0", "\\", "<<"],
    *["null", "true", "0", "-1", "1e999", "9" * 30, "010", ".nan", "../", "\ufeff", "name", "arms", "fixed", "ü", "\u2028"],
]


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(FULL)), st.integers(0, 12), st.sampled_from(SNIPPETS)), min_size=1, max_size=4))
def test_any_mutation_of_a_study(changes: list[tuple[int, int, str]]) -> None:
    text = FULL
    for at, length, snippet in changes:
        text = text[:at] + snippet + text[at + length :]
    only_understood(text)


SECTIONS = ["name", "dataset", "arms", "objectives", "budget", "search", "stopping", "training", "resources"]
KEYS = [
    *SECTIONS,
    *["cnn", "vit", "fixed", "architecture", "space", "trials", "max_epochs", "grace_epochs", "seed", "width", "attention"],
    *["squeeze_ratio", "size", "path", "class_names", "x"],
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["cnn", "vit", "digits", "arrays", "max val_accuracy", "se", "none", "asha", 32])
)
STRUCTURES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5), max_leaves=20
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(KEYS), STRUCTURES, max_size=9))
def test_any_structure(data: dict[str, Any]) -> None:
    only_understood(yaml.safe_dump(data, allow_unicode=True))


@settings(max_examples=200)
@given(st.sampled_from(SECTIONS), STRUCTURES)
def test_a_study_with_any_one_part(key: str, part: Any) -> None:
    content = {**yaml.safe_load(FULL), key: part}
    only_understood(yaml.safe_dump(content, allow_unicode=True))


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from([*TRAINING, "width", "head", "dense_units", "attention", "squeeze_ratio"]), LEAVES, max_size=4
    )
)
def test_any_fixed_values(fixed: dict[str, Any]) -> None:
    content = yaml.safe_load(MINIMAL)
    content["arms"] = {"cnn": {"fixed": fixed}}
    only_understood(yaml.safe_dump(content, allow_unicode=True))


# -------------------------------------------------------------------------------------------------- values on a command line


@pytest.mark.parametrize(
    ("text", "knob", "value"),
    [
        ("18", Choice("18", "50"), "18"),
        ("18", Choice(18, 50), 18),
        ("1", Choice(1.0, 2.0), 1.0),
        ("TRUE", Choice(True, False), True),
        ("SE", Choice("se", "none"), "SE"),
        ("3", Int(low=1, high=5, default=1), 3),
        ("3.5", Int(low=1, high=5, default=1), "3.5"),
        ("1e-3", Float(low=0, high=1, default=0), 0.001),
        ("much", Float(low=0, high=1, default=0), "much"),
        ("18", Parameter(name="variant", annotation="str", default="x"), "18"),
        ("none", Parameter(name="variant", annotation="str", default="x"), "none"),
        ("None", Parameter(name="width", annotation="int | None", default=None), None),
        ("8", Parameter(name="width", annotation="int | None", default=None), 8),
        ("false", Parameter(name="bias", annotation="bool", default=True), False),
        ("0", Parameter(name="bias", annotation="bool", default=True), "0"),
        ("2", Parameter(name="ratio", annotation="float", default=1.0), 2.0),
    ],
)
def test_text_from_a_command_line_is_read_by_the_type_it_is_for(text: str, knob: Knob | Parameter, value: Any) -> None:
    read = parse_value(text, knob)
    assert read == value
    assert type(read) is type(value)


# -------------------------------------------------------------------------------------------------------------- recipe


def test_a_recipe_adds_its_knobs_to_every_arm_and_its_values_may_be_fixed() -> None:
    study = parse(f"{MINIMAL}search: {{recipe: augmentation}}\n")
    own, recipe = catalog.load("space", "cnn"), catalog.load("space", "augmentation")
    assert set(study.space_of("cnn").knobs) == {*own.knobs, *recipe.knobs}
    assert study.space_of("cnn").default()["flip"] == "horizontal"
    assert study.study_id != parse(MINIMAL).study_id
    assert parse(with_fixed("shift: 0.4") + "search: {recipe: augmentation}\n").arms["cnn"].fixed == {"shift": 0.4}
    with pytest.raises(StudyFileError, match=r"fixed\.shift: 0\.6 is outside its range; allowed: 0 to 0\.5"):
        parse(with_fixed("shift: 0.6") + "search: {recipe: augmentation}\n")


def test_training_may_be_fixed_to_anything_it_can_do_whatever_the_space_searches() -> None:
    values = "schedule: one_cycle, optimizer: nadam, batch_size: 7, learning_rate: 0.2, weight_decay: 0.001, clip_norm: 0.5"
    for arm in ("cnn", "vit"):
        study = parse(with_fixed(values, arm))
        default = study.space_of(arm).default(study.arms[arm].fixed)
        assert (default["schedule"], default["optimizer"], default["batch_size"]) == ("one_cycle", "nadam", 7)
        assert "warmup_epochs" not in default, "one_cycle has its own"
    with pytest.raises(StudyFileError, match="exists only when 'schedule' is constant or cosine or step"):
        parse(with_fixed("schedule: one_cycle, warmup_epochs: 1"))


def test_a_warm_up_that_never_ends_is_a_fault() -> None:
    epochs = parse(MINIMAL).budget.max_epochs
    with pytest.raises(
        StudyFileError, match=rf"warmup_epochs: {epochs} epochs of warm-up never reach.*allowed: below {epochs}\."
    ):
        parse(with_fixed(f"warmup_epochs: {epochs}"))
    parse(with_fixed(f"warmup_epochs: {epochs - 1}"))


def test_a_recipe_that_does_not_go_with_an_arm_is_one_fault_among_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    load, names = catalog.load, catalog.names
    odd = Space(architecture="cnn", training={"schedule": Choice("constant"), "warmup_epochs": Int(low=0, high=3, default=0)})
    clash = Space(architecture=None, training={"schedule": Choice("one_cycle")})
    spaces = {"cnn": odd, "augmentation": clash}
    monkeypatch.setattr(catalog, "load", lambda kind, name: spaces.get(name) if kind == "space" else load(kind, name))
    monkeypatch.setattr(catalog, "names", lambda kind: list(spaces) if kind == "space" else names(kind))
    with pytest.raises(StudyFileError) as caught:
        parse(f"{MINIMAL}search: {{recipe: augmentation, sead: 3}}\n")
    assert "search.recipe: recipe 'augmentation' does not go with the space of arm 'cnn'" in str(caught.value)
    assert "search.sead: unknown key" in str(caught.value)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("recipe: augmentaton", "search.recipe: unknown recipe 'augmentaton'. Did you mean 'augmentation'"),
        ("recipe: cnn", "search.recipe: space 'cnn' belongs to one architecture; allowed: augmentation."),
        ("recipe: 3", "search.recipe: 3 is a whole number; allowed: text"),
    ],
)
def test_a_recipe_is_a_space_for_every_arm(search: str, message: str) -> None:
    with pytest.raises(StudyFileError, match=re.escape(message)):
        parse(f"{MINIMAL}search: {{{search}}}\n")


def test_a_recipe_is_no_space_of_an_arm() -> None:
    with pytest.raises(StudyFileError, match=r"for every arm at once\. Write it in search: \{recipe: augmentation\}"):
        parse(with_arm("cnn: {space: augmentation}"))


def test_what_a_search_does_not_use_is_no_part_of_a_study() -> None:
    assert "recipe" not in parse(MINIMAL).canonical()
    assert "recipe" not in parse(MINIMAL).to_yaml()
    assert parse_stored(parse(MINIMAL).to_yaml(), "study.yaml") == parse(MINIMAL)
