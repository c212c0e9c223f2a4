"""One report of everything wrong with a study file."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import pytest

from sweeper.errors import MOST_FAULTS, StudyFileError
from sweeper.study.spec import parse
from tests.study.kit import MINIMAL, fault, faults, with_arm, with_fixed, with_name

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
        ("line 13: objectives[1]: 'val_loss' is not an objective", "Did you mean 'min val_loss'?"),
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
        ("line 20: name: the key occurs twice; keep one.", ""),
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
        (MINIMAL + "objectives: [min val_loss, min val_loss]", "objectives[1]: 'val_loss' occurs twice; keep one."),
        (
            MINIMAL + "objectives: [best val_loss]",
            "objectives[0]: 'best val_loss' is not an objective; write 'max COLUMN' or 'min COLUMN'",
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
        (with_name("a: b"), "line 1: this is not valid YAML (column 8): a ':' that does not belong here"),
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


def test_what_an_arm_fixes_is_checked_behind_an_architecture_that_does_not_exist() -> None:
    text = MINIMAL + "\n"
    wrong = "{architecture: resnett, fixed: {learning_rate: 99, blocks: 3}}"
    with pytest.raises(StudyFileError) as error:
        parse(re.sub(r"arms:.*?(?=\n[a-z])", f"arms: {{one: {wrong}}}", text, flags=re.DOTALL))
    assert "arms.one.architecture: unknown architecture 'resnett'" in str(error.value)
    assert "arms.one.fixed.learning_rate: 99 is outside its range" in str(error.value)
