"""Points of an arm: configurations a study file wants tried first."""

from __future__ import annotations

import json

import pytest
import yaml

from sweeper.search import extension
from sweeper.study.compared import differences
from sweeper.study.spec import parse, parse_stored
from tests.study.kit import MINIMAL, fault, faults, with_arm


def with_points(points: str, fixed: str = "") -> str:
    return with_arm(f"cnn: {{fixed: {{{fixed}}}, points: {points}}}")


def test_a_point_names_some_knobs_and_the_others_have_their_defaults() -> None:
    study = parse(with_points("[{learning_rate: 0.01}, {optimizer: sgd, momentum: 0.95, width: 16.0}]", "head: average"))
    space, arm = study.space_of("cnn"), study.arms["cnn"]
    default, first, second = arm.first(space)
    assert default == space.default({"head": "average"})
    assert first == {**default, "learning_rate": 0.01}
    assert second == {**default, "optimizer": "sgd", "momentum": 0.95, "width": 16}
    assert [space.problems(one) for one in (first, second)] == [[], []]
    assert type(second["width"]) is int, "numbers have the type of their knob"


def test_points_are_stored_as_given_and_left_out_where_there_are_none() -> None:
    study = parse(with_points("[{learning_rate: 0.01}]"))
    assert json.loads(study.canonical())["arms"]["cnn"]["points"] == [{"learning_rate": 0.01}]
    assert parse(study.to_yaml()) == parse_stored(study.to_yaml(), "stored") == study
    assert study.study_id != parse(MINIMAL).study_id
    assert "points" not in parse(MINIMAL).canonical() + parse(MINIMAL).to_yaml()
    assert parse(with_arm("cnn: {points: }")) == parse(MINIMAL)


def test_a_study_that_was_launched_keeps_its_points_and_a_new_arm_may_bring_some() -> None:
    study = parse(with_points("[{width: 16}]"))
    other = parse(with_points("[{width: 16}, {width: 48}]"))
    assert extension.refusals(study, other) == ["arms.cnn.points: [{'width': 16}] -> [{'width': 16}, {'width': 48}]"]
    assert differences(study, parse(MINIMAL)) == ["arms.cnn.points: [{'width': 16}] -> (absent)"]
    content = {**yaml.safe_load(MINIMAL), "budget": {"trials": 8, "max_epochs": 3}}
    content["arms"] = {"cnn": {}, "vit": {"points": [{"depth": 5}]}}
    assert extension.refusals(parse(MINIMAL), parse(yaml.safe_dump(content))) == []


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ("[{lerning_rate: 0.01}]", "[0].lerning_rate: unknown knob 'lerning_rate'. Did you mean 'learning_rate'?"),
        ("[{width: 16}, {width: 33}]", "[1].width: 33 is not one of its options; allowed: 16, 32, 48."),
        ("[{learning_rate: 3}]", "[0].learning_rate: 3 is outside its range; allowed: 0.0001 to 0.03, logarithmic."),
        ("[{learning_rate: fast}]", "[0].learning_rate: 'fast' is not a number"),
        ("[{learning_rate: }]", "[0].learning_rate: it is empty; allowed: a number, text, true or false."),
        ("[{learning_rate: [0.1]}]", "[0].learning_rate: it is a list; allowed: a number, text, true or false."),
        (
            "[{clip_norm: 1.0}]",
            "[0].clip_norm: this space does not search it. Fix it for the whole arm (fixed), or leave it out.",
        ),
        (
            "[{momentum: 0.95}]",
            "[0].momentum: exists only when 'optimizer' is sgd; here it is adam. Name 'optimizer' too, or leave this out.",
        ),
        ("[{batch_norm: false}]", "[0].batch_norm: it is fixed to true in every trial of the arm. Leave it out here, or there."),
        ("[{}]", "[0]: it is the default configuration, which is tried first anyway. Leave it out."),
        ("[{width: 32, batch_norm: true}]", "[0]: it is the default configuration, which is tried first anyway."),
        ("[{width: 16}, {width: 16, kernel_size: 3}]", "[1]: it is the same configuration as points[0]. Leave it out."),
        ("[16]", "[0]: 16 is a whole number; allowed: keys and values."),
        ("{width: 16}", ": it is keys and values; allowed: a list."),
        ("[]", ": it is empty; at least one is needed."),
        (
            "[{width: 16}, {width: 48}, {num_blocks: 2}, {num_blocks: 4}]",
            ": with its default configuration they are 5 trials, but the arm gets 4 of budget.trials. Allowed: at least 5 trials "
            "in all, or fewer points.",
        ),
    ],
)
def test_a_wrong_point_is_one_fault_with_its_line(points: str, said: str) -> None:
    assert fault(with_points(points, "batch_norm: true")).startswith(f"line 4: arms.cnn.points{said}")


def test_the_trials_needed_are_enough_and_one_less_is_not() -> None:
    arms = "cnn: {points: [{width: 16}, {width: 48}]}\n  resnet: {}\n  vit: {points: [{depth: 5}, {depth: 6}]}"
    text = with_arm(arms).replace("trials: 4", "trials: TRIALS")
    assert [found[:20] for found in faults(text.replace("TRIALS", "6"))] == ["line 4: arms.cnn.poi", "line 6: arms.vit.poi"]
    assert "at least 9 trials in all" in fault(text.replace("TRIALS", "8"))
    assert parse(text.replace("TRIALS", "9")).trials_of("vit") == 3


def test_a_grid_has_no_points() -> None:
    said = "arms.cnn.points: a grid says itself what is tried. Leave them out, or choose another sampler."
    assert said in fault(with_points("[{width: 16}]") + "search: {sampler: grid}\n")


def test_faults_of_an_arm_or_of_a_recipe_hide_those_of_its_points() -> None:
    assert "widht" in fault(with_points("[{kernel_size: 4}]", "widht: 16"))
    assert "recipe" in fault(with_points("[{flip: none}]") + "search: {recipe: augmentaton}\n")
    assert parse(with_points("[{flip: none}]") + "search: {recipe: augmentation}\n").arms["cnn"].points == ({"flip": "none"},)
