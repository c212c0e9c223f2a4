"""The report of a stored study, and its files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sweeper.service.stored import results_of
from sweeper.service.words import plain_data

if TYPE_CHECKING:
    from sweeper.driver.opened import OpenedStudy, RecordedStudy
    from sweeper.report.parts import Report
    from sweeper.storage import Place


def written(study: OpenedStudy | RecordedStudy, out: Place | None = None) -> tuple[Report, dict[str, Any], list[Place]]:
    """Write the report of a study: what it says, the same as facts, and its files, ``report.html`` first.

    Args:
        study: The study, its trials to come known.
        out: Where to write; None for ``report/`` in its folder.

    Raises:
        ResultsFolderError: The folder cannot be written.
    """
    from sweeper.report.build import facts, report
    from sweeper.report.page import page
    from sweeper.report.text import markdown

    told = report(results_of(study, with_predictions=True), notes=notes_of(study))
    data = plain_data(facts(told))
    texts = {"report.html": page(told), "report.md": markdown(told), "report.json": json.dumps(data, indent=2) + "\n"}
    return told, data, _write(texts, out or study.folder / "report")


def notes_of(study: OpenedStudy | RecordedStudy) -> list[str]:
    """Caveats that the tables of results do not tell."""
    if not study.num_events:
        return ["The ledger of the study holds nothing: nothing has begun, or the folder ledger/ was lost."]
    notes = []
    if study.files.owner is not None:
        notes.append("A driver is at work on the study now.")
    if to_come := study.num_to_come:
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
