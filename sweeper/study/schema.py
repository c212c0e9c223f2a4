"""The study file as a JSON Schema, for editors that complete and check YAML while it is written.

It says what types and ranges can say; `sweeper check` says the rest.
"""

from __future__ import annotations

from typing import Any

from sweeper import catalog
from sweeper.ledger.records import OBJECTIVES
from sweeper.study import annotated, constraints, own
from sweeper.study.faults import recipe_names
from sweeper.study.spec import LEARNING, StudySpec

_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}


def study_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a study file as a person writes it: names of the catalog, defaults left out."""
    schema = StudySpec.model_json_schema()
    parts = schema["$defs"]
    arm = parts["ArmSpec"]
    arm["properties"]["architecture"]["enum"] = catalog.names("architecture")
    recipes = recipe_names()
    arm["properties"]["space"]["enum"] = [name for name in annotated.names() if name not in recipes]
    parts["SearchSpec"]["properties"]["recipe"] = {"enum": [*recipes, None], "default": None}
    arm["required"] = []
    for names, arms in schema["properties"]["arms"]["patternProperties"].items():
        # `cnn:` alone is an arm.
        schema["properties"]["arms"] |= {
            "patternProperties": {names: {"anyOf": [arms, {"type": "null"}]}},
            "additionalProperties": False,
        }
    parts["SearchSpec"]["allOf"] = [
        {
            "if": {"properties": {"grid_points": {"type": "integer"}}, "required": ["grid_points"]},
            "then": {"properties": {"sampler": {"const": "grid"}}, "required": ["sampler"]},
        },
        {
            "if": {"properties": {"learn_from": {"type": "array"}}, "required": ["learn_from"]},
            "then": {"properties": {"sampler": {"enum": list(LEARNING)}}},
        },
    ]
    parts["DatasetSpec"] = {"oneOf": [_dataset(name) for name in catalog.names("dataset")]}
    schema["properties"][own.KEY] = {"type": "string", "description": "Folder of your own code; --code says that it may be run."}
    _take_ablations(schema)
    schema["properties"]["constraints"]["anyOf"][0]["items"]["pattern"] = constraints.PATTERN
    schema["properties"]["objectives"]["items"] = {"enum": [f"{goal} {column}" for column, goal in OBJECTIVES.items()]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A study of sweeper"}


def _take_ablations(schema: dict[str, Any]) -> None:
    """Let the section `ablation` stand in the place of arms and trials; see `sweeper.study.ablation`."""
    knobs = {"type": "object", "minProperties": 1}
    schema["properties"]["ablation"] = {
        "type": "object",
        "properties": {
            "baseline": {"$ref": "#/$defs/ArmSpec", "required": ["architecture"]},
            "changes": {"type": "object", "minProperties": 1, "additionalProperties": knobs},
            "together": {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}], "default": True},
        },
        "required": ["baseline", "changes"],
        "additionalProperties": False,
    }
    schema["required"] = [name for name in schema["required"] if name != "arms"]
    schema["oneOf"] = [
        {"required": ["arms"], "properties": {"budget": {"required": ["trials"]}}},
        {"required": ["ablation"]},
    ]
    schema["$defs"]["BudgetSpec"]["required"] = ["max_epochs"]


def _dataset(name: str) -> dict[str, Any]:
    """The schema of one dataset: its name and its options."""
    options = catalog.parameters("dataset", name)
    properties: dict[str, Any] = {"name": {"const": name, "description": catalog.summary("dataset", name)}}
    for option, parameter in options.items():
        properties[option] = _type(parameter.annotation)
        if parameter.default != catalog.Parameter.REQUIRED:
            properties[option]["default"] = parameter.default
    required = [option for option, parameter in options.items() if parameter.default == catalog.Parameter.REQUIRED]
    return {"type": "object", "properties": properties, "required": ["name", *required], "additionalProperties": False}


def _type(annotation: str) -> dict[str, Any]:
    """The JSON type of an annotation of the source: ``int``, ``str | None``, ``tuple[str, ...]``; nothing of any other."""
    parts = annotation.split(" | ")
    kinds = ["array" if part.startswith("tuple") else "null" if part == "None" else _TYPES.get(part) for part in parts]
    return {} if None in kinds else {"type": kinds[0] if len(kinds) == 1 else kinds}
