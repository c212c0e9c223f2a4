"""What can be wrong with a study beyond its YAML, in words: names that do not exist, values that do not fit together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sweeper import catalog
from sweeper.errors import LONGEST, InputError, KnobError, did_you_mean, shortened, unknown
from sweeper.ledger.records import METRICS, OBJECTIVES
from sweeper.study import annotated, grid, own
from sweeper.study import budget as budgets
from sweeper.study.published import spaces_of
from sweeper.study.space import TRAINING, Choice, Knob, Space, Value
from sweeper.study.strict_yaml import Place

Fault = tuple[Place, str]
"""Where, and one sentence."""

STUDY_NAME = "1 to 63 letters (a to z), digits, '_' and '-', beginning with a letter or a digit"
ARM_NAME = "1 to 40 letters (a to z), digits and '_', beginning with a letter"

_ATOMS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "text"),
    "None": ((type(None),), "null"),
}
"""Annotations that can be checked: the types they accept, and their name in words."""


def cross_check(raw: dict[str, Any]) -> Iterator[Fault]:
    """What types and ranges cannot say; looks only at parts that have the right shape, the rest is reported already."""
    arms = raw.get("arms")
    search = raw.get("search")
    recipe = search.get("recipe") if isinstance(search, dict) else None
    recipe = recipe if isinstance(recipe, str) else None  # the study's types say that
    if recipe is not None and (problem := _recipe_problem(recipe)) is not None:
        yield ("search", "recipe"), problem
        recipe = None
    if isinstance(arms, dict):
        for name, arm in arms.items():
            if isinstance(arm, dict):
                yield from _check_arm(name, arm, recipe)
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
                f"{trials} {'trial' if trials == 1 else 'trials'} cannot be split over {len(arms)} arms; "
                f"allowed: {len(arms)} or more.",
            )
        elif isinstance(arms, dict) and arms and type(trials) is int:
            yield from _check_grid(search, arms, trials, recipe)
        stopping = raw.get("stopping")
        grace = stopping.get("grace_epochs") if isinstance(stopping, dict) else None
        for name, arm in arms.items() if isinstance(arms, dict) else ():
            fixed = arm.get("fixed") if isinstance(arm, dict) else None
            warmup = fixed.get("warmup_epochs") if isinstance(fixed, dict) else None
            if type(epochs) is int and type(warmup) is int and warmup >= epochs >= 1:
                yield (
                    ("arms", name, "fixed", "warmup_epochs"),
                    f"{warmup} epochs of warm-up never reach the learning rate in budget.max_epochs; allowed: below {epochs}.",
                )
        if type(epochs) is int and type(grace) is int and grace > epochs >= 1:
            yield ("stopping", "grace_epochs"), f"{grace} is more than budget.max_epochs; allowed: 1 to {epochs}."


# ---------------------------------------------------------------------------------------------------------------- arms


def recipe_names() -> list[str]:
    """The search spaces that go with every architecture."""
    return [name for name in catalog.names("space") if catalog.load("space", name).architecture is None]


def _recipe_problem(recipe: str) -> str | None:
    """Why a space cannot be added to that of every arm; None when it can."""
    recipes = recipe_names()
    if recipe in recipes:
        return None
    if recipe in catalog.names("space"):
        return f"space '{recipe}' belongs to one architecture; allowed: {', '.join(recipes)}."
    return unknown("recipe", recipe, recipes)


def _with_recipe(space: Space, recipe: str | None) -> Space:
    return space if recipe is None else space.with_recipe(catalog.load("space", recipe))


def _check_arm(name: str, arm: dict[str, Any], recipe: str | None) -> Iterator[Fault]:
    place = ("arms", name)
    architecture, space_name, fixed = arm["architecture"], arm["space"], arm.get("fixed", {})
    for kind_name in ("architecture", "space"):
        value = arm[kind_name]
        if not isinstance(value, str):
            return
        if value not in (known_names := annotated.names() if kind_name == "space" else catalog.names(kind_name)):
            yield (*place, kind_name), own.unknown(kind_name, value, known_names)
            return  # a space of the same name is the same mistake
    try:
        space, arguments = annotated.load(space_name), catalog.parameters("architecture", architecture)
    except InputError as error:  # a user's own file
        yield (*place, "architecture"), str(error)
        return
    if space.architecture is None:
        yield (*place, "space"), f"space '{space_name}' is for every arm at once. Write it in search: {{recipe: {space_name}}}."
        return
    if space.architecture != architecture:
        yield (
            (*place, "space"),
            f"space '{space_name}' belongs to architecture '{space.architecture}', not '{architecture}'.",
        )
        return
    try:
        space = _with_recipe(space, recipe)
    except KnobError as error:
        yield ("search", "recipe"), f"recipe '{recipe}' does not go with the space of arm '{name}': {error}"
        return
    if not isinstance(fixed, dict):
        return
    # A space says which training is searched; what is fixed may be anything that training can do.
    known: dict[str, Knob | None] = {**dict.fromkeys(arguments), **space.knobs, **TRAINING}
    for key, value in fixed.items():
        if key not in known:
            yield (*place, "fixed", key), unknown("knob", key, known)
        else:
            problem = (
                value_problem(known[key], arguments.get(key), value)
                or _variant_problem(key, value, space, space_name)
                or _existence_problem(key, space, fixed)
            )
            if problem is not None:
                yield (*place, "fixed", key), problem


def value_problem(knob: Knob | None, argument: catalog.Parameter | None, value: object) -> str | None:
    """Why a knob, or an argument that is none, cannot have a value, in words; None when it can, or has another fault."""
    if value is None or isinstance(value, dict | list):
        return None  # the study's types say that
    if knob is None:
        assert argument is not None
        return argument_problem(argument, value)
    problem = knob.problem(value)
    if problem is None:
        return None
    if isinstance(knob, Choice) and not isinstance(value, str) and str(value) in knob.options:
        return f'{shown(value)} is {kind(value)}; allowed: text. Put it in quotes: "{shown(value)}".'
    # A knob words values as Python does; a study file has `true` where Python has `True`.
    return shown(value) + problem.removeprefix(repr(value)) if problem.startswith(repr(value)) else problem


def _variant_problem(key: str, value: Any, space: Space, space_name: str) -> str | None:
    """Why a published size cannot be fixed in a space that sets the sizes itself; None when it can."""
    if key != "variant" or key in space.knobs or not space.model:
        return None
    spaces = spaces_of(space.architecture or "")
    fitting = [name for name, options in spaces.items() if value in options] or list(spaces)
    way_out = f"Use space: {fitting[0]}." if fitting else "Leave it out."
    return f"space '{space_name}' sets every size itself, so a published one would have no effect. {way_out}"


def _existence_problem(key: str, space: Space, fixed: Mapping[str, Any]) -> str | None:
    """Why a fixed knob can never exist, because the knob it depends on never has the value it needs; None when it can."""
    knob = TRAINING.get(key) or space.knobs.get(key)
    if knob is None or knob.condition is None:
        return None
    parent, values = knob.condition
    widest = TRAINING.get(parent) or space.knobs.get(parent)
    parent_knob = space.knobs.get(parent) or TRAINING.get(parent)
    needed = f"exists only when '{parent}' is {' or '.join(map(plain, values))}"
    if parent in fixed:
        if widest is None or fixed[parent] in values or value_problem(widest, None, fixed[parent]) is not None:
            return None
        return f"{needed}; here '{parent}' is fixed to {plain(fixed[parent])}."
    if parent in space.knobs:
        options = parent_knob.options if isinstance(parent_knob, Choice) else values
        never = "this space never makes it that"
    else:
        options = () if parent_knob is None else (parent_knob.default,)
        never = f"this space leaves it at {' or '.join(map(plain, options))}"
    return None if set(options) & set(values) else f"{needed}; {never}. Fix '{parent}' too, or leave this out."


# ---------------------------------------------------------------------------------------------------------------- grid


def _check_grid(search: object, arms: dict[str, Any], trials: int, recipe: str | None) -> Iterator[Fault]:
    """Arms that would get more trials than their grid has points; arms with faults of their own are skipped."""
    if not isinstance(search, dict) or search.get("sampler") != "grid" or search.get("repeats") is True:
        return
    num_points = grid.DEFAULT_POINTS if search.get("grid_points") is None else search["grid_points"]
    if type(num_points) is not int or not 2 <= num_points <= 100:
        return
    found = ((name, space_of(name, arm, recipe)) for name, arm in arms.items())
    grids = {name: grid.Grid(space, arms[name].get("fixed", {}), num_points) for name, space in found if space is not None}
    # The arms before this one, in the order of their names, may each have a trial more.
    most = min(
        (grids[name].num_trials * len(arms) + position for position, name in enumerate(sorted(arms)) if name in grids), default=0
    )
    shares = budgets.shares(trials, arms)
    for name, one in grids.items():
        if shares[name] > one.num_trials:
            points = f"{one.size:,} {'point' if one.size == 1 else 'points'}"
            default = "one trial more" if one.default_index is None else "one of them"
            yield (
                ("budget", "trials"),
                f"arm '{name}' would get {shares[name]:,} trials, but its grid has {points}; its default configuration is "
                f"{default}. Allowed: at most {most:,} trials in all. Lower it, raise search.grid_points, fix fewer knobs, or "
                "let points be trained again with other seeds (search.repeats: true).",
            )


def space_of(name: str, arm: object, recipe: str | None) -> Space | None:
    """The search space of an arm that has no fault, the recipe's knobs included; None of any other."""
    if not isinstance(arm, dict) or not all(isinstance(arm[key], str) for key in ("architecture", "space")):
        return None
    if not isinstance(arm.get("fixed", {}), dict) or any(_check_arm(name, arm, recipe)):
        return None
    return _with_recipe(annotated.load(arm["space"]), recipe)


