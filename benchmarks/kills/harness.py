"""Kills a driver again and again until its study is finished, and checks that nothing was lost: which faults, and when."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from faults import Plan
from siege import FINISHED, Figures, Reference, Setup, Siege, nothing, outcome_of, start

from sweeper.ledger.ledger import StudyFolder

SUDDEN = ("kill", "short", "power", "enospc", "edquot", "eio")
"""Faults that a study may meet one after the other."""


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """An empty folder, in memory where there is one: a killed process takes nothing with it that the system has."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="sweeper-kills-", dir=memory))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def undisturbed(setup: Setup, mode: str) -> Reference:
    """The reference of a study, with the calls that a mode counts."""
    with _folder() as folder:
        started = time.perf_counter()
        sound = dataclasses.replace(setup, plant=nothing)
        job = sound.job(folder, Plan(mode=mode), seed=0)
        code, text, _ = start(job)
        assert code == FINISHED, text
        events = StudyFolder(job.results / setup.spec.name).read()
        if setup != sound:  # its calls may be others, but what comes out must be the same
            shutil.rmtree(job.results.parent)
            code, text, _ = start(setup.job(folder, Plan(mode=mode), seed=0))
            assert code == FINISHED, text
        calls = (folder / "calls").read_text().splitlines()
        return Reference(calls=calls, outcome=outcome_of(setup.spec, events), seconds=time.perf_counter() - started)


def every_call(setup: Setup, mode: str, *, where: str = "", step: int = 1, seed: int = 0, until: str = "") -> Figures:
    """One study for every call of a whole run that can meet the fault, or for every `step`-th.

    Args:
        setup: What is run.
        mode: The fault.
        where: What the name of a call must hold, for the fault to strike there.
        step: Calls from one that meets the fault to the next one.
        seed: Which call is the first one, and all that is left to chance.
        until: A figure that ends it all once it is not zero.
    """
    figures, started = Figures(mode=mode), time.perf_counter()
    reference = undisturbed(setup, mode)
    calls = enumerate(reference.calls, start=1)
    fits = [at for at, call in calls if Plan(mode=mode).fits(call.split()[0]) and where in call]
    for at in fits[seed % step :: step]:
        _strike(setup, reference, figures, Plan(mode=mode, at=at, seed=seed + at))
        if until and getattr(figures, until):
            break
    figures.seconds = time.perf_counter() - started
    return figures


def any_of(setup: Setup, modes: Sequence[str], *, step: int = 1, seed: int = 0) -> Figures:
    """One study for every call of a whole run, or for every `step`-th, each with one of the faults that fit the call."""
    figures, started = Figures(mode="any of these"), time.perf_counter()
    references = {mode: undisturbed(setup, mode) for mode in ("kill", "eio on reading")}
    for reads in (False, True):
        reference = references["eio on reading" if reads else "kill"]
        for at, call in list(enumerate(reference.calls, start=1))[seed % step :: step]:
            fits = [mode for mode in modes if (mode == "eio on reading") == reads and Plan(mode=mode).fits(call.split()[0])]
            if fits:
                mode = random.Random(seed + at).choice(fits)
                _strike(setup, reference, figures, Plan(mode=mode, at=at, seed=seed + at))
    figures.seconds = time.perf_counter() - started
    return figures


def _strike(setup: Setup, reference: Reference, figures: Figures, plan: Plan) -> None:
    with _folder() as folder:
        siege = Siege(folder, setup, reference, figures, seed=plan.seed)
        siege.cycle(plan)
        siege.end()


def random_kills(setup: Setup, num_kills: int, *, seed: int, by_clock: bool) -> Figures:
    """Kills at random instants, or at a random call, each study until it is finished."""
    what = f"{setup.num_workers} at once, {setup.spec.search.sampler}{', extended' if setup.grown else ''}"
    figures = Figures(mode=f"random {'instant' if by_clock else 'call'}, {what}")
    chance, started = random.Random(seed), time.perf_counter()
    reference = undisturbed(setup, "kill")
    while figures.kills < num_kills and not figures.unreadable:
        with _folder() as folder:
            siege = Siege(folder, setup, reference, figures, seed=chance.randrange(2**31))
            while not siege.is_finished and figures.kills < num_kills:
                if by_clock:
                    siege.cycle(Plan(), after_s=chance.uniform(0, 0.7 * reference.seconds))
                else:
                    at = chance.randrange(1, len(reference.calls) // 2)
                    siege.cycle(Plan(mode=chance.choice(SUDDEN), at=at, seed=at))
            siege.end()
    figures.seconds = time.perf_counter() - started
    return figures
