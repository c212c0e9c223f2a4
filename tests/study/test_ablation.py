"""The section `ablation` of a study file."""

from __future__ import annotations

from typing import Any

import pytest

from sweeper.errors import StudyFileError
from sweeper.study.spec import StudySpec, parse

HEAD = """\
name: made
dataset: {name: digits}
budget: {max_epochs: 3}
"""

BASELINE = "baseline: {architecture: resnet, fixed: {width: 8, skip: true}}"


def study(section: str, head: str = HEAD) -> StudySpec:
    return parse(f"{head}ablation:\n  {section}\n")


def test_a_change_is_an_arm_and_together_has_all() -> None:
    made = study(f"{BASELINE}\n  changes: {{se: {{attention: se}}, wide: {{width: 16}}}}")
    base = {"width": 8, "skip": True}
    assert {name: dict(arm.fixed) for name, arm in made.arms.items()} == {
        "baseline": base,
        "se": {**base, "attention": "se"},
        "wide": {**base, "width": 16},
        "together": {**base, "attention": "se", "width": 16},
    }
    assert {arm.architecture for arm in made.arms.values()} == {"resnet"}
    assert (made.baseline, made.budget.trials, made.stopping.rule) == ("baseline", 4, "none")
    assert made.confirm is not None
    assert made.confirm.seeds == 3
    assert parse(made.to_yaml()) == made, "what is stored is the study"


@pytest.mark.parametrize(
    ("together", "knobs"), [("true", {"attention": "se", "norm": "none"}), ("[norm]", {"norm": "none"}), ("false", None)]
)
def test_together_may_be_some_or_none(together: str, knobs: dict[str, Any] | None) -> None:
    made = study(f"{BASELINE}\n  changes: {{se: {{attention: se}}, norm: {{norm: none}}}}\n  together: {together}")
    assert ("together" in made.arms) == (knobs is not None)
    if knobs is not None:
        assert dict(made.arms["together"].fixed) == {"width": 8, "skip": True, **knobs}


@pytest.mark.parametrize(
    ("section", "faults"),
    [
        ("changes: {se: {attention: se}}", ["line 4: ablation.baseline: allowed: an arm with its architecture"]),
        (BASELINE, ["line 4: ablation.changes: allowed: names, each with the knobs it changes"]),
        (f"{BASELINE}\n  changes: {{a: {{width: 8}}}}", ["line 6: ablation.changes.a: it is what the baseline has already"]),
        (f"{BASELINE}\n  changes: {{together: {{width: 16}}}}", ["line 6: ablation.changes.together: baseline and together"]),
        (f"{BASELINE}\n  changes: {{a: {{width: 16}}}}\n  together: [b]", ["line 7: ablation.together: there is no change 'b'"]),
        (f"{BASELINE}\n  changes: {{a: {{width: 16}}}}\n  chances: 1", ["line 7: ablation.chances: unknown key."]),
        (f"{BASELINE}\n  changes: {{a: {{widht: 16}}}}", ["line 6: arms.a.fixed.widht: unknown knob 'widht'. Did you mean"]),
        (
            "baseline: {architecture: resnet, fixed: {widht: 8}}\n  changes: {a: {width: 16}, b: {skip: false}}",
            ["line 5: arms.baseline.fixed.widht: unknown knob 'widht'."],
        ),
    ],
)
def test_every_fault_is_told_once_with_its_line(section: str, faults: list[str]) -> None:
    with pytest.raises(StudyFileError) as raised:
        study(section)
    told = [line.removeprefix("  - ") for line in str(raised.value).splitlines()[1:]]
    assert len(told) == len(faults), told
    for line, expected in zip(told, faults, strict=True):
        assert line.startswith(expected)


def test_arms_beside_it_and_a_baseline_that_is_no_arm_are_refused() -> None:
    with pytest.raises(StudyFileError, match="it gives arms and baseline; leave these out, or the section"):
        study(f"{BASELINE}\n  changes: {{a: {{width: 16}}}}", HEAD + "arms: {cnn: {}}\n")
    with pytest.raises(StudyFileError, match="baseline: there is no arm 'x'; allowed: cnn"):
        parse(HEAD.replace("{max", "{trials: 2, max") + "arms: {cnn: {}}\nbaseline: x\n")
