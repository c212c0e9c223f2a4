"""Fetches a published file with Keras's downloader, which keeps it in ``~/.keras/datasets`` (or under $KERAS_HOME)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path

from sweeper.errors import DatasetError


def fetched(file: str, *, origin: str, sha256: str, folder: str = "", instead: str) -> Path:
    """The file, downloaded unless it is there already.

    Args:
        file: Its name.
        origin: Where it comes from, without the name.
        sha256: What its content must hash to.
        folder: Folder below Keras's datasets.
        instead: How to give local files, for the error.

    Raises:
        DatasetError: It cannot be downloaded, or its hash is another.
    """
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    place = home / "datasets" / folder / file
    if place.is_file() and _sha256(place) == sha256:
        return place  # without Keras, whose import takes seconds and most of a gigabyte
    try:
        # Keras prints its progress to stdout, which is for results only.
        with contextlib.redirect_stdout(sys.stderr):
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            import keras

            subfolder = os.path.join("datasets", folder) if folder else "datasets"
            return Path(keras.utils.get_file(file, origin=origin + file, file_hash=sha256, cache_subdir=subfolder))
    except Exception as error:
        # Errors of any class: no network, a proxy, a full disk, no backend for Keras, other content.
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise DatasetError(f"{file} could not be downloaded from {origin}: {reason}. {instead}") from error


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
