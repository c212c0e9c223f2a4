"""How much a driver can carry: decisions per second, memory as trials grow, time to go on, `sweeper status`.

    python benchmarks/load.py --trials 10000 --out benchmarks/load

Each part in a process of its own, one after the other:

- **simulated**: the search alone, 200 workers on the virtual clock of `sweeper.replay`; trials of two arms with the knobs of
  `cnn`, early stopping, made-up curves. A decision is a proposal, or whether a trial goes on after an epoch.
- **driver**: the real driver on a local Ray with workers that train nothing and write no checkpoint; the same once more with two
  arms of different resources.
- **again**: the driver goes on with that study, which has got 8 trials more: until the first of them is recorded, and to the end.
- **status**: `sweeper status` of it.

Seconds are those of the processor that the process itself used (its threads too), because a machine does other things as well;
those on the clock stand beside them.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stub_worker import Options, StubWorker, make_importable
from trial_rate import resident_mb

if TYPE_CHECKING:
    from sweeper.ledger.records import Event
    from sweeper.replay.curves import Task
    from sweeper.search.study import Search
    from sweeper.study.spec import StudySpec

WORKERS = 200
"""Of the simulation."""

CPUS = 4
"""Of the local Ray: workers are processes, which take memory and start up."""

MORE = 8
"""Trials that the study gets before it goes on."""

POINTS = 40
"""Of each curve."""


def study(trials: int, sampler: str, max_epochs: int = 27, *, is_mixed: bool = False) -> StudySpec:
    """Two arms; mixed: one takes two CPUs a trial."""
    from sweeper.study.spec import StudySpec

    arm: dict[str, Any] = {"architecture": "cnn", "space": "cnn"}
    return StudySpec.model_validate(
        {
            "name": "load",
            "dataset": {"name": "digits"},
            "arms": {"one": arm, "two": arm | ({"resources": {"cpus_per_trial": 2}} if is_mixed else {})},
            "budget": {"trials": trials, "max_epochs": max_epochs},
            "search": {"sampler": sampler, "repeats": False},
            "stopping": {"rule": "asha", "grace_epochs": 1, "reduction_factor": 3},
        }
    )


def curves(max_epochs: int) -> Task:
    """A hundred trainings that get better at different speed, an epoch of which takes 1 to 3 s."""
    import numpy as np

    from sweeper.replay.curves import Task
    from sweeper.study.space import Float, Space

    draw, epochs = np.random.default_rng(0), np.arange(1, max_epochs + 1)
    ends, speeds, seconds = draw.random((3, 100))
    return Task(
        name="load",
        space=Space(architecture="load", model={"x": Float(low=0.0, high=1.0, default=0.5)}),
        ids=list(range(100)),
        configurations=[{"x": float(end)} for end in ends],
        values=[end * (1 - (0.5 + 0.4 * speed) ** epochs) for end, speed in zip(ends, speeds, strict=True)],
        times=[(1 + 2 * own) * epochs for own in seconds],
        is_cut=[False] * 100,
    )


class Curve:
    """What was seen as trials ended: how many, seconds of the processor, memory, decisions."""

    def __init__(self, trials: int):
        self.every, self.points, self.decisions = max(trials // POINTS, 1), list[dict[str, float]](), 0
        self.ended, self.began = 0, (time.monotonic(), time.process_time())
        self.look()

    def look(self) -> None:
        """Note where it stands."""
        wall, processor = time.monotonic() - self.began[0], time.process_time() - self.began[1]
        seen = {"trials": self.ended, "decisions": self.decisions, "wall_s": wall, "processor_s": processor}
        self.points.append({**seen, "memory_mb": resident_mb()})

    def end(self) -> None:
        """One trial more has ended."""
        self.ended += 1
        if self.ended % self.every == 0:
            self.look()


class Simulated:
    """A study whose trials are made up; `sweeper.replay.clock.Searcher`."""

    def __init__(self, spec: StudySpec, curve: Curve):
        from sweeper.search.study import Search

        self.search, self.curve, self.task = Search(spec), curve, curves(spec.budget.max_epochs)

    def propose(self) -> tuple[str, Task, int] | None:
        """The next trial, and the row whose curve it has."""
        self.curve.decisions += 1
        if (event := self.search.propose()) is None:
            return None
        self.search.apply(event)
        row = self.search.trials[event.trial or ""].seed % len(self.task.ids)
        return event.trial or "", self.task, row

    def tell(self, trial: str, epoch: int, value: float) -> bool:
        """Whether a trial goes on."""
        from sweeper.ledger.records import Event, Kind, Status

        self.curve.decisions += 1
        told = Event(kind=Kind.EPOCH, trial=trial, epoch=epoch, train_loss=0.0, val_accuracy=value, parameters=1000)
        event = self.search.judge(told)
        self.search.apply(event)
        if event.status is not None and event.status.is_final:
            self.curve.end()
        return event.status is Status.RUNNING


def simulated(trials: int, sampler: str) -> dict[str, Any]:
    """The search alone."""
    from sweeper.replay import clock

    curve = Curve(trials)
    for _ in clock.run(Simulated(study(trials, sampler), curve), workers=WORKERS):
        pass
    curve.look()
    return {"points": curve.points}


def driver(trials: int, results: Path, *, is_mixed: bool) -> dict[str, Any]:
    """The real one."""
    from sweeper.driver import launch
    from sweeper.ledger.records import Kind

    make_importable()
    curve: Curve | None = None

    def watch(search: Search, event: Event | None) -> None:
        nonlocal curve
        if event is None:
            return
        if event.kind is Kind.EPOCH and curve is None:  # Ray and its workers are there
            curve = Curve(trials)
        if curve is None:
            return
        curve.decisions += event.kind in (Kind.EPOCH, Kind.SUGGESTED)
        if event.status is not None and event.status.is_final:
            curve.end()

    worker = functools.partial(StubWorker, options=Options(epoch_s=0.0, has_checkpoints=False))
    launch.launch(study(trials, "random", 9, is_mixed=is_mixed), results, num_cpus=CPUS, worker=worker, watch=watch)
    assert curve is not None
    curve.look()
    return {"points": curve.points}


def again(trials: int, results: Path) -> dict[str, Any]:
    """The driver goes on."""
    from sweeper.driver import launch
    from sweeper.ledger.records import Kind

    make_importable()
    began, first = time.monotonic(), dict[str, float]()

    def watch(search: Search, event: Event | None) -> None:
        if event is not None and event.kind is Kind.SUGGESTED and not first:
            first.update(wall_s=time.monotonic() - began, processor_s=time.process_time())

    worker = functools.partial(StubWorker, options=Options(epoch_s=0.0, has_checkpoints=False))
    launch.launch(study(trials + MORE, "random", 9), results, num_cpus=CPUS, worker=worker, watch=watch)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"first": first, "all": {"wall_s": time.monotonic() - began, "processor_s": time.process_time()}, "peak_mb": peak_mb}


def status(results: Path) -> dict[str, Any]:
    """The command, in a process."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "sweeper", "status", "load", "--results", str(results)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": time.monotonic() - began, "processor_s": processor, "peak_mb": after.ru_maxrss * 1024 / 1e6}


