"""What can be wrong with the earlier studies that a study file names to learn from, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sweeper.study.faults import Fault, shown

LEARNING = ("tpe", "trees")
"""Samplers that learn from trials."""


def cross_check(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """What types cannot say of `search.learn_from`; whether the studies are there shows when they are read."""
    search = raw.get("search")
    folders = search.get("learn_from") if isinstance(search, dict) else None
    if not isinstance(search, dict) or not isinstance(folders, list):
        return
    place = ("search", "learn_from")
    if search.get("sampler", LEARNING[0]) in ("random", "qmc", "grid"):
        yield (
            place,
            f"only {' and '.join(LEARNING)} learn, and the sampler is {search['sampler']}. Leave it out, or choose one of them.",
        )
    if not folders:
        yield place, "it is empty; at least one is needed."
    for index, folder in enumerate(folders):
        if folder == "":
            yield (*place, index), "it is empty; allowed: the folder of a study, or s3://BUCKET/PREFIX."
        elif isinstance(folder, str) and folder in folders[:index]:
            yield (*place, index), f"{shown(folder)} occurs twice; keep one."
