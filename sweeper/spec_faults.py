"""What can be wrong with a study beyond its YAML, in words: names that do not exist, values that do not fit together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sweeper import catalog
from sweeper.errors import did_you_mean, unknown
from sweeper.records import METRICS, OBJECTIVES
from sweeper.space import TRAINING, Knob
from sweeper.strict_yaml import Place


def cross_check(raw: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """What types and ranges cannot say; looks only at parts that have the right shape, the rest is reported already."""
    arms = raw.get("arms")
    if isinstance(arms, dict):
        for name, arm in arms.items():
            if isinstance(arm, dict):
                yield from _check_arm(name, arm)
    dataset = raw.get("dataset")
    if isinstance(dataset, dict) and isinstance(dataset.get("name"), str):
        yield from _check_dataset(dataset)
    objectives = raw.get("objectives")
    if isinstance(objectives, list):
        yield from _check_objectives(objectives)
    budget = raw.get("budget")
    if isinstance(budget, dict):
        trials, epochs = budget.get("trials"), budget.get("max_epochs")
        if isinstance(arms, dict) and type(trials) is int and 1 <= trials < len(arms):
            yield (
                ("budget", "trials"),
                f"{trials} trials cannot be split over {len(arms)} arms; allowed: {len(arms)} or more.",
            )
        stopping = raw.get("stopping")
        grace = stopping.get("grace_epochs") if isinstance(stopping, dict) else None
        if type(epochs) is int and type(grace) is int and grace > epochs >= 1:
            yield ("stopping", "grace_epochs"), f"{grace} is more than budget.max_epochs; allowed: 1 to {epochs}."


def _check_arm(name: str, arm: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    place = ("arms", name)
    architecture, space_name, fixed = arm["architecture"], arm["space"], arm.get("fixed", {})
    for kind, key in (("architecture", "architecture"), ("space", "space")):
        if not isinstance(arm[key], str):
            return
        if arm[key] not in catalog.names(kind):
            if key == "space" and arm["space"] == architecture:
                return  # the same mistake, already reported as the architecture's
            yield (*place, key), unknown(kind, arm[key], catalog.names(kind))
            return
    space = catalog.load("space", space_name)
    arguments = catalog.parameters("architecture", architecture)
    if space.architecture != architecture:
        yield (
            (*place, "space"),
            f"space '{space_name}' belongs to architecture '{space.architecture}', not '{architecture}'.",
        )
        return
    if not isinstance(fixed, dict):
        return
    known: dict[str, Knob | None] = {**dict.fromkeys(arguments), **TRAINING, **space.knobs}
    for key, value in fixed.items():
        if key not in known:
            yield (*place, "fixed", key), unknown("knob", key, known)
            continue
        knob = known[key]
        problem = argument_problem(arguments[key], value) if knob is None else knob.problem(value)
        if problem is not None:
            yield (*place, "fixed", key), problem


def argument_problem(argument: catalog.Parameter, value: object) -> str | None:
    """Why a value cannot be an argument of an architecture, going by its annotation; None when it can or cannot be told."""
    kinds = {"int": int, "float": (int, float), "bool": bool, "str": str}
    accepted = kinds.get(argument.annotation)
    if accepted is None or (isinstance(value, accepted) and isinstance(value, bool) == (accepted is bool)):  # type: ignore[arg-type]
        return None
    return f"{value!r} is {kind(value)}; allowed: {argument.annotation}."


def _check_dataset(dataset: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    name = dataset["name"]
    if name not in catalog.names("dataset"):
        yield ("dataset", "name"), unknown("dataset", name, catalog.names("dataset"))
        return
    options = catalog.parameters("dataset", name)
    for key, value in dataset.items():
        if key == "name":
            continue
        if key not in options:
            yield ("dataset", key), unknown(f"option of dataset {name}", key, options)
        elif (problem := argument_problem(options[key], value)) is not None:
            yield ("dataset", key), problem
    for key, option in options.items():
        if option.default == catalog.Parameter.REQUIRED and key not in dataset:
            yield ("dataset",), f"dataset {name} needs '{key}'."


def _check_objectives(objectives: list[Any]) -> Iterator[tuple[Place, str]]:
    seen: set[str] = set()
    for index, objective in enumerate(objectives):
        place = ("objectives", index)
        words = objective.split() if isinstance(objective, str) else []
        if len(words) != 2 or words[0] not in ("max", "min"):
            yield (
                place,
                f"{objective!r} is no objective; write 'max COLUMN' or 'min COLUMN', for example 'max val_accuracy'.",
            )
        elif words[1] not in OBJECTIVES:
            yield place, unknown("column", words[1], OBJECTIVES)
        elif words[1] in seen:
            yield place, f"'{words[1]}' stands twice."
        elif index == 0 and words[1] not in METRICS:
            yield (
                place,
                f"the first objective drives early stopping, so it must change from epoch to epoch: {', '.join(METRICS)}.",
            )
        else:
            seen.add(words[1])


def in_words(fault: Mapping[str, Any], keys_at: Callable[[Place], list[str]]) -> tuple[Place, str]:
    """Place and sentence of a fault found by pydantic; `keys_at` gives the keys allowed at a place."""
    place = tuple(
        part
        for part in fault["loc"]
        if part != "[key]" and not (isinstance(part, str) and part in ("bool", "int", "float", "str"))
    )
    fault_type, context, value = fault["type"], fault.get("ctx", {}), fault.get("input")
    if fault_type == "extra_forbidden":
        allowed = keys_at(place[:-1])
        return place, f"unknown key.{did_you_mean(str(place[-1]), allowed)} Allowed: {', '.join(allowed)}."
    if fault_type == "missing":
        return place[:-1], f"the key '{place[-1]}' is missing."
    if fault_type == "string_pattern_mismatch":
        return place, (
            f"{value!r} is no name; allowed: letters, digits, '_' (and '-' in the study's name), beginning with a letter "
            "(or a digit in the study's name), at most 63 characters (40 for an arm)."
        )
    if fault_type in ("greater_than_equal", "less_than_equal", "less_than", "greater_than"):
        sign = {
            "greater_than_equal": "at least",
            "less_than_equal": "at most",
            "less_than": "below",
            "greater_than": "above",
        }[fault_type]
        return place, f"{value!r} is outside its range; allowed: {sign} {next(iter(context.values()))}."
    if fault_type == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"])
        return place, f"{value!r} is not one of its values.{did_you_mean(str(value), allowed)} Allowed: {', '.join(allowed)}."
    if fault_type == "too_short":
        return place, "it is empty; at least one is needed."
    wanted = {
        "int_type": "a whole number", "float_type": "a number", "string_type": "text", "bool_type": "true or false",
        "dict_type": "keys and values", "model_type": "keys and values", "tuple_type": "a list",
    }.get(fault_type)  # fmt: skip
    if wanted is None:
        return place, f"{fault['msg']} (found {value!r})."
    return place, f"{'nothing' if value is None else repr(value)} is {kind(value)}; allowed: {wanted}."


def kind(value: object) -> str:
    """What a value read from YAML is, in words."""
    names = {
        dict: "keys and values",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
    }
    return names.get(type(value), "empty" if value is None else type(value).__name__)
