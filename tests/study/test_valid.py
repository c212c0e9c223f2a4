"""What a study file may say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sweeper import catalog
from sweeper.errors import StudyFileError
from sweeper.study import spec, strict_yaml
from sweeper.study.space import Choice, Int, Space
from sweeper.study.spec import parse, parse_stored
from tests.study.kit import MINIMAL, STUDIES, with_arm, with_fixed


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
        "search": {"sampler": "trees", "allocation": "equal", "seed": 0, "repeats": False, "prior": "default"},
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