def part(name: str, trials: int, folder: Path) -> dict[str, Any]:
    """One part, by its name."""
    if name.startswith("simulated "):
        return simulated(trials, name.removeprefix("simulated "))
    if name == "again":
        return again(trials, folder / "same")
    if name == "status":
        return status(folder / "same")
    return driver(trials, folder / name.removeprefix("driver "), is_mixed=name.endswith("mixed"))


def draw(found: dict[str, Any], file: Path) -> None:
    """Memory, and trials for a second of the processor, as trials grow."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for name in ("driver same", "driver mixed"):
        points = found[name]["points"]
        ended = [point["trials"] for point in points]
        label = {"driver same": "arms alike", "driver mixed": "arms of different resources"}[name]
        left.plot(ended, [point["memory_mb"] for point in points], label=label)
        pairs = list(itertools.pairwise(points))
        spent = [1000 * (b["processor_s"] - a["processor_s"]) / max(b["trials"] - a["trials"], 1) for a, b in pairs]
        right.plot(ended[1:-1], spent[:-1], label=label)
    left.set(xlabel="trials that ended", ylabel="memory of the driver (MB)", ylim=(0, None))
    right.set(xlabel="trials that ended", ylabel="processor time of a trial (ms)", ylim=(0, None))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, loc="lower right")
    figure.savefig(file, dpi=110)


def told(found: dict[str, Any], trials: int) -> str:
    """The tables."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpus = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    text = [
        f"{datetime.date.today()}, {len(cpus)} x {cpus[0]}, Ray {metadata.version('ray')}, load of the machine "
        f"{os.getloadavg()[2]:.0f} processes; {trials:,} trials",
        "",
        "| what | trials | decisions | for a second of the processor | on the clock | MB at the start | at the end |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        if "points" in one:
            first, last = one["points"][0], one["points"][-1]
            rates = [last["decisions"] / max(last[kind], 1e-9) for kind in ("processor_s", "wall_s")]
            sizes = f"{first['memory_mb']:.0f} | {last['memory_mb']:.0f}"
            text.append(f"| {name} | {last['trials']:,} | {last['decisions']:,} | {rates[0]:,.0f} | {rates[1]:,.0f} | {sizes} |")
    text += ["", "| what | processor (s) | on the clock (s) | peak (MB) |", "|---|---|---|---|"]
    for name, spent, one in (
        ("going on, to the first new trial", found["again"]["first"], found["again"]),
        ("going on, to the end", found["again"]["all"], found["again"]),
        ("`sweeper status`", found["status"], found["status"]),
    ):
        text.append(f"| {name} | {spent['processor_s']:.1f} | {spent['wall_s']:.1f} | {one['peak_mb']:.0f} |")
    return "\n".join(text)


def main() -> None:
    """Measure, print tables, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000, help="trials of a study, at least 100")
    parser.add_argument("--learning", type=int, default=1000, help="trials of the simulated study whose sampler learns")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/load"), help="folder for load.json and load.png")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(part(arguments.one, arguments.trials, arguments.folder)))
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sweeper-load-") as folder:
        for name in ("simulated random", "simulated trees", "driver same", "driver mixed", "again", "status"):
            trials = arguments.learning if name == "simulated trees" else arguments.trials
            command = [sys.executable, __file__, "--one", name, "--trials", str(trials), "--folder", folder]
            run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[name] = json.loads(run.stdout.splitlines()[-1])
            (arguments.out / "load.json").write_text(json.dumps(found) + "\n")
    draw(found, arguments.out / "load.png")
    print(told(found, arguments.trials))


if __name__ == "__main__":
    main()
