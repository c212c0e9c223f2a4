"""Which commits a repair found lost: ``damaged/lost.json`` in the study's folder.

What they held is done again, but their places in the ledger stay empty. A repair notes them, so that an audit can tell them from
a new loss.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from sweeper.errors import ResultsFolderError, StorageError
from sweeper.storage import Place, explain

Commits = Mapping[int, frozenset[int]]
"""Sequences by generation."""


def read(folder: Place) -> Commits:
    """The commits that were noted; none where there is no readable note.

    Args:
        folder: The study's.
    """
    try:
        noted = json.loads(_path(folder).read_bytes())
        return {int(generation): frozenset(map(int, sequences)) for generation, sequences in noted.items()}
    except StorageError:
        raise
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def add(folder: Place, commits: Iterable[tuple[int, int, int]]) -> None:
    """Note lost commits, in addition to those noted before.

    Args:
        folder: The study's.
        commits: Generation, first and last sequence of each run.

    Raises:
        ResultsFolderError: The folder cannot be written.
    """
    noted = {generation: set(sequences) for generation, sequences in read(folder).items()}
    for generation, first, last in commits:
        noted.setdefault(generation, set()).update(range(first, last + 1))
    text = json.dumps({str(generation): sorted(noted[generation]) for generation in sorted(noted)})
    try:
        _path(folder).parent.make_folder()
        _path(folder).write_whole(text.encode(), may_replace=True)
    except OSError as error:
        raise ResultsFolderError(explain(error, _path(folder))) from error


def _path(folder: Place) -> Place:
    return folder / "damaged" / "lost.json"
