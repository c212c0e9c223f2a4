"""Where results come from: columns and notes that say which study, code, data and versions they were made with."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeper.datasets import Dataset
    from sweeper.study.spec import StudySpec


def constants_of(spec: StudySpec, dataset: Dataset) -> dict[str, str | None]:
    """Columns that are the same in every event of a run: which study, which code, which data."""
    return {"study_id": spec.study_id, "commit": commit(), "dataset": _describe(spec, dataset)}


def _describe(spec: StudySpec, dataset: Dataset) -> str:
    sizes = {"train_images": len(dataset.train), "validation_images": len(dataset.validation)}
    if num_unreadable := dataset.train.num_unreadable + dataset.validation.num_unreadable:
        sizes["unreadable_files"] = num_unreadable
    return json.dumps({**spec.dataset.model_dump(mode="json"), **sizes})


def versions() -> dict[str, str]:
    """Versions of what decides a result, beside the backend's, which its workers tell."""
    from importlib import metadata

    return {name: metadata.version(name) for name in ("sweeper", "ray", "optuna", "keras", "numpy", "pyarrow")}


def commit() -> str | None:
    """Commit of the repository the code runs from; None when it is installed without one.

    An installed copy may lie inside somebody else's repository, which does not know its files.
    """
    git = ["git", "-C", str(Path(__file__).parent)]
    options: dict[str, Any] = {"capture_output": True, "text": True, "check": True, "timeout": 5}
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", Path(__file__).name], **options)
        return str(subprocess.run([*git, "rev-parse", "HEAD"], **options).stdout).strip()
    except (OSError, subprocess.SubprocessError):
        return None
