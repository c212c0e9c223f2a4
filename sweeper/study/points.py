"""What can be wrong with the points of an arm, the configurations a study file wants tried first, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sweeper import catalog
from sweeper.errors import unknown
from sweeper.study import budget as budgets
from sweeper.study import faults
from sweeper.study.faults import Fault, plain
from sweeper.study.space import TRAINING, Configuration, Space, Value
from sweeper.study.strict_yaml import Place


def cross_check(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """What types cannot say of points; those of an arm, or with a recipe, that has faults of its own are not looked at."""
    arms, search, budget = raw.get("arms"), raw.get("search"), raw.get("budget")
    search = search if isinstance(search, dict) else {}
    recipe = search.get("recipe")
    if not isinstance(arms, dict) or (recipe is not None and recipe not in faults.recipe_names()):
        return
    trials = budget.get("trials") if isinstance(budget, dict) else None
    for position, name in enumerate(sorted(arms)):
        points = arms[name].get("points") if isinstance(arms[name], dict) else None
        place: Place = ("arms", name, "points")
        if not isinstance(points, list):
            continue
        if not points:
            yield place, "it is empty; at least one is needed."
        elif search.get("sampler") == "grid":
            yield place, "a grid says itself what is tried. Leave them out, or choose another sampler."
        elif (space := faults.space_of(name, arms[name], recipe)) is not None:
            yield from _check_points(place, points, space, arms[name].get("fixed", {}), arms[name]["architecture"])
            if type(trials) is int and trials >= len(arms) and (share := budgets.shares(trials, arms)[name]) <= len(points):
                needed = len(points) * len(arms) + position + 1
                yield (
                    place,
                    f"with its default configuration they are {len(points) + 1} trials, but the arm gets {share} of "
                    f"budget.trials. Allowed: at least {needed} trials in all, or fewer points.",
                )


def _check_points(place: Place, points: list[Any], space: Space, fixed: Mapping[str, Any], architecture: str) -> Iterator[Fault]:
    arguments = catalog.parameters("architecture", architecture)
    seen: list[tuple[Configuration, str]] = [(space.default(fixed), "the default configuration, which is tried first anyway")]
    for index, point in enumerate(points):
        if not isinstance(point, dict):
            continue  # the study's types say that
        own: Place = (*place, index)
        found = [
            ((*own, key), problem)
            for key, value in point.items()
            if (problem := _value_problem(key, value, space, fixed, {*arguments, *TRAINING})) is not None
        ]
        configuration = space.default(fixed, point)
        if not found:
            found = [((*own, key), _why_absent(key, space, configuration)) for key in point if key not in configuration]
        yield from found
        same = next((what for other, what in seen if other == configuration), None)
        if same is not None and not found:
            yield own, f"it is {same}. Leave it out."
        seen.append((configuration, f"the same configuration as points[{index}]"))


def _value_problem(key: str, value: Any, space: Space, fixed: Mapping[str, Value], others: set[str]) -> str | None:
    if key in fixed:
        same = value == fixed[key] and isinstance(value, bool) == isinstance(fixed[key], bool)
        return None if same else f"it is fixed to {plain(fixed[key])} in every trial of the arm. Leave it out here, or there."
    if key in space.knobs:
        return faults.value_problem(space.knobs[key], None, value)
    if key in others:
        return "this space does not search it. Fix it for the whole arm (fixed), or leave it out."
    return unknown("knob", key, space.knobs)


def _why_absent(key: str, space: Space, configuration: Configuration) -> str:
    """Why a knob of a point does not exist in its configuration."""
    parent, values = space.knobs[key].condition or ("", ())
    here = f"here it is {plain(configuration[parent])}" if parent in configuration else f"here there is no '{parent}'"
    return f"exists only when '{parent}' is {' or '.join(map(plain, values))}; {here}. Name '{parent}' too, or leave this out."
