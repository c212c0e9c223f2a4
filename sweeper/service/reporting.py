"""The report of a stored study, and its files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sweeper.service.stored import results_of
from sweeper.service.words import plain_data

if TYPE_CHECKING:
    from sweeper.driver.opened import OpenedStudy
    from sweeper.report.parts import Report
    from sweeper.storage import Place


def written(opened: OpenedStudy, out: Place | None = None) -> tuple[Report, dict[str, Any], list[Place]]:
    """Write the report of a study: what it says, the same as facts, and its files, ``report.html`` first.

    Args:
        opened: The study.
        out: Where to write; None for ``report/`` in its folder.

    Raises:
        ResultsFolderError: The folder cannot be written.
    """
    from sweeper.report.build import facts, report
    from sweeper.report.page import page
    from sweeper.report.text import markdown

    told = report(results_of(opened, with_predictions=True), notes=notes_of(opened))
    data = plain_data(facts(told))
    texts = {"report.html": page(told), "report.md": markdown(told), "report.json": json.dumps(data, indent=2) + "\n"}
    return told, data, _write(texts, out or opened.folder / "report")


def notes_of(opened: OpenedStudy) -> list[str]:
    """Caveats that the tables of results do not tell."""
    notes = []
    if not opened.events:
        return ["The ledger of the study holds nothing: nothing has begun, or the folder ledger/ was lost."]
    if opened.files.owner is not None:
        notes.append("A driver is at work on the study now.")
    search = opened.search
    if to_come := sum(search.to_come(arm) for arm in opened.spec.arms) + len(search.planned):
        notes.append(f"{to_come:,} planned trial{' has' if to_come == 1 else 's have'} not begun.")
    return notes


def _write(texts: dict[str, str], folder: Place) -> list[Place]:
    """Write files whole, in place of older ones; a folder that cannot be written is the user's to change."""
    from sweeper.errors import ResultsFolderError, StorageError

    files = [folder / name for name in texts]
    try:
        folder.make_folder()
        for file, text in zip(files, texts.values(), strict=True):
            file.write_whole(text.encode(), may_replace=True)
    except StorageError:
        raise
    except OSError as error:
        raise ResultsFolderError(f"{folder} cannot be written ({error.strerror}). Give another folder with --out.") from None
    return files
