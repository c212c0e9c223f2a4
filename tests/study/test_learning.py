"""Earlier studies that a study file names to learn from."""

from __future__ import annotations

import json

import pytest

from sweeper.search import extension
from sweeper.study.spec import parse, parse_stored
from tests.study.kit import MINIMAL, fault


def with_search(search: str) -> str:
    return f"{MINIMAL}search: {{{search}}}\n"


@pytest.mark.parametrize("sampler", ["tpe", "trees"])
def test_folders_are_kept_as_given_and_left_out_where_there_are_none(sampler: str) -> None:
    study = parse(with_search(f"sampler: {sampler}, learn_from: [results/old, s3://bucket/results/older]"))
    folders = ["results/old", "s3://bucket/results/older"]
    assert json.loads(study.canonical())["search"]["learn_from"] == folders
    assert parse(study.to_yaml()) == parse_stored(study.to_yaml(), "stored") == study
    assert "learn_from" not in parse(MINIMAL).canonical() + parse(MINIMAL).to_yaml()
    assert parse(with_search("learn_from: ")) == parse(MINIMAL)


def test_a_study_that_was_launched_learns_from_nothing_more() -> None:
    study, wanted = parse(with_search("repeats: true")), parse(with_search("repeats: true, learn_from: [results/old]"))
    assert extension.refusals(study, wanted) == ["search.learn_from: (absent) -> ['results/old']"]


@pytest.mark.parametrize(
    ("search", "said"),
    [
        *(
            (
                f"sampler: {name}, learn_from: [results/old]",
                f": only tpe and trees learn, and the sampler is {name}. Leave it out, or choose one of them.",
            )
            for name in ("random", "qmc", "grid")
        ),
        ("learn_from: []", ": it is empty; at least one is needed."),
        ("learn_from: ['']", "[0]: it is empty; at least one is needed."),
        ("learn_from: [results/old, results/older, results/old]", ": a folder occurs twice; keep one."),
        ("learn_from: results/old", ": 'results/old' is text; allowed: a list."),
        ("learn_from: [3]", "[0]: 3 is a whole number; allowed: text."),
    ],
)
def test_what_cannot_be_learned_from_is_one_fault_with_its_line(search: str, said: str) -> None:
    assert fault(with_search(search)).startswith(f"line 6: search.learn_from{said}")


def test_a_misspelt_sampler_is_the_only_fault() -> None:
    assert "search.sampler: 'tree' is not one of its values." in fault(with_search("sampler: tree, learn_from: [results/old]"))
