"""Whatever a study file holds, it is a study or a report."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweeper.errors import InputError
from sweeper.study.space import TRAINING
from sweeper.study.spec import StudySpec, parse
from tests.study.kit import MINIMAL


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


FULL = parse(MINIMAL.replace("  cnn:", "  cnn: {fixed: {attention: se}, points: [{width: 16}]}\n  vit:")).to_yaml()
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
    *["squeeze_ratio", "size", "path", "class_names", "points", "learn_from", "x"],
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


@pytest.mark.long
@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(KEYS), STRUCTURES, max_size=9))
def test_any_structure(data: dict[str, Any]) -> None:
    only_understood(yaml.safe_dump(data, allow_unicode=True))


@pytest.mark.long
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
def test_any_fixed_values_and_points(fixed: dict[str, Any]) -> None:
    content = yaml.safe_load(MINIMAL)
    content["arms"] = {"cnn": {"fixed": fixed, "points": [{"width": 16}, fixed]}}
    only_understood(yaml.safe_dump(content, allow_unicode=True))
