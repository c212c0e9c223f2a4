"""A study on a private Ray whose processes are killed, until it is finished.

Each driver leads a session of its own, so what it leaves behind can be told from everything else on the machine, and is ended
by process id.
"""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

DRIVER = Path(__file__).with_name("ray_driver.py")

DIES_WITHIN_S = 60.0
"""How long a driver may go on when its Ray is gone."""

LEFT_S = 8.0
"""How long leftovers may live before they are ended; Ray's agents would wait for a minute."""

LONGEST_RUN_S = 600.0
"""A driver that has not ended by itself after this time hangs."""

SIGNALS = ("SIGINT", "SIGTERM")
"""Signals to a driver after which it must end with everything saved."""

PHASES = {"started": 0.25, "dispatched": 0.15, "training": 0.6}
"""How far a driver has come, and the share of the kills that are counted from there. The last kill of a study may come as it
closes."""


@dataclasses.dataclass(kw_only=True)
class Kill:
    """One kill.

    Args:
        run: Number of the driver's start.
        target: What was killed.
        phase: How far the driver had come.
        time: When, seconds since 1970.
        died_s: Seconds until the driver had ended.
        orphans_s: Longest life of a worker after its driver.
    """

    run: int
    target: str
    phase: str
    time: float
    died_s: float = 0.0
    orphans_s: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """When to kill what.

    Args:
        target: driver, worker or raylet, which get SIGKILL; or SIGINT or SIGTERM, which the driver gets.
        phase: The phase of the driver from which the time is counted.
        after_s: Seconds from there.
    """

    target: str
    phase: str
    after_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Story:
    """What became of a study.

    Args:
        kills: All that were made.
        faults: What went wrong that no kill explains: a hang, an unexpected end, a study that cannot be read.
    """

    kills: tuple[Kill, ...]
    faults: tuple[str, ...]


def plans(target: str, count: int, chance: random.Random, *, startup_s: float, running_s: float) -> list[Plan]:
    """Instants of kills, for one study.

    Args:
        target: driver, worker or raylet; mixed for these three in turn, signals for SIGINT and SIGTERM in turn.
        count: Number of kills.
        chance: Where they come from.
        startup_s: Seconds that a driver takes to start; kills while it starts are spread over them.
        running_s: Later kills come up to so many seconds after the first trial was dispatched, or the first epoch acknowledged.
    """
    targets = {"mixed": ("driver", "worker", "raylet"), "signals": ("SIGINT", "SIGTERM")}.get(target, (target,))
    first = chance.randrange(len(targets))
    made = []
    for index in range(count):
        chosen = targets[(first + index) % len(targets)]
        if index == count - 1 and chosen == "driver":
            made.append(Plan(target=chosen, phase="closing", after_s=chance.uniform(0, 0.3)))
            continue
        [phase] = chance.choices(list(PHASES), list(PHASES.values()))
        if phase == "started" and chosen not in ("driver", "raylet"):
            phase = "training"
        made.append(Plan(target=chosen, phase=phase, after_s=chance.uniform(0, startup_s if phase == "started" else running_s)))
    return made


