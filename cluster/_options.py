"""Checks of options that kinds of cluster share."""

from __future__ import annotations

import re

from sweeper.errors import InputError
from sweeper.submission import Command, Job, one_line


def count(name: str, value: int, least: int = 1, most: int = 1_000_000) -> int:
    """A whole number of something, if it lies in its range.

    Raises:
        InputError: It does not.
    """
    if not least <= value <= most:
        raise InputError(f"{name}: {value} is not from {least} to {most:,}.")
    return value


def word(name: str, value: str, allowed: str = r"[A-Za-z0-9._:,=@/+*\[\]-]+", example: str = "") -> str:
    """A value that is one word wherever it is put, for example the name of a partition.

    Args:
        name: What it is called.
        value: It.
        allowed: What it may be, as a regular expression.
        example: One that is allowed, for the error.

    Raises:
        InputError: It is not allowed.
    """
    if not re.fullmatch(allowed, value) or value.startswith("-"):
        hint = f", for example {example}" if example else ""
        raise InputError(f"{name}: {value[:40]!r} cannot be used; write one word of letters, digits and punctuation{hint}.")
    return value


def lines(name: str, values: tuple[str, ...]) -> str:
    """Lines of a script, as they are.

    Raises:
        InputError: One of them is several.
    """
    return "\n".join(one_line(f"{name}, item {number}", value) for number, value in enumerate(values, start=1))


def growing(command: Command, workers: int, cpus: int, gpus: int) -> Command:
    """A command that runs while Ray's autoscaler is asked for workers, as many as there may be; else it would add none."""
    asked = ("--workers", str(workers), "--cpus", str(cpus), "--gpus", str(gpus))
    return ("python", "-m", "cluster._grow", *asked, *command)


def fits(job: Job, cpus: int, gpus: int) -> None:
    """Check that a trial fits a worker.

    Args:
        job: What is submitted.
        cpus: CPUs of a worker.
        gpus: GPUs of it.

    Raises:
        InputError: It does not.
    """
    if job.cpus_per_trial > cpus or job.gpus_per_trial > gpus:
        raise InputError(
            f"no trial fits: the study asks for {job.cpus_per_trial:g} CPUs and {job.gpus_per_trial:g} GPUs, and a worker has "
            f"cpus: {cpus} and gpus: {gpus}."
        )
