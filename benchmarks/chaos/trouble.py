"""Trouble for a sweep on a cluster of hosts: nodes die and come back, one is cut off, the driver is killed or preempted."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ray_killing import Kill, Story

from tests.system import hosts
from tests.system.clusters import Cluster

LONGEST_S = 3600.0
"""A sweep that has not ended by then hangs."""

ENDS_WITHIN_S = 60.0
"""Time for a driver to end after a signal."""

SIGNALS = {"driver": signal.SIGKILL, "preemption": signal.SIGTERM}
"""What is done to the driver, and by which signal; it is then launched again."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happens to a cluster.

    Args:
        at_s: When, seconds after the first trial was dispatched.
        what: ``node`` (every process of it is killed, and it is started again), ``vanish`` (the machine is gone without a word,
            and boots), ``cut`` and ``mend`` (its cable), ``driver`` or ``preemption``, see `SIGNALS`.
        host: Which one; none for the driver.
    """

    at_s: float
    what: str
    host: str = ""


def events(*, until_s: float, kill_every_s: float, cut_s: float, drivers_at: Sequence[float], preempted_at: float) -> list[Event]:
    """The trouble of a sweep: the two workers are killed in turn; between two kills, one of them is cut off once.

    Args:
        until_s: When the trouble ends.
        kill_every_s: Between two kills of a node.
        cut_s: How long one is cut off.
        drivers_at: When the driver is killed.
        preempted_at: When the driver gets SIGTERM.
    """
    kills = [kill_every_s * number for number in range(1, int(until_s / kill_every_s) + 1)]
    made = [Event(at_s=at, what="node", host=("one", "two")[number % 2]) for number, at in enumerate(kills)]
    cut_at = kills[len(kills) // 2] - 0.1 * kill_every_s
    # The one that is not killed next, so that it is the cut which it has to survive.
    cut_off = ("two", "one")[(len(kills) // 2) % 2]
    made += [Event(at_s=cut_at, what="cut", host=cut_off), Event(at_s=cut_at + cut_s, what="mend", host=cut_off)]
    made = [event for event in made if event.what != "node" or event.host != cut_off or not cut_at < event.at_s < cut_at + cut_s]
    made += [Event(at_s=at, what="driver") for at in drivers_at]
    return sorted([*made, Event(at_s=preempted_at, what="preemption")], key=lambda event: event.at_s)


class Troubled:
    """One study, run to its end on a cluster while events happen to it.

    Args:
        cluster: Its nodes run; what ends is started again, as a supervisor would.
        study: The study's file.
        results: Folder of all studies.
        outside: Folder of the witness of the kills; it exists.
        planned: What happens, in order.
        options: Of `benchmarks/kills/ray_driver.py`, beside the run and the witness.
    """

    def __init__(
        self, cluster: Cluster, study: Path, results: Path, outside: Path, planned: Sequence[Event], options: Sequence[str]
    ):
        self._cluster, self._study, self._results, self._outside = cluster, study, results, outside
        self._waiting = list(planned)
        self._options = options
        self._run = 0
        self._kills: list[Kill] = []
        self._faults: list[str] = []
        self.done: Counter[str] = Counter()
        """How often each thing happened."""
        self.seconds = 0.0
        """From the first launch to the end of the last."""

    def finish(self) -> Story:
        """Run it; what was done to the driver, and what went wrong that nothing explains."""
        started = time.monotonic()
        driver = self._launch()
        while driver.poll() is None:
            if time.monotonic() - started > LONGEST_S:
                self._faults.append(f"no end within {LONGEST_S:.0f} s: {driver.printed[-2000:]}")
                driver.kill()
                break
            self._supervise()
            if self._is_due():
                driver = self._happens(self._waiting.pop(0), driver)
            time.sleep(0.05)
        self.seconds = time.monotonic() - started
        if driver.poll() != 0:
            self._faults.append(f"run {self._run} ended with {driver.poll()}: {driver.printed[-2000:]}")
        for event in self._waiting:
            self._faults.append(f"the sweep ended before {event.what} {event.host} at {event.at_s:.0f} s")
        return Story(kills=tuple(self._kills), faults=tuple(self._faults))

    def _launch(self) -> hosts.Process:
        self._run += 1
        witness = ["--outside", str(self._outside), "--run", str(self._run)]
        return self._cluster.launch(self._study, self._results, *witness, *self._options)

    def _is_due(self) -> bool:
        """Whether the next event is; what befalls the driver waits until its present run has trained."""
        first = self._reached("dispatched", 1)
        if not self._waiting or first is None or time.time() - first < self._waiting[0].at_s:
            return False
        return self._waiting[0].what not in SIGNALS or self._reached("training", self._run) is not None

    def _reached(self, phase: str, run: int) -> float | None:
        """When a run came so far."""
        try:
            lines = (self._outside / f"phases-{run}.txt").read_text().splitlines()
        except FileNotFoundError:
            return None
        return next((float(at) for at, _, name in (line.partition(" ") for line in lines) if name == phase), None)

    def _happens(self, event: Event, driver: hosts.Process) -> hosts.Process:
        """Let it happen; the driver, which is another one if it was the driver's turn."""
        self.done[event.what] += 1
        if event.what in SIGNALS:
            kill = Kill(run=self._run, target=event.what, phase="training", time=time.time())
            driver.send(SIGNALS[event.what])
            code = driver.wait(ENDS_WITHIN_S)
            kill.died_s = time.time() - kill.time
            self._kills.append(kill)
            if code not in ((130,) if event.what == "preemption" else (-signal.SIGKILL, 0)):
                self._faults.append(f"run {self._run} ended with {code} after {event.what}: {driver.printed[-2000:]}")
            return self._launch()
        host = self._cluster.net.hosts[event.host]
        if event.what == "vanish":
            host.power_off()
            host.boot()
        else:
            {"node": host.kill_all, "cut": host.cut, "mend": host.mend}[event.what]()
        return driver

    def _supervise(self) -> None:
        """Start the nodes again that have ended."""
        for name, node in self._cluster.nodes.items():
            if node.poll() is not None:
                self._cluster.restart(name)
