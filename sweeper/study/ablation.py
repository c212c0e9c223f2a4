"""Component ablations: a baseline and named changes, as a section of the study file that unfolds into arms.

::

    ablation:
      baseline: {architecture: resnet, fixed: {width: 16}}
      changes:
        se: {attention: se}
        gelu: {activation: gelu}
      together: true

Every change becomes an arm of its name with the baseline's fixed knobs, its own in their place. ``together`` is one with all of
them, or with those that a list names. Nothing is searched: each arm has one trial, of its default configuration, to its end,
which is then confirmed on fresh paired seeds. The study that is stored has the arms, and names its ``baseline``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sweeper.study import faults
from sweeper.study.strict_yaml import Reading

SECTION, BASELINE, TOGETHER = "ablation", "baseline", "together"

SEEDS = 3
"""For each arm, where the file does not say."""

Fault = tuple[tuple[str | int, ...], str]


def unfold(reading: Reading) -> list[Fault]:
    """Put arms in the place of the section, if the text has one, and say what is wrong with the section."""
    raw = reading.data
    if SECTION not in raw:
        return []
    section = raw.pop(SECTION)
    found = [*_faults(raw, section)]
    if found:
        raw.setdefault("arms", {})
        reading.spoilt |= {("arms",), ("budget", "trials"), ("budget",)}
        return found
    changes, first = section["changes"], section[BASELINE] or {}
    fixed = first.get("fixed") or {}
    together = section.get(TOGETHER, len(changes) > 1)
    combined: dict[str, Any] = {}
    for name in together if isinstance(together, list) else changes:
        combined |= changes[name]
    knobs = {BASELINE: {}, **changes} | ({TOGETHER: combined} if together else {})
    raw["arms"] = {name: {**first, "fixed": {**fixed, **own}} for name, own in knobs.items()}
    raw[BASELINE] = BASELINE
    _set_defaults(raw, len(knobs))
    _place(reading, knobs, fixed)
    return []


def check(raw: dict[str, Any]) -> Iterator[Fault]:
    """The faults of `baseline` that types cannot say."""
    baseline, arms = raw.get(BASELINE), raw.get("arms")
    if isinstance(baseline, str) and isinstance(arms, dict) and baseline not in arms:
        yield (BASELINE,), f"there is no arm '{baseline}'; allowed: {', '.join(map(str, arms))}."


def _set_defaults(raw: dict[str, Any], num_arms: int) -> None:
    if isinstance(raw.get("budget"), dict):
        raw["budget"].setdefault("trials", num_arms)
    raw.setdefault("stopping", {"rule": "none"})
    raw.setdefault("confirm", {"seeds": SEEDS})


def _place(reading: Reading, knobs: dict[str, dict[str, Any]], fixed: dict[str, Any]) -> None:
    """The lines of what was unfolded. What an arm has from the baseline is reported there alone."""
    lines = reading.lines
    lines["arms",] = lines[SECTION,]
    for place, line in [*lines.items()]:
        if place[:2] == (SECTION, BASELINE):
            lines["arms", BASELINE, *place[2:]] = line
        elif place[:2] == (SECTION, "changes") and len(place) > 2:
            lines["arms", place[2], *(("fixed", *place[3:]) if len(place) > 3 else ())] = line
    for name, own in knobs.items():
        lines.setdefault(("arms", name), lines[SECTION,])
        if name != BASELINE:
            reading.spoilt |= {("arms", name, "fixed", knob) for knob in fixed if knob not in own}
            reading.spoilt |= {("arms", name, key) for key in ("architecture", "space")}
    reading.spoilt |= {("arms", TOGETHER, "fixed", knob) for knob in knobs.get(TOGETHER, {})}


def _faults(raw: dict[str, Any], section: Any) -> Iterator[Fault]:
    if "arms" in raw or BASELINE in raw:
        yield (SECTION,), f"it gives arms and {BASELINE}; leave these out, or the section."
    if not isinstance(section, dict):
        yield (SECTION,), f"{faults.kind(section)}; allowed: keys and values: baseline, changes, together."
        return
    for key in section.keys() - {BASELINE, "changes", TOGETHER}:
        yield (SECTION, key), f"unknown key. Allowed: {BASELINE}, changes, {TOGETHER}."
    first, changes, together = section.get(BASELINE), section.get("changes"), section.get(TOGETHER, True)
    if not isinstance(first, dict) or "architecture" not in first:
        yield (
            (SECTION, BASELINE),
            "allowed: an arm with its architecture, for example {architecture: resnet, fixed: {width: 16}}.",
        )
    elif not isinstance(first.get("fixed") or {}, dict):
        yield (SECTION, BASELINE, "fixed"), "allowed: knobs and their values."
    if not isinstance(together, bool | list):
        yield (SECTION, TOGETHER), "allowed: true, false, or a list of changes."
    if not isinstance(changes, dict) or not changes:
        yield (SECTION, "changes"), "allowed: names, each with the knobs it changes, for example se: {attention: se}."
        return
    for name in together if isinstance(together, list) else ():
        if name not in changes:
            yield (SECTION, TOGETHER), f"there is no change {name!r}; allowed: {', '.join(map(str, changes))}."
    fixed = (first.get("fixed") or {}) if isinstance(first, dict) else {}
    for name, change in changes.items():
        if name in (BASELINE, TOGETHER):
            yield (SECTION, "changes", name), f"{BASELINE} and {TOGETHER} are taken; choose another name."
        elif not isinstance(change, dict) or not change:
            yield (SECTION, "changes", name), "allowed: the knobs it changes and their values, for example {attention: se}."
        elif isinstance(fixed, dict) and all(knob in fixed and fixed[knob] == value for knob, value in change.items()):
            yield (SECTION, "changes", name), "it is what the baseline has already, so it changes nothing."
