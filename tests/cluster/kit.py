"""What tests of kinds of cluster share: a job, and the golden files, each a whole file that a kind renders."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import Any

from sweeper.submission import Job

GOLDEN = Path(__file__).with_name("golden")
STUDY = "name: digits\ndataset: {name: digits}\narms: {cnn: {}}\nbudget: {trials: 2, max_epochs: 1}\n"


def job_in(folder: Path, **facts: Any) -> Job:
    """A job whose study lies in a folder."""
    (folder / "digits.yaml").write_text(STUDY)
    return Job(**{"study": "digits", "study_file": folder / "digits.yaml", "results": "/mnt/lab/results"} | facts)


def assert_golden(name: str, text: str, folder: Path) -> None:
    """Hold a rendered file to the one that was accepted, whatever the version of Ray and the folder that it was made in."""
    found = text.replace(str(folder), "/home/me").replace(metadata.version("ray"), "RAY")
    if "ACCEPT" in os.environ:
        (GOLDEN / name).write_text(found, encoding="utf-8")
    expected = (GOLDEN / name).read_text(encoding="utf-8")
    assert found == expected, f"{name} has changed. If that is meant: ACCEPT=1 python -m pytest tests/cluster"
