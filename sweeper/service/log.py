"""The log of a run: what happened, line by line, in a file."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from typing import IO

from sweeper import secrecy
from sweeper.errors import InputError, SweeperError


class Log:
    """Lines with their time (UTC) at the end of a file, each there as soon as it is written.

    Args:
        path: The file; one that exists is continued. None for no file.

    Raises:
        InputError: It cannot be written.
    """

    def __init__(self, path: str | None = None):
        self._file: IO[str] | None = None
        if path is not None:
            try:
                self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  # it ends with the process
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                raise InputError(f"--log {path}: it cannot be written ({why}). Name a file in a folder that exists.") from None

    def write(self, text: str) -> None:
        """Append a line for each line of a text, without credentials; without a file, do nothing."""
        if self._file is None:
            return
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._file.writelines(f"{now} {line}\n" for line in secrecy.without(text).splitlines() if line.strip())
        self._file.flush()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Write what ends the block early, and pass it on."""
        try:
            yield
        except SweeperError as error:
            self.write(f"error: {error}")
            raise
        except KeyboardInterrupt:
            self.write("interrupted; everything finished so far is saved.")
            raise


NO_LOG = Log()
"""Writes nothing."""
