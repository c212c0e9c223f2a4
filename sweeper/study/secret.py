"""Credentials in a study file, which is kept with the results and copied to wherever the study is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sweeper import secrecy
from sweeper.study.faults import Fault
from sweeper.study.strict_yaml import Place


def check(raw: Any, place: Place = ()) -> Iterator[Fault]:
    """Every value that holds a credential, with its place; the fault does not repeat it."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield from check(value, (*place, key))
    elif isinstance(raw, list | tuple):
        for number, value in enumerate(raw):
            yield from check(value, (*place, number))
    elif isinstance(raw, str) and (what := secrecy.found_in(raw, str(place[-1]) if place else "")):
        yield (
            place,
            f"it holds {what}. A study file is kept with its results and shown in reports. Take it out; a dataset of your own "
            "can read it from a variable of the environment (os.environ).",
        )
