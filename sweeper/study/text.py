"""The text of a study file, or of another small file of a user's."""

from __future__ import annotations

import codecs
from pathlib import Path

from sweeper.errors import InputError, StudyFileError

LARGEST_FILE = 100_000
"""Bytes a study file may have; a real one has a few thousand, and a million would take ten seconds to read."""


def text_of(path: Path, what: str = "study file") -> str:
    """The text of a study file, or of another small YAML file.

    Args:
        path: The file.
        what: What it is, for errors.

    Raises:
        InputError: The file cannot be read.
        StudyFileError: It is no text, or too long for one.
    """
    advice = f"Give the path of a {what} (YAML)."
    try:
        # One byte more than allowed, because the size of a device or a pipe is not known before it is read.
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except IsADirectoryError:
        raise InputError(f"{path} is a folder. {advice}") from None
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{path} cannot be read: {reason}. {advice}") from None
    except ValueError:
        raise InputError(f"{str(path)!r} is not a path. {advice}") from None
    if len(data) > LARGEST_FILE:
        raise StudyFileError(path, [f"the file is larger than {LARGEST_FILE:,} bytes; a {what} is small text."])
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise StudyFileError(path, ["this is text in UTF-16; save it in UTF-8."])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StudyFileError(path, [f"this is not a text file; a {what} is YAML in UTF-8."]) from None
