"""Where the files of studies lie: in a folder, or under a prefix in an object store; one small interface for both.

A `Place` names a file or a folder, whether it exists or not, as a path does; `place` makes one from what a user wrote.
`sweeper.storage.local` keeps files on a file system, `sweeper.storage.objects` in a bucket, and says what the store must promise.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sweeper.errors import ResultsFolderError
from sweeper.storage.local import LocalPlace
from sweeper.storage.place import Place, explain, explain_reading

__all__ = ["LocalPlace", "Place", "Where", "explain", "explain_reading", "place"]

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)

Where = str | os.PathLike[str] | Place
"""What a user may name a place by: a path, or ``s3://BUCKET/PREFIX``, ``gs://BUCKET/PREFIX``, ``az://CONTAINER/PREFIX``."""


def place(where: Where) -> Place:
    """The place that a path or a URI names.

    Args:
        where: A path, or such an address; one that went through `pathlib`, which drops a slash, is understood too.

    Raises:
        ResultsFolderError: A URI of another kind, or one that holds credentials.
    """
    if isinstance(where, Place):
        return where
    text = os.fspath(where)
    uri = _URI.fullmatch(text)
    if uri is None:
        return LocalPlace(Path(text))
    scheme, rest = uri[1].lower(), uri[2]
    if scheme not in ("s3", "gs", "az"):
        raise ResultsFolderError(
            f"results cannot be kept at {scheme}:// addresses. Allowed: a folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or "
            "az://CONTAINER/PREFIX."
        )
    from sweeper.storage.objects import ObjectPlace

    return ObjectPlace.parse(scheme, rest)
