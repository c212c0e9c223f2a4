"""What installed packages add to the catalog through entry points, found without importing them.

A package offers, for example, an architecture by this in its ``pyproject.toml``::

    [project.entry-points."sweeper.architectures"]
    wide_net = "my_nets.wide:wide_net"
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

from sweeper.errors import InputError
from sweeper.owncode import FOLDERS

GROUPS = {kind: f"sweeper.{folder}" for kind, folder in FOLDERS.items()}
"""Entry-point group of each kind."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Installed:
    """One entry point.

    Args:
        name: Its name in the catalog.
        module: The module that holds it.
        attribute: What it is called there.
        path: The module's file.
        distribution: Who offers it: name and version.
    """

    name: str
    module: str
    attribute: str
    path: Path
    distribution: tuple[str, str]

    @property
    def origin(self) -> str:
        """Name and version of the distribution."""
        return " ".join(self.distribution)


def entries(kind: str) -> Mapping[str, Installed]:
    """What installed packages offer of one kind, by name.

    Raises:
        InputError: Two offer the same name, or an entry point names no file.
    """
    return _entries(kind, tuple(sys.path)) if kind in GROUPS else {}


@functools.cache
def _entries(kind: str, path: tuple[str, ...]) -> Mapping[str, Installed]:
    from importlib import metadata

    found: dict[str, Installed] = {}
    for point in metadata.entry_points(group=GROUPS[kind]):
        assert point.dist is not None
        told = (point.dist.name, point.dist.version)
        file = _file(point.module)
        if file is None or not point.attr:
            raise InputError(
                f"the installed package {' '.join(told)} offers the {kind} '{point.name}' as '{point.value}', but there is "
                "no such module with an object in it. Mend its entry point, or uninstall it."
            )
        other = found.get(point.name)
        if other is not None and other.distribution != told:
            raise InputError(
                f"two installed packages offer the {kind} '{point.name}': {other.origin} and {' '.join(told)}. Uninstall one."
            )
        found[point.name] = Installed(name=point.name, module=point.module, attribute=point.attr, path=file, distribution=told)
    return found


def _file(module: str) -> Path | None:
    """The file of a module, found without importing the packages it lies in."""
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not inner:
        return Path(spec.origin) if spec.origin else None
    for location in spec.submodule_search_locations or ():
        base = Path(location, *inner)
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file.is_file():
                return file
    return None
