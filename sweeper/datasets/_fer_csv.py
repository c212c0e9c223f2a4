"""Reads ``fer2013.csv``, plain or compressed, row by row, so that the 300 MB of text are never in memory at once."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from sweeper.errors import DatasetError, did_you_mean, shortened

COLUMNS = ("emotion", "pixels", "Usage")
USAGES = ("Training", "PublicTest", "PrivateTest")
FILES = ("fer2013.csv", "fer2013.csv.gz", "fer2013.csv.bz2", "fer2013.csv.zip", "fer2013.zip")
"""Names the file may have in a folder; the first that exists is used."""

SIDE = 48
LONGEST_LINE = 65_536
"""Characters a line may have; a row of the original has at most 9,230."""

_VALUES = {str(value).encode(): value for value in range(256)}
"""Every way to write a pixel. A lookup is exact, refuses everything else, and is as fast as parsing numbers."""


class Row(NamedTuple):
    """One row of the file, not parsed yet.

    Args:
        where: File and number, counted from 1 after the header.
        usage: Training, PublicTest or PrivateTest.
        emotion: The label, as written.
        pixels: The pixels, as written.
    """

    where: str
    usage: str
    emotion: bytes
    pixels: bytes


def rows(file: Path) -> Iterator[Row]:
    """The rows of the file, one at a time.

    Raises:
        DatasetError: The file is damaged or no ``fer2013.csv``, or a row is wrong; the message names ``row N``.
    """
    number = 0
    is_over = False
    with _opened(file) as stream:
        try:
            places = _columns(file, stream.readline(LONGEST_LINE))
            while line := stream.readline(LONGEST_LINE):
                number += 1
                where = f"{file}, row {number}"
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    raise DatasetError(f"{where}: the line is longer than {LONGEST_LINE:,} characters; a row has at most 9,230.")
                line = line.strip()
                if not line:
                    is_over = True
                    continue
                if is_over:
                    raise DatasetError(f"{file}, row {number - 1}: the line is empty, but rows follow it. Remove it.")
                fields = line.replace(b'"', b"").split(b",")
                if len(fields) != len(COLUMNS):
                    counted = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
                    raise DatasetError(f"{where}: {counted}; allowed: 3, separated by commas: {', '.join(COLUMNS)}.")
                emotion, pixels, usage = (fields[place] for place in places)
                name = usage.decode("utf-8", "replace").strip()
                if name not in USAGES:
                    raise DatasetError(
                        f"{where}: Usage is '{_short(name)}'.{did_you_mean(name, USAGES)} Allowed: {', '.join(USAGES)}."
                    )
                yield Row(where, name, emotion, pixels)
        except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise DatasetError(f"{file} is damaged or cut off after row {number} ({error}). Get the file again.") from error


def values(row: Row, class_names: tuple[str, ...]) -> tuple[int, bytes]:
    """Label and the 2,304 pixels of a row.

    Raises:
        DatasetError: One of them is not what it should be; the message names the row.
    """
    return _label(row.where, row.emotion, class_names), _pixels(row.where, row.pixels)


def _columns(file: Path, line: bytes) -> tuple[int, ...]:
    """The positions of emotion, pixels and Usage."""
    names = [name.strip() for name in line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").replace('"', "").split(",")]
    if sorted(names) != sorted(COLUMNS):
        raise DatasetError(
            f"{file} is not fer2013.csv: its header is '{_short(','.join(names))}'; allowed: {','.join(COLUMNS)}, as in the "
            "original file."
        )
    return tuple(names.index(name) for name in COLUMNS)


def _label(where: str, text: bytes, class_names: tuple[str, ...]) -> int:
    label = _VALUES.get(text.strip())
    if label is None or label >= len(class_names):
        listed = ", ".join(f"{number} {name}" for number, name in enumerate(class_names))
        raise DatasetError(f"{where}: emotion is '{_shown(text)}'; allowed: {listed}.")
    return label


def _pixels(where: str, text: bytes) -> bytes:
    values = text.split()
    if len(values) != SIDE * SIDE:
        raise DatasetError(f"{where}: {len(values):,} pixels; allowed: {SIDE * SIDE:,}, which is {SIDE}x{SIDE}.")
    try:
        return bytes(map(_VALUES.__getitem__, values))
    except KeyError:
        place, wrong = next((place, value) for place, value in enumerate(values, start=1) if value not in _VALUES)
        raise DatasetError(f"{where}: pixel {place:,} is '{_shown(wrong)}'; allowed: whole numbers from 0 to 255.") from None


def _shown(text: bytes) -> str:
    return _short(text.decode("utf-8", "replace"))


def _short(text: str) -> str:
    return shortened("".join(letter if letter.isprintable() else "?" for letter in text))


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """The text of the file; its first bytes say how it is compressed, not its name."""
    with contextlib.ExitStack() as stack:
        try:
            raw = stack.enter_context(file.open("rb"))
            start = raw.read(4)
            raw.seek(0)
            if start.startswith(b"BZh"):
                stream: IO[bytes] = stack.enter_context(bz2.BZ2File(raw))
            elif start.startswith(b"\x1f\x8b"):
                stream = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw)))
            elif start.startswith(b"PK"):
                archive = stack.enter_context(zipfile.ZipFile(raw))
                stream = stack.enter_context(archive.open(_only_csv(file, archive)))
            else:
                stream = raw
        except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise DatasetError(f"{file} cannot be read ({error}).") from error
        yield stream


def _only_csv(file: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    found = [
        member
        for member in archive.infolist()
        if member.filename.lower().endswith(".csv") and not member.filename.startswith("__MACOSX")
    ]
    if len(found) != 1:
        raise DatasetError(f"{file} holds {len(found)} csv files; allowed: one, fer2013.csv. Unpack it and name the file.")
    return found[0]
