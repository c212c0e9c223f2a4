"""The key ``code`` of a study file: the folder of the user's own code that goes with it.

It is no part of the study, and never enough to run the code: that takes the option ``--code``, or a yes in a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sweeper import catalog, errors
from sweeper.errors import InputError
from sweeper.study import strict_yaml
from sweeper.study.strict_yaml import Place, Reading

KEY = "code"


def named_in(text: str) -> str | None:
    """The folder that the text of a study file names; None where it names none, or is no study file."""
    data = strict_yaml.read(text).data
    named = data.get(KEY) if isinstance(data, dict) else None
    return named if isinstance(named, str) and named else None


def folder_of(named: str, path: object) -> Path:
    """The folder that a study file names, relative to where the file lies."""
    return Path(str(path)).parent / named


def take_out(reading: Reading, path: object) -> list[tuple[Place, str]]:
    """Take the key out of what a file says, and give what is wrong with it.

    Raises:
        InputError: It names code, and none is in use.
    """
    if KEY not in reading.data:
        return []
    named = reading.data.pop(KEY)
    if not isinstance(named, str) or not named:
        return [((KEY,), "allowed: the folder of your own code, as text, for example my_code/.")]
    if catalog.current() is None:
        folder = folder_of(named, path)
        raise InputError(f"{path} needs the code in {folder}/, which is run only if you say so. Add: --code {folder}/")
    return []


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """As `sweeper.errors.unknown`, and how one's own is given where none is in use."""
    hint = "" if catalog.current() is not None else " One of your own is given with --code FOLDER (in Python: code=FOLDER)."
    return errors.unknown(kind, name, allowed) + hint
