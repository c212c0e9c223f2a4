"""The whole way from a word to a model, the names of its classes and its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.models.card import card
from sweeper.models.choosing import chosen, weights_of
from sweeper.models.exporting import Exported, checked, export_model

if TYPE_CHECKING:
    from sweeper.analysis.results import Results
    from sweeper.driver.opened import OpenedStudy


def write_model(
    opened: OpenedStudy, results: Results, name: str, file: Path, *, kind: str | None = None, force: bool = False
) -> Exported:
    """Write the model that a word means: ``FILE``, ``FILE.json`` with the names of its classes, and its card ``FILE.md``.

    Args:
        opened: The study.
        results: Its results, of all stages.
        name: ``best``, an arm or a trial, see `sweeper.models.choosing.chosen`.
        file: Where to; its folder exists.
        kind: ``keras``, ``savedmodel``, ``onnx`` or ``litert``; None for what the name of the file says.
        force: Whether older files of these names may be replaced.

    Raises:
        InputError: No such model, its weights were not kept, or the file cannot be written so.
        SweeperError: The model does not give what is recorded of its trial; nothing is written then.
    """
    kind = checked(file, kind, force=force)  # before anything takes time
    trial = chosen(opened, results, name)
    exported = export_model(opened, trial, weights_of(opened, trial, results.named), file, kind=kind, force=force)
    Path(f"{file}.md").write_text(card(results, exported), encoding="utf-8")
    return exported
