"""Reads ``fer2013.csv`` and its relatives, plain or compressed, row by row: the 300 MB of text are never in memory at once.

The competition on Kaggle has the same rows three times: fer2013.csv, icml_face_data.csv with other columns first, and train.csv,
which holds the training rows alone and says so by having no column Usage.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from sweeper.errors import DatasetError, did_you_mean, shortened

COLUMNS = ("emotion", "pixels", "Usage")
USAGES = ("Training", "PublicTest", "PrivateTest")
FILES = (
    "fer2013.csv", "fer2013.csv.gz", "fer2013.csv.bz2", "fer2013.csv.zip", "fer2013.zip", "icml_face_data.csv", "train.csv"
)  # fmt: skip
"""Names the file may have in a folder; the first that exists is used."""

_EMPTY = "the line is empty, but rows follow it. Remove it."
"""What is wrong with an empty line, unless it stands at the end."""

_INDICES = ("", "index", "id", "unnamed: 0")
"""Names a first column may have that only numbers the rows, in any case; it is passed over."""

SIDE = 48
LONGEST_LINE = 65_536
"""Characters a line may have; a row of the original has at most 9,230."""

_VALUES = {str(value).encode(): value for value in range(256)}
"""Every way to write a pixel. A lookup is exact, refuses everything else, and is as fast as parsing numbers."""


class Row(NamedTuple):
    """One row of the file, not parsed yet.

    Args:
        where: File and number, counted from 1 after the header.
        usage: Training, PublicTest or PrivateTest; empty where the file has no such column.
        emotion: The label, as written.
        pixels: The pixels, as written.
    """

    where: str
    usage: str
    emotion: bytes
    pixels: bytes


def has_usage(file: Path) -> bool:
    """Whether the rows of the file say to which split they belong.

    Raises:
        DatasetError: As for `rows`.
    """
    with _opened(file) as stream, _damage(file, lambda: 0):
        return "Usage" in _header(file, stream.readline(LONGEST_LINE)).places


def rows(file: Path) -> Iterator[Row]:
    """The rows of the file, one at a time.

    Raises:
        DatasetError: The file is damaged or no ``fer2013.csv``, or a row is wrong; the message names ``row N``.
    """
    number = 0
    odd: tuple[int, str] | None = None  # the first line behind the last row that is none, and why
    with _opened(file) as stream, _damage(file, lambda: number):
        header = _header(file, stream.readline(LONGEST_LINE))
        while line := stream.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                raise DatasetError(
                    f"{file}, row {number}: the line is longer than {LONGEST_LINE:,} characters; a row has at most 9,230."
                )
            fields = line.strip().replace(b'"', b"").split(b",")
            problem = _problem(fields, header) if line.strip() else _EMPTY
            if problem:
                odd = (number, problem) if odd is None or odd[1] == _EMPTY else odd
            elif odd is None:
                yield _row(f"{file}, row {number}", fields, header)
            else:
                raise DatasetError(f"{file}, row {odd[0]}: {odd[1]}")
    if odd is not None and odd[1] != _EMPTY:
        raise DatasetError(f"{file}, row {odd[0]}: {odd[1]}{_about_the_end(odd[0], number)}")


def values(row: Row, class_names: tuple[str, ...]) -> tuple[int, bytes]:
    """Label and the 2,304 pixels of a row.

    Raises:
        DatasetError: One of them is not what it should be; the message names the row.
    """
    return _label(row.where, row.emotion, class_names), _pixels(row.where, row.pixels)


class _Header(NamedTuple):
    """Where the columns stand.

    Args:
        num_fields: Columns there are.
        places: Place of each column of `COLUMNS` that is there, by name.
    """

    num_fields: int
    places: dict[str, int]


def _header(file: Path, line: bytes) -> _Header:
    names = [name.strip() for name in line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").replace('"', "").split(",")]
    own = names[1:] if len(names) > 2 and names[0].lower() in _INDICES else names
    if sorted(own) not in (sorted(COLUMNS), sorted(COLUMNS[:2])):
        if "pixels" in own and "emotion" not in own:
            raise DatasetError(
                f"{file} has no labels (column emotion), as the competition's test.csv: it can neither be trained on nor "
                "measured with. Give fer2013.csv or icml_face_data.csv, which have every row, or train.csv."
            )
        raise DatasetError(
            f"{file} is not fer2013.csv: its header is '{_short(','.join(names))}'; allowed: {','.join(COLUMNS)}, as in the "
            "original file, or without Usage, as in train.csv."
        )
    return _Header(len(names), {name: names.index(name) for name in own})


def _problem(fields: list[bytes], header: _Header) -> str:
    """Why a line does not even look like a row; nothing if it does."""
    if len(fields) != header.num_fields:
        counted = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
        names = ", ".join(sorted(header.places, key=COLUMNS.index))
        return f"{counted}; allowed: {header.num_fields}, separated by commas: {names}."
    if "Usage" in header.places:
        usage = _usage(fields[header.places["Usage"]])
        if usage not in USAGES:
            return f"Usage is '{_short(usage)}'.{did_you_mean(usage, USAGES)} Allowed: {', '.join(USAGES)}."
    pixels = fields[header.places["pixels"]].split(maxsplit=1)
    return "" if len(pixels) == 2 else _wrong_count(len(pixels))


def _row(where: str, fields: list[bytes], header: _Header) -> Row:
    emotion, pixels = (fields[header.places[name]] for name in ("emotion", "pixels"))
    return Row(where, _usage(fields[header.places["Usage"]]) if "Usage" in header.places else "", emotion, pixels)


def _usage(text: bytes) -> str:
    return text.decode("utf-8", "replace").strip()


def _about_the_end(first: int, last: int) -> str:
    """What to do about lines behind the last row, from row `first` to row `last`; nothing where they are the whole file."""
    if first == 1:
        return ""
    lines = f"line {first + 1}" if first == last else f"lines {first + 1} to {last + 1}"
    return (
        f" No row follows: if something else stands behind the last row, remove {lines} of the file; if the last row is cut off, "
        "get the file again."
    )


@contextlib.contextmanager
def _damage(file: Path, num_read: Callable[[], int]) -> Iterator[None]:
    """Any error of reading or unpacking is the file's fault."""
    try:
        yield
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{file} is damaged or cut off after row {num_read()} ({error}). Get the file again.") from error


def _label(where: str, text: bytes, class_names: tuple[str, ...]) -> int:
    label = _VALUES.get(text.strip())
    if label is None or label >= len(class_names):
        listed = ", ".join(f"{number} {name}" for number, name in enumerate(class_names))
        raise DatasetError(f"{where}: emotion is '{_shown(text)}'; allowed: {listed}.")
    return label


def _pixels(where: str, text: bytes) -> bytes:
    values = text.split()
    if len(values) != SIDE * SIDE:
        raise DatasetError(f"{where}: {_wrong_count(len(values))}")
    try:
        return bytes(map(_VALUES.__getitem__, values))
    except KeyError:
        place, wrong = next((place, value) for place, value in enumerate(values, start=1) if value not in _VALUES)
        raise DatasetError(f"{where}: pixel {place:,} is '{_shown(wrong)}'; allowed: whole numbers from 0 to 255.") from None


def _wrong_count(count: int) -> str:
    return f"{count:,} {'pixel' if count == 1 else 'pixels'}; allowed: {SIDE * SIDE:,}, which is {SIDE}x{SIDE}."


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
