"""What a kind of cluster gets and gives that a study is submitted to: a job, and the files and commands that carry it there."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import string
from collections.abc import Mapping
from pathlib import Path

from sweeper.errors import InputError

Command = tuple[str, ...]
"""A program and its arguments; no shell reads them."""

LONGEST_NAME = 47
"""Characters of a job's name. KubeRay takes no longer one, because it adds to it, and Kubernetes has names of 63."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A study that is to run on a cluster: run or resumed, so that a job that is submitted again goes on.

    Args:
        study: Name of the study.
        study_file: Its file on this machine, absolute.
        results: Folder of all studies, absolute, or its address in a bucket.
        code: Folder of the user's own code on this machine, absolute, or its address in a bucket; None without.
        arguments: Further arguments of ``sweeper launch``, for example ``("--max-concurrent", "4")``.
        cpus_per_trial: CPUs of a trial, the most of any arm.
        gpus_per_trial: GPUs of a trial, the most of any arm.
    """

    study: str
    study_file: Path
    results: str
    code: str | None = None
    arguments: tuple[str, ...] = ()
    cpus_per_trial: float = 1
    gpus_per_trial: float = 0

    @property
    def name(self) -> str:
        """The job's name wherever it is submitted: lower-case letters, digits and hyphens; another study has another one."""
        plain = re.sub(r"[^a-z0-9-]+", "-", self.study.lower()).strip("-")
        is_plain = plain == self.study and re.search(r"-[0-9a-f]{6}$", plain) is None  # that looks like another one's digest
        if is_plain and len(plain) <= LONGEST_NAME - len("sweeper-"):
            return f"sweeper-{plain}"
        digest = hashlib.sha256(self.study.encode()).hexdigest()[:6]
        return f"sweeper-{plain[: LONGEST_NAME - len('sweeper--') - len(digest)].strip('-')}-{digest}"

    def command(self, *, study_file: str | None = None, code: str | None = None, results: str | None = None) -> Command:
        """What runs on a node of the cluster: the study's file launched there, on the Ray that runs around it.

        Args:
            study_file: Where the file lies there; None for where it lies here.
            code: The same of the user's own code.
            results: The same of the results folder.
        """
        folder = code or self.code
        own = () if folder is None else ("--code", folder)
        where = ("--results", results or self.results, "--cluster", "attach")
        return ("sweeper", "launch", study_file or str(self.study_file), *where, *own, *self.arguments)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submission:
    """The files that carry a job to a cluster, and the commands that do so; all are found again by the job's name.

    Args:
        files: Text of each file, by its name in a folder of their own. The commands run in that folder.
        submit: Commands that start the job.
        status: Commands that show how it is.
        logs: Commands that show what it has printed.
        down: Commands that end it, and with it whatever costs money.
        notes: What to know of it: what it needs, costs and exposes; a sentence each.
        by_hand: Why no command is run from here, and what to do instead; ``""`` where they are.
    """

    files: Mapping[str, str]
    submit: tuple[Command, ...] = ()
    status: tuple[Command, ...] = ()
    logs: tuple[Command, ...] = ()
    down: tuple[Command, ...] = ()
    notes: tuple[str, ...] = ()
    by_hand: str = ""


class _Text(string.Template):
    """Text with holes written ``%%{name}``: ``$`` stays what it is in a shell, and braces what they are in YAML."""

    delimiter = "%%"


def filled(template: Path, **values: str) -> str:
    """The text of a template with its holes filled; a value is put there as it is, so quote it for the language around it.

    Args:
        template: The file.
        **values: What goes into each hole ``%%{name}``. All of them have one, and every hole is filled.
    """
    text = template.read_text(encoding="utf-8")
    holes = {*_Text(text).get_identifiers()}
    assert holes == {*values}, f"{template.name}: holes {sorted(holes)}, values {sorted(values)}"
    return _Text(text).substitute(values)


def one_line(name: str, value: str) -> str:
    """A value that must not begin a new line where it is put.

    Raises:
        InputError: It holds a control character.
    """
    if not value.isprintable():
        raise InputError(f"{name}: {value[:40]!r} holds a character that is not printed. Write it on one line.")
    return value