class Killed:
    """Runs one study to its end, with kills in between.

    Args:
        study: The study's file.
        results: Folder of all studies.
        outside: Folder of the witness; it exists.
        options: Further arguments of the driver.
        check: Called after every kill; gives what is wrong with the study, or None.
    """

    def __init__(self, study: Path, results: Path, outside: Path, options: list[str], check: Callable[[], str | None]):
        self._study, self._results, self._outside, self._options, self._check = study, results, outside, options, check
        self._kills: list[Kill] = []
        self._faults: list[str] = []
        self._run = 0

    def finish(self, planned: list[Plan]) -> Story:
        """Start drivers, and kill, until one ends with everything done."""
        waiting = list(planned)
        reapers: list[threading.Thread] = []
        while True:
            self._run += 1
            driver = self._start()
            kill = self._attack(driver, waiting)
            code = self._ended(driver, kill)
            if kill is not None:
                reapers.append(threading.Thread(target=_reap, args=(driver.pid, kill)))
                reapers[-1].start()
            if problem := self._check():
                self._faults.append(f"run {self._run}: {problem}")
            if kill is not None and not self._is_explained(kill, code):
                self._faults.append(f"run {self._run} ended with {code} after {kill.target}: {self._log.read_text()[-2000:]}")
            if code == 0:
                break
            if kill is None:
                self._faults.append(f"run {self._run} ended with {code}: {self._log.read_text()[-2000:]}")
                break
        for reaper in reapers:
            reaper.join()
        return Story(kills=tuple(self._kills), faults=tuple(self._faults))

    def _is_explained(self, kill: Kill, code: int) -> bool:
        """Whether the driver said how it ended, if it lived to say it."""
        said = self._log.read_text()
        if kill.target in SIGNALS:
            return code == 130 and "sweeper resume" in said and "Traceback" not in said
        return kill.target == "driver" or code == 0 or (code == 1 and "error:" in said and "Traceback" not in said)

    @property
    def _log(self) -> Path:
        return self._outside / f"driver-{self._run}.log"

    def _start(self) -> subprocess.Popen[bytes]:
        options = ["--results", str(self._results), "--outside", str(self._outside), "--run", str(self._run), *self._options]
        options += ["--num-cpus", "2", "--quiet"]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, str(DRIVER), str(self._study), *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _attack(self, driver: subprocess.Popen[bytes], waiting: list[Plan]) -> Kill | None:
        """Kill as planned; the kill that should end the driver, None when it ended before."""
        while waiting:
            plan = waiting[0]
            victim = self._moment(driver, plan)
            if victim is None:
                return None
            waiting.pop(0)
            try:
                os.kill(victim, signal.Signals[plan.target] if plan.target in SIGNALS else signal.SIGKILL)
            except ProcessLookupError:
                continue
            kill = Kill(run=self._run, target=plan.target, phase=self._phases()[-1][1], time=time.time())
            self._kills.append(kill)
            if plan.target != "worker":
                return kill
        return None

    def _moment(self, driver: subprocess.Popen[bytes], plan: Plan) -> int | None:
        """The process to kill, as soon as it is time; None when the driver has ended."""
        started = time.time()
        last = max([started, *(kill.time for kill in self._kills if kill.run == self._run)])
        while driver.poll() is None and time.time() - started < LONGEST_RUN_S:
            since = [at for at, name in self._phases() if name == plan.phase]
            if since and time.time() >= max(since[0], last) + plan.after_s:
                victims = list(_of_kind(driver.pid, plan.target))
                if victims:
                    return victims[-1]
            time.sleep(0.01)
        return None

    def _ended(self, driver: subprocess.Popen[bytes], kill: Kill | None) -> int:
        limit = LONGEST_RUN_S if kill is None else DIES_WITHIN_S
        try:
            code = driver.wait(limit)
        except subprocess.TimeoutExpired:
            self._faults.append(f"run {self._run}: the driver went on for {limit:.0f} s: {self._log.read_text()[-2000:]}")
            driver.kill()
            code = driver.wait()
        if kill is not None:
            kill.died_s = time.time() - kill.time
        return code

    def _phases(self) -> list[tuple[float, str]]:
        try:
            lines = (self._outside / f"phases-{self._run}.txt").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(float(at), name) for at, _, name in (line.partition(" ") for line in lines)]


def session(leader: int) -> Iterator[tuple[int, str]]:
    """Process id and command of what lives in a session."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, *rest = (process / "stat").read_text().rpartition(")")[2].split()
            if int(rest[2]) == leader and state != "Z":
                yield int(process.name), (process / "cmdline").read_text().replace("\0", " ")
        except (OSError, UnicodeDecodeError):
            continue


def _of_kind(leader: int, target: str) -> Iterator[int]:
    if target not in ("worker", "raylet"):
        yield leader
        return
    for process, command in session(leader):
        if "/raylet/raylet " in command if target == "raylet" else _is_worker(command):
            yield process


def _is_worker(command: str) -> bool:
    return command.startswith("ray::") and "Agent" not in command


def _reap(leader: int, kill: Kill) -> None:
    """Watch what a killed driver left, and end it when it lives too long."""
    while left := list(session(leader)):
        age = time.time() - kill.time - kill.died_s
        if any(_is_worker(command) for _, command in left):
            kill.orphans_s = age
        if age > LEFT_S:
            for process, _ in left:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        time.sleep(0.1)
