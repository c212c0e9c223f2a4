"""What the tests of study files share: a minimal study, and its faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.errors import StudyFileError
from sweeper.study.spec import parse

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))

MINIMAL = """\
name: mine
dataset: {name: digits}
arms:
  cnn:
budget: {trials: 4, max_epochs: 3}
"""


def faults(text: str) -> list[str]:
    """Every fault of a text, in order."""
    with pytest.raises(StudyFileError) as caught:
        parse(text, "study.yaml")
    assert caught.value.exit_code == 2
    return list(caught.value.faults)


def fault(text: str) -> str:
    """The only fault of a text."""
    found = faults(text)
    assert len(found) == 1, found
    return found[0]


def with_name(name: str) -> str:
    return MINIMAL.replace("name: mine", f"name: {name}")


def with_arm(arm: str) -> str:
    """The minimal study with this line in place of its arm."""
    return MINIMAL.replace("  cnn:", f"  {arm}")


def with_fixed(fixed: str, arm: str = "cnn") -> str:
    return with_arm(f"{arm}: {{fixed: {{{fixed}}}}}")
