"""Which studies are the same, what their file becomes when it is stored, and how many trials a grid has."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweeper import catalog
from sweeper.study import spec, strict_yaml
from sweeper.study.compared import differences
from sweeper.study.spec import parse
from tests.knobs import values_of
from tests.study.kit import MINIMAL, fault, faults, with_fixed


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
    assert differences(study, again) == []
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
    assert line in differences(study, changed)


def test_grids_leave_other_studies_as_they_were() -> None:
    """Ids and stored files from before there were grids."""
    study = parse(MINIMAL)
    search = {"sampler": "trees", "allocation": "equal", "seed": 0, "repeats": False, "prior": "default"}
    assert json.loads(study.canonical())["search"] == search
    assert "grid_points" not in study.to_yaml()
    assert spec.parse_stored(study.to_yaml(), "stored").study_id == study.study_id


def test_a_study_from_before_there_were_repeats_is_what_it_was() -> None:
    study = parse(MINIMAL)
    assert (study.search.repeats, parse(MINIMAL + "search: {repeats: true}\n").search.repeats) == (False, True)
    assert parse(MINIMAL + "search: {repeats: }\n").study_id == study.study_id
    before = spec.parse_stored(study.to_yaml().replace("  repeats: false\n", ""), "stored")
    assert before.search.repeats is None
    assert "repeats" not in before.canonical() + before.to_yaml()


def test_a_grid_has_three_points_unless_it_says_otherwise() -> None:
    study = parse(MINIMAL + "search: {sampler: grid}\n")
    assert study.search.grid_points == 3
    assert "grid_points: 3" in study.to_yaml()
    assert parse(study.to_yaml()) == spec.parse_stored(study.to_yaml(), "stored") == study
    assert parse(MINIMAL + "search: {sampler: grid, grid_points: 3}\n").study_id == study.study_id
    other = parse(MINIMAL + "search: {sampler: grid, grid_points: 5}\n")
    assert other.study_id != study.study_id
    assert differences(study, other) == ["search.grid_points: 3 -> 5"]
    assert other.grid_of("cnn") is not None
    assert parse(MINIMAL).grid_of("cnn") is None


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (
            "{sampler: tpe, grid_points: 3}",
            "only a grid has them, and the sampler is tpe. Leave them out, or write sampler: grid.",
        ),
        ("{grid_points: 3}", "only a grid has them, and the sampler is trees."),
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
        f"is {default}. Allowed: at most {most} trials in all. Lower it, raise search.grid_points, fix fewer knobs, or let "
        "points be trained again with other seeds (search.repeats: true)."
    )
    repeated = text.replace("search: {", "search: {repeats: true, ").replace("TRIALS", str(most + 1))
    assert parse(repeated).trials_of("small") == share


def test_faults_of_an_arm_hide_its_grid() -> None:
    wrong = SMALL.replace("POINTS", "2").replace("TRIALS", "100")
    for old, new in (("architecture: resnet", "architecture: 3"), ("space: resnet_published", "space: [a]"), ("adam", "adma")):
        assert not [text for text in faults(wrong.replace(old, new)) if "budget" in text]


def fixed_values(arm: str) -> st.SearchStrategy[dict[str, Any]]:
    """Fixed values of an arm: any knobs of its space that need no other, anywhere in their range."""
    space = catalog.load("space", arm)
    free = {name: values_of(knob) for name, knob in space.knobs.items() if knob.condition is None}
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


@pytest.mark.long
@settings(max_examples=60)
@given(contents())
def test_a_resolved_study_reads_back_as_itself(content: dict[str, Any]) -> None:
    study = parse(strict_yaml.write(content))
    again = parse(study.to_yaml())
    assert again == study
    assert again.study_id == study.study_id
    assert again.to_yaml() == study.to_yaml()
    assert differences(study, again) == []
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
