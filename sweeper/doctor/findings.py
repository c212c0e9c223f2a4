"""What a check comes to. A check that raises or does not end is a finding, too."""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Callable, Iterable, Iterator

from sweeper import secrecy
from sweeper.errors import SweeperError, first_line

CHECK_TIMEOUT_S = 180.0
"""Time limit of one check, if it has none of its own."""


class Level(enum.StrEnum):
    """How bad a finding is: a sweep would fail of a fault alone."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found.

    Args:
        level: How bad it is.
        what: What was looked at, in a word or two.
        found: What was found, without credentials.
        fix: What to do; ``""`` where nothing is to be done.
    """

    level: Level
    what: str
    found: str
    fix: str = ""


def ok(what: str, found: str) -> Finding:
    """Nothing to be done."""
    return Finding(level=Level.OK, what=what, found=found)


def warning(what: str, found: str, fix: str) -> Finding:
    """A sweep would run, but."""
    return Finding(level=Level.WARNING, what=what, found=found, fix=fix)


def fault(what: str, found: str, fix: str = "") -> Finding:
    """A sweep would fail."""
    return Finding(level=Level.FAULT, what=what, found=found, fix=fix)


def checked(what: str, check: Callable[[], Iterable[Finding]], limit_s: float = CHECK_TIMEOUT_S) -> Iterator[Finding]:
    """The findings of a check.

    Args:
        what: What it looks at.
        check: Gives them. A `SweeperError` that it raises is a fault: a sweep would end with it. Any other error means that the
            check could not be done, as does no end within the limit; then it is left behind, in a thread that ends with us.
        limit_s: Its time limit.
    """
    found: list[Finding] = []

    def run() -> None:
        try:
            found.extend(check())
        except SweeperError as error:
            found.append(fault(what, str(error)))
        except Exception as error:
            found.append(_undone(what, f"{type(error).__name__}: {first_line(error, 300)}"))

    thread = threading.Thread(target=run, name=f"sweeper-doctor {what}", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        found = [*found, _undone(what, f"it did not end within {limit_s:.0f} s")]
    yield from (dataclasses.replace(one, found=secrecy.without(one.found)) for one in found)


def _undone(what: str, why: str) -> Finding:
    return warning(what, f"this could not be checked: {why}", "look at it by hand before a long sweep")
