"""A kind of cluster as a user names it, with its options; the job submitted there; its files written, its commands run."""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper import catalog
from sweeper.errors import InputError, ResultsFolderError, StudyFileError, SweeperError, UnknownNameError, unknown
from sweeper.storage import explain, place
from sweeper.submission import Command, Job, Submission

if TYPE_CHECKING:
    from sweeper.study.spec import StudySpec

COMMAND_TIMEOUT_S = 900.0
"""Time limit of one command. Machines that start may take minutes; a command that asks a question would wait for ever."""

OURS = (sys.executable, "-m")
"""How a command begins that is a module of ours: what it says, and its exit code, are those of this program."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Named:
    """A kind of cluster with the options a user gave.

    Args:
        kind: Name in the catalog.
        options: Arguments of its function, for example ``{"nodes": 2}``.
    """

    kind: str
    options: Mapping[str, Any]

    @property
    def submits(self) -> bool:
        """Whether a study is submitted there, instead of being run by this process."""
        return catalog.submits(self.kind)

    def submission(self, job: Job) -> Submission:
        """What carries a job there.

        Raises:
            InputError: The kind takes no job, an option is missing, or its value cannot be.
        """
        if not self.submits:
            raise InputError(
                f"--cluster {self.kind} runs a study from here, so there is nothing to submit. Run: sweeper launch "
                f"{job.study_file} --cluster {self.kind}"
            )
        missing = [name for name, known in catalog.parameters("cluster", self.kind).items() if known.default == known.REQUIRED]
        if missing := [name for name in missing if name not in self.options]:
            example = "\n".join(f"  {line}" for line in (f"kind: {self.kind}", *(f"{name}: ..." for name in missing)))
            raise InputError(
                f"a cluster of kind {self.kind} needs {', '.join(missing)}. Write a file, for example my_cluster.yaml, and "
                f"name it:\n{example}"
            )
        found: Submission = catalog.load("cluster", self.kind)(job, **self.options)
        return found


def named(where: str) -> Named:
    """The cluster that a user means: the name of a kind, or a file with ``kind`` and its options.

    Raises:
        UnknownNameError: No such kind.
        InputError: The file cannot be read, or holds what cannot be; all its faults at once.
    """
    if where.endswith((".yaml", ".yml")) or os.sep in where:
        return _read(Path(where))
    catalog.check("cluster", where)
    return Named(kind=where, options={})


def _read(path: Path) -> Named:
    from sweeper.study import strict_yaml
    from sweeper.study.text import text_of

    reading = strict_yaml.read(text_of(path, "cluster file"))
    faults = [f"line {line}: {text}" for line, _, text in reading.faults]
    raw = reading.data
    if not faults and not isinstance(raw, dict):
        faults = ["it holds no keys and values; write at least: kind: KIND"]
    if faults:
        raise StudyFileError(path, faults)
    kind = raw.pop("kind", None)
    if not isinstance(kind, str):
        raise StudyFileError(path, [f"kind is missing. Allowed: {', '.join(catalog.names('cluster'))}."])
    try:
        catalog.check("cluster", kind)
    except UnknownNameError as error:
        raise StudyFileError(path, [f"line {strict_yaml.line_of(('kind',), reading.lines)}, kind: {error}"]) from None
    wrong = [f"line {strict_yaml.line_of((key,), reading.lines)}, {key}: {text}" for key, text in _wrong_options(kind, raw)]
    if wrong:
        raise StudyFileError(path, wrong)
    return Named(kind=kind, options={key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()})


def _wrong_options(kind: str, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with options of a kind, each with its name."""
    from sweeper.study.faults import argument_problem

    known = catalog.parameters("cluster", kind)
    for key, value in given.items():
        if key not in known:
            yield key, unknown(f"option of {kind}", key, known)
        elif problem := argument_problem(known[key], value):
            yield key, problem


def job_of(study: StudySpec, study_file: Path, results: str, arguments: Sequence[str]) -> Job:
    """The job that runs a study, with the user's own code that is in use.

    Args:
        study: The study.
        study_file: Its file.
        results: Folder of all studies, or its address.
        arguments: Further arguments of ``sweeper launch``.
    """
    code = catalog.current()
    return Job(
        study=study.name,
        study_file=study_file.resolve(),
        results=str(place(results).resolve()),
        code=None if code is None else str(place(code.origin).resolve()),
        arguments=tuple(arguments),
        cpus_per_trial=max(shape.cpus_per_trial for shape in study.shapes),
        gpus_per_trial=max(shape.gpus_per_trial for shape in study.shapes),
    )


def render(submission: Submission, folder: Path) -> list[Path]:
    """Write the files of a submission into a folder, over older ones of the same names.

    Raises:
        ResultsFolderError: It cannot be written.
    """
    try:
        for name, text in submission.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultsFolderError(explain(error, place(str(folder)))) from error
    return [folder / name for name in submission.files]


def perform(commands: Sequence[Command], folder: Path, tell: Callable[[str], None]) -> str:
    """Run commands one after the other.

    Args:
        commands: They.
        folder: Where they run; it holds the submission's files.
        tell: Is told each command before it runs.

    Returns:
        What they printed on their standard output.

    Raises:
        InputError: A program is not installed, or a module of ours says that the input is wrong.
        SweeperError: One failed or took too long; the later ones were not run.
    """
    missing = [command[0] for command in commands if shutil.which(command[0]) is None]
    if missing:
        raise InputError(
            f"{missing[0]} is not installed here, or not on PATH. Run this where it is, such as the cluster's login node."
        )
    printed = []
    for command in commands:
        tell(f"$ {shlex.join(command)}")
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise SweeperError(f"{shlex.join(command)}: no end within {COMMAND_TIMEOUT_S:.0f} s, so it was ended.") from None
        if done.returncode != 0:
            tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-12:])
            if command[:2] == OURS:
                raise (InputError if done.returncode == InputError.exit_code else SweeperError)(tail)
            raise SweeperError(f"{shlex.join(command)} failed with {done.returncode}:\n{tail}")
        printed.append(done.stdout)
    return "".join(printed)
