"""What differs between two studies."""

from __future__ import annotations

from sweeper import catalog
from sweeper.study.spec import DatasetSpec, StudySpec


def differences(first: StudySpec, second: StudySpec) -> list[str]:
    """What differs between two studies, one line each, ``place: first -> second``."""
    before, after = _flat(first.model_dump(mode="json")), _flat(second.model_dump(mode="json"))
    absent = "(absent)"
    return [
        f"{place}: {before.get(place, absent)} -> {after.get(place, absent)}"
        for place in sorted(before.keys() | after.keys())
        if before.get(place, absent) != after.get(place, absent)
    ]


def with_defaults(study: StudySpec) -> StudySpec:
    """The same study with every option of its dataset, as far as that dataset is still known."""
    if study.dataset.name not in catalog.names("dataset"):
        return study
    parameters = catalog.parameters("dataset", study.dataset.name)
    defaults = {name: option.default for name, option in parameters.items() if option.default != catalog.Parameter.REQUIRED}
    dataset = DatasetSpec(name=study.dataset.name, **{**defaults, **study.dataset.options})
    return study.model_copy(update={"dataset": dataset})


def _flat(data: object, place: str = "") -> dict[str, object]:
    if isinstance(data, dict) and data:
        return {key: value for name, item in data.items() for key, value in _flat(item, f"{place}.{name}".lstrip(".")).items()}
    return {place: data}
