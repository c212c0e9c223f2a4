"""Stored studies: found by name or folder, opened, their result tables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sweeper.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from sweeper.analysis.results import Results
    from sweeper.driver.opened import OpenedStudy, RecordedStudy
    from sweeper.ledger.ledger import StudyFolder
    from sweeper.storage import Place
    from sweeper.study.spec import StudySpec

RESULTS = "results"
"""Folder of studies where none is named."""


def find_study(results_folder: Place, study: str) -> StudyFolder:
    """The stored study: a folder that holds one, or a name under the results folder.

    Raises:
        InputError: There is none.
        UnknownNameError: There is none of this name; the ones that exist are listed.
    """
    from sweeper.ledger.ledger import StudyFolder, study_folder

    direct = StudyFolder(study)
    if study and direct.exists:
        return direct
    is_name = os.sep not in study and study not in (".", "..")
    if is_name and (stored := StudyFolder(study_folder(results_folder, study))).exists:
        return stored
    existing = sorted(name for name in results_folder.names() if (results_folder / name / "study.yaml").is_file())
    listed = f"Studies in {results_folder}: {', '.join(existing)}." if existing else f"There is no study in {results_folder} yet."
    if study.endswith((".yaml", ".yml")):
        raise InputError(f"{study} is a study file. Give the name of a study that was launched, or its folder. {listed}")
    if not is_name:
        raise InputError(f"{study} is not the folder of a study: it holds no study.yaml. {listed}")
    if not existing:
        raise InputError(f"unknown study '{study}'. {listed} Start one with: sweeper launch STUDY.yaml")
    raise UnknownNameError("study", study, existing, where=results_folder)


def study_to_come(results_folder: Place, study: str) -> StudyFolder | None:
    """Where a study of this name, or in this folder, would lie; None where there is one, or it can be no study.

    Raises:
        InputError: It cannot be the name of a study.
    """
    from sweeper.ledger.ledger import StudyFolder, study_folder

    if not study or study in (".", "..") or study.endswith((".yaml", ".yml")) or StudyFolder(study).exists:
        return None
    found = StudyFolder(study if os.sep in study else study_folder(results_folder, study))
    return None if found.exists else found


def open_named(results_folder: Place, study: str) -> OpenedStudy:
    """The stored study that `find_study` finds, opened; raises as that does, and as `sweeper.driver.opened.open_study`."""
    from sweeper.driver.opened import open_study

    return open_study(find_study(results_folder, study))


def open_if_stored(results_folder: Place, name: str) -> OpenedStudy | None:
    """The stored study of a name, opened; None where there is none."""
    from sweeper.driver.opened import open_study
    from sweeper.ledger.ledger import StudyFolder, study_folder

    files = StudyFolder(study_folder(results_folder, name))
    return open_study(files) if files.exists else None


def folder_of_studies(opened: OpenedStudy) -> Place:
    """The folder a stored study is launched in again.

    Raises:
        ResultsFolderError: Launching by name would find no such folder there, and begin the study anew beside it.
    """
    from sweeper.errors import ResultsFolderError

    name, folder = opened.first.name, opened.folder.resolve()
    if folder.name != name:
        raise ResultsFolderError(f"{opened.folder} holds the study '{name}' under another name. Rename it to {name}.")
    return folder.parent


def recorded_named(results_folder: Place, study: str, **wanted: bool) -> RecordedStudy:
    """The results of the stored study that `find_study` finds; takes and raises what `sweeper.driver.opened.recorded` does."""
    from sweeper.driver.opened import recorded

    return recorded(find_study(results_folder, study), **wanted)


def results_of(study: OpenedStudy | RecordedStudy, *, with_predictions: bool = False) -> Results:
    """The result tables of a stored study, also while it runs; its predictions where asked for."""
    from sweeper.analysis.results import Results
    from sweeper.driver.images import images_of
    from sweeper.ledger import predictions

    derived = study.derived
    found, class_names = predictions.read(study.folder) if with_predictions else (None, ())
    own: dict[str, Any] = {} if found is None else {"predictions": found.to_pandas(), "class_names": class_names}
    return Results(
        study=study.first.name,
        objectives=study.first.goals,
        trials=derived.trials.to_pandas(),
        epochs=derived.epochs.to_pandas(),
        runs=derived.runs.to_pandas(),
        looks=derived.looks,
        timed_while_busy=derived.timed_while_busy,
        limits=study.first.limits,
        baseline=study.first.baseline,
        resources=_resources(study.spec),
        images=images_of(study.first),
        typed="" if _is_found_by_name(study) else str(study.folder),
        **own,
    )


def _resources(spec: StudySpec) -> dict[str, str]:
    """What a trial of each arm occupies, in words; nothing where that is the same for all."""
    from sweeper.driver.nodes import words

    return {arm: words(spec.resources_of(arm)) for arm in spec.arms} if len(spec.shapes) > 1 else {}


def _is_found_by_name(study: OpenedStudy | RecordedStudy) -> bool:
    """Whether commands find a study in the folder of results that they look in by themselves."""
    from sweeper.storage import place

    return str(study.folder.resolve()) == str((place(RESULTS) / study.first.name).resolve())
