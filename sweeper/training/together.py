"""Several trials of one configuration, trained at once by one worker as an axis of one program; on JAX.

To everyone else each member is a trial like all others: it has its own rows and its own checkpoints, of the form they have alone,
so it can go on alone, or with others.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Collection, Sequence
from typing import Any

from sweeper.errors import StorageError
from sweeper.training.failures import failure
from sweeper.training.program import Member, Program
from sweeper.training.trial import TOGETHER, Assignment, Worker


class Together:
    """Attempts at trials that differ in their seeds alone; its making prepares them, as `Worker.start` does one.

    What the worker spends on all is divided among them, so that the sum over rows is what it spent.

    Args:
        worker: Runs them.
        assignments: At least one, all of one architecture and configuration.
    """

    def __init__(self, worker: Worker, assignments: Sequence[Assignment]):
        started = time.perf_counter()
        self._worker = worker
        self._members = [_Member(worker, assignment, len(assignments), started) for assignment in assignments]
        worker._import_s = None
        self._left = {member.trial: member for member in self._members}
        self._end: dict[str, Any] | None = None
        try:
            self._prepare()
        except StorageError as error:
            self._end = {"fault": str(error)}
        except Exception as error:
            self._end = self._failed(error)
        worker._idle_since = time.perf_counter()
        for member in self._members:
            member._build_s = (worker._idle_since - started) / len(assignments)

    def step(self) -> dict[str, Any]:
        """The next report of those that are left.

        Returns:
            ``{"members": {trial: report}}``, each as of `Worker.step`; or ``{"fault": text}``.
        """
        if self._end is not None:
            return self._end
        found = {trial: {"rows": member._found()} for trial, member in self._left.items()}
        if any(report["rows"] for report in found.values()):
            return {"members": found}
        waited_s = time.perf_counter() - self._worker._idle_since
        try:
            with contextlib.ExitStack() as writing:
                for member in self._left.values():
                    member._wait_s += waited_s / len(self._left)
                    writing.enter_context(member._writing_beside())
                rows = self._train_epoch()
            for trial, row in rows.items():
                self._left[trial]._keep(row)
        except Exception as error:
            end = self._members[0]._end_of(error)
            self._end = end if "fault" in end else self._failed(error)
        finally:
            self._worker._idle_since = time.perf_counter()
        return self._end or {"members": {trial: {"rows": [row]} for trial, row in rows.items()}}

    def keep(self, trials: Collection[str]) -> None:
        """Go on with these; the others are over. They stay in the program, and nobody looks at them."""
        self._left = {trial: member for trial, member in self._left.items() if trial in trials}

    def _prepare(self) -> None:
        first = self._members[0]._assignment
        seeds = [member._seeds for member in self._members]
        programs, is_reused = self._worker._programs.prepare_several(first.architecture, first.configuration, seeds)
        self._program: Program = programs[0].program
        for member, program in zip(self._members, programs, strict=True):
            member._go_on(program, is_reused)

    def _train_epoch(self) -> dict[str, dict[str, Any]]:
        """The rows of those that are left, each of an epoch of its own."""
        started = time.perf_counter()
        epochs = [len(member._rows) + (member.trial in self._left) for member in self._members]
        inputs = [member._inputs(epoch) for member, epoch in zip(self._members, epochs, strict=True)]
        orders, learning_rates = zip(*inputs, strict=True)
        means = self._loop.train_each(orders, learning_rates, self._program.vector)
        trained = time.perf_counter()
        validations = self._loop.validate_each()
        evaluated = time.perf_counter()
        train_s, evaluate_s = ((end - begin) / len(self._left) for begin, end in ((started, trained), (trained, evaluated)))
        return {
            member.trial: member._row(epoch, learning_rate, measured, validation, train_s, evaluate_s)
            for member, epoch, learning_rate, measured, validation in zip(
                self._members, epochs, learning_rates, means, validations, strict=True
            )
            if member.trial in self._left
        }

    @property
    def _loop(self) -> Any:
        return self._program.loop

    def _failed(self, error: Exception) -> dict[str, Any]:
        """The report that an error, which is nobody's own, ended all."""
        return {"members": {trial: {"failure": failure(error)} for trial in self._left}}


class _Member(Worker):
    """A worker with an attempt of its own, and the programs, the device and the writer of the one it is a part of."""

    def __init__(self, worker: Worker, assignment: Assignment, count: int, started: float):
        vars(self).update(vars(worker))
        self.trial, self._count = assignment.trial, count
        self._begin(assignment, started)
        self._wait_s /= count
        self._import_s = None if worker._import_s is None else worker._import_s / count

    def _go_on(self, program: Program | Member, is_reused: bool) -> None:
        super()._go_on(program, is_reused)
        self.versions = json.dumps(json.loads(self.versions) | {TOGETHER: self._count})
