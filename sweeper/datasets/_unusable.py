"""Files of a folder that cannot be used: what is wrong with each, and one report on all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sweeper.errors import MOST_NAMES, DatasetError

CHOICES = ("error", "skip")
"""What the option ``unreadable`` of folders may be."""


class Fault(NamedTuple):
    """A file that cannot be used.

    Args:
        file: Which.
        kind: What kind of fault, as it stands behind a number: "3 cut off", "2 not an image".
        why: What exactly is wrong.
    """

    file: Path
    kind: str
    why: str


class UnusableError(Exception):
    """An image cannot be used.

    Args:
        kind: As for `Fault`.
        why: As for `Fault`.
    """

    def __init__(self, kind: str, why: str):
        super().__init__(why)
        self.kind, self.why = kind, why


def report(where: object, faults: Iterable[Fault], num_files: int) -> DatasetError:
    """The error for files that cannot be used: how many of each kind, and the first by name with what is wrong with them."""
    found = sorted(set(faults))
    lines = [f"  - {fault.file}: {fault.kind} ({fault.why})" for fault in found[:MOST_NAMES]]
    if len(found) > MOST_NAMES:
        lines.append(f"  and {len(found) - MOST_NAMES:,} more")
    head = f"{where}: {len(found):,} of {num_files:,} files cannot be used: {_kinds(found)}."
    advice = "Replace them, or move them away, or leave them out with unreadable: skip."
    return DatasetError("\n".join([head, *lines, advice]))


def note(faults: Iterable[Fault], num_files: int) -> tuple[str, ...]:
    """A sentence on the training and validation files that were left out; none where there is none."""
    found = sorted(set(faults))
    if not found:
        return ()
    return (
        f"{len(found):,} of {num_files:,} training and validation files cannot be used and were left out: {_kinds(found)}. "
        f"The first is {found[0].file}.",
    )


def _kinds(faults: Iterable[Fault]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in Counter(fault.kind for fault in faults).most_common())
