"""A study that is submitted to a cluster, interrupted there and submitted again, and what must hold of it then."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Kind
from sweeper.study import spec
from tests.system.hosts import Host
from tests.tiny_study import TINY, check_whole

ROOT = Path(__file__).parents[2]

EPOCHS = 250

STUDY = {
    "name": "tiny",
    "dataset": {"name": "digits", "fraction": 0.1},
    "arms": {"cnn": {"fixed": {**TINY, "width": 16, "num_blocks": 2, "dense_units": 64}}},
    "budget": {"trials": 2, "max_epochs": EPOCHS},
    "search": {"sampler": "random"},
    "stopping": {"rule": "none"},
}
"""Two trials of some seconds each, so that they can be interrupted."""

ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
"""That of commands on hosts."""


class Submitted:
    """The study, with a folder of its own whose name a shell must quote.

    Args:
        host: From where it is submitted.
        folder: Holds everything.
        kind: The cluster file's content.
        settings: Environment variables of the commands.
        python: What runs them.
    """

    def __init__(
        self, host: Host, folder: Path, kind: dict[str, object], settings: dict[str, str], python: Path | str = sys.executable
    ):
        self._python = str(python)
        self._host = host
        self._folder = folder / "it's here"
        self._folder.mkdir()
        self._settings = ENVIRONMENT | settings
        for name, content in (("study.yaml", STUDY), ("cluster.yaml", kind)):
            (self._folder / name).write_text(json.dumps(content))  # which is YAML, too
        self.results = self._folder / "results"

    def do(self, *command: str) -> str:
        """Run a command from there to its end: what it printed. It must succeed."""
        code, said = self._host.run(command, folder=self._folder, timeout=200, **self._settings)
        assert code == 0, said
        return said

    def launch(self) -> str:
        """Submit it as a user does."""
        return self.do(self._python, "-m", "sweeper", "launch", "study.yaml", "--cluster", "cluster.yaml", "--results", "results")

    def cluster(self, word: str) -> str:
        """``sweeper cluster WORD`` of it."""
        return self.do(self._python, "-m", "sweeper", "cluster", word, "cluster.yaml", "study.yaml", "--results", "results")

    def num_epochs(self) -> int:
        """Epochs that are stored."""
        there = (self.results / "tiny" / "ledger").is_dir()
        return sum(event.kind is Kind.EPOCH for event in StudyFolder(self.results / "tiny").read()) if there else 0

    def hosts(self) -> set[str]:
        """Where its epochs were trained."""
        events = StudyFolder(self.results / "tiny").read()
        return {(event.worker or "").split(":")[0] for event in events if event.kind is Kind.EPOCH}

    def await_end(self, what: Callable[[], str]) -> None:
        """Wait until every epoch is stored. To ask the cluster starts a program each time, on the study's own CPUs."""
        until(lambda: self.num_epochs() == 2 * EPOCHS, 450, what)

    def check(self) -> None:
        """It is finished: every trial has every epoch once, some from before and some from after the interruption."""
        check_whole(self.results / "tiny", spec.load(self._folder / "study.yaml"))
        attempts = {event.attempt for event in StudyFolder(self.results / "tiny").read() if event.kind is Kind.EPOCH}
        assert len(attempts) > 1, "no trial was interrupted"


def until(condition: Callable[[], object], seconds: float, what: Callable[[], str]) -> None:
    """Wait for something.

    Raises:
        AssertionError: It has not come in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what()}"
        time.sleep(0.5)