# ------------------------------------------------------------------------------------------------------------- dataset


def _check_dataset(dataset: dict[str, Any]) -> Iterator[Fault]:
    name = dataset["name"]
    if name not in catalog.names("dataset"):
        yield ("dataset", "name"), own.unknown("dataset", name, catalog.names("dataset"))
        return
    options = catalog.parameters("dataset", name)
    for key, value in dataset.items():
        if key == "name":
            continue
        if key not in options:
            yield ("dataset", key), unknown(f"option of dataset {name}", key, options)
        elif (problem := argument_problem(options[key], value)) is not None:
            yield ("dataset", key), problem
        elif key == "path" and value == "":
            yield ("dataset", key), "it is empty; allowed: the path of a file or a folder."
    for key, option in options.items():
        if option.default == catalog.Parameter.REQUIRED and key not in dataset:
            yield ("dataset",), f"the key '{key}' is missing: dataset {name} needs it."


def argument_problem(argument: catalog.Parameter, value: object) -> str | None:
    """Why a value cannot be an argument of a function, going by its annotation; None when it can or cannot be told."""
    kinds = [part.strip() for part in argument.annotation.split("|")]
    listed = re.fullmatch(r"tuple\[(int|float|bool|str), \.\.\.\]", argument.annotation)
    if listed is not None:
        if isinstance(value, list | tuple):
            wrong = [(number, item) for number, item in enumerate(value, start=1) if not _accepts(listed[1], item)]
            return f"item {wrong[0][0]}: {_not_allowed(wrong[0][1], _ATOMS[listed[1]][1])}" if wrong else None
    elif any(part not in _ATOMS for part in kinds) or any(_accepts(part, value) for part in kinds):
        return None
    return _not_allowed(value, allowed_words(argument))


def allowed_words(argument: catalog.Parameter) -> str:
    """What an argument may be, in words, going by its annotation."""
    listed = re.fullmatch(r"tuple\[(int|float|bool|str), \.\.\.\]", argument.annotation)
    if listed is not None:
        return f"a list, each item {_ATOMS[listed[1]][1]}"
    return " or ".join(_ATOMS[part.strip()][1] for part in argument.annotation.split("|") if part.strip() in _ATOMS)


def _accepts(kind_name: str, value: object) -> bool:
    accepted, _ = _ATOMS[kind_name]
    return isinstance(value, accepted) and isinstance(value, bool) == (kind_name == "bool")


# ---------------------------------------------------------------------------------------------------------- objectives


def _check_objectives(objectives: list[Any]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, objective in enumerate(objectives):
        place = ("objectives", index)
        if not isinstance(objective, str):
            continue  # the study's types say that
        words = objective.split()
        if len(words) != 2 or words[0] not in ("max", "min"):
            hint = f" Did you mean '{OBJECTIVES[words[0]]} {words[0]}'?" if len(words) == 1 and words[0] in OBJECTIVES else ""
            yield (
                place,
                f"{shown(objective)} is not an objective; write 'max COLUMN' or 'min COLUMN', for example 'max val_accuracy'."
                f"{hint}",
            )
        elif words[1] not in OBJECTIVES:
            yield place, unknown("column", words[1], OBJECTIVES)
        elif words[0] != OBJECTIVES[words[1]]:
            yield place, f"'{objective}' would look for the worst; write '{OBJECTIVES[words[1]]} {words[1]}'."
        elif words[1] in seen:
            yield place, f"'{words[1]}' occurs twice; keep one."
        elif index == 0 and words[1] not in METRICS:
            yield (
                place,
                f"'{words[1]}' cannot be the first objective, which drives early stopping and must change from epoch to epoch; "
                f"allowed: {', '.join(METRICS)}.",
            )
        else:
            seen.add(words[1])


# --------------------------------------------------------------------------------------------------- types and ranges


def in_words(fault: Mapping[str, Any], keys_at: Callable[[Place], list[str]]) -> Fault:
    """Place and sentence of a fault found by pydantic; `keys_at` gives the keys allowed at a place."""
    place: Place = tuple(fault["loc"])
    fault_type, context, value = fault["type"], fault.get("ctx", {}), fault.get("input")
    if place[-1:] == ("[key]",):
        place = place[:-1]
    if place[:1] == ("arms",) and len(place) > 4:
        return place[:-1], _not_allowed(value, "a number, text, true or false")  # pydantic reports one fault for each type
    if fault_type == "extra_forbidden":
        allowed = keys_at(place[:-1])
        return place, f"unknown key.{did_you_mean(str(place[-1]), allowed)} Allowed: {', '.join(allowed)}."
    if fault_type == "missing":
        return place[:-1], f"the key '{place[-1]}' is missing."
    if fault_type == "string_pattern_mismatch":
        whose, allowed_name = ("an arm", ARM_NAME) if place[:1] == ("arms",) else ("a study", STUDY_NAME)
        return place, f"{shown(value)} cannot be the name of {whose}; allowed: {allowed_name}."
    if fault_type in ("greater_than_equal", "less_than_equal", "less_than", "greater_than"):
        sign = {
            "greater_than_equal": "at least",
            "less_than_equal": "at most",
            "less_than": "below",
            "greater_than": "above",
        }[fault_type]
        return place, f"{shown(value)} is outside its range; allowed: {sign} {next(iter(context.values()))}."
    if fault_type == "literal_error":
        options = re.findall(r"'([^']*)'", context["expected"])
        hint = did_you_mean(str(value), options)
        return place, f"{shown(value) or 'this'} is not one of its values.{hint} Allowed: {', '.join(options)}."
    if fault_type in ("too_short", "string_too_short"):
        return place, "it is empty; at least one is needed."
    wanted = {
        "int_type": "a whole number", "float_type": "a number", "string_type": "text", "bool_type": "true or false",
        "dict_type": "keys and values", "model_type": "keys and values", "tuple_type": "a list",
    }.get(fault_type)  # fmt: skip
    if wanted is None:
        return place, f"{fault['msg']}."
    return place, _not_allowed(value, wanted) + _hint(place, value)


def _not_allowed(value: object, wanted: str) -> str:
    what = f"{text} is {kind(value)}" if (text := shown(value)) else f"it is {kind(value)}"
    quotes = f" Put it in quotes: '{text}'." if wanted == "text" and isinstance(value, bool | int | float) else ""
    return f"{what}; allowed: {wanted}.{quotes}"


def _hint(place: Place, value: object) -> str:
    if place == ("dataset",) and isinstance(value, str):
        return f" Write {{name: {value[:LONGEST]}}}."
    if place == ("arms",) and isinstance(value, str | list):
        return " Write one line per arm, for example '  cnn: {}'."
    if place in (("objectives",), ("constraints",)) and isinstance(value, str):
        return f" Write [{value[:LONGEST]}]."
    return ""


def shown(value: object) -> str:
    """A value as a study file would have it, cut when it is long; ``""`` for what has no short form: nothing, lists, keys."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(shortened(value))
    return str(value) if isinstance(value, int | float) else ""


def plain(value: Value) -> str:
    """As `shown`, without quotes."""
    return value if isinstance(value, str) else shown(value)


def kind(value: object) -> str:
    """What a value read from YAML is, in words."""
    names = {
        dict: "keys and values",
        list: "a list",
        str: "text",
        bool: "a truth value",
        int: "a whole number",
        float: "a number",
    }
    return names.get(type(value), "empty" if value is None else type(value).__name__)
