"""A sweep on three hosts in trouble: nodes die, one is cut off, the driver is killed and preempted.

    python benchmarks/chaos/run.py                    # seven minutes in trouble, then five in peace; as root
    python benchmarks/chaos/run.py --short            # two minutes of trouble alone: what the tests run

The hosts are network namespaces (`tests/system/hosts.py`), each with its own address, processes and `ray start`, and ask for a
token; the trainer is the stub of the kills, whose rows depend on configuration, seed and epoch alone. First the study runs in
trouble, then in peace, in another results folder: a worker node is killed every ``--kill-every`` seconds and started again, one
is cut off for 20 seconds, the driver is killed twice and gets SIGTERM once, and is launched again with the same command.

Checked by the witness outside of the study (see `benchmarks/kills`): nothing that was acknowledged is lost, nothing repeated,
every trial ends, and each has the rows that it has in peace; and by ``sweeper audit``. The exit code is 1 when something is not
0 that must be.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "kills"))

from ray_checks import differences, judge
from ray_sweep import MUST_BE_ZERO, cpu
from trouble import Event, Troubled, events

from sweeper.ledger.ledger import study_folder
from sweeper.study.spec import StudySpec
from tests.system import hosts
from tests.system.clusters import Cluster

LONGEST_REDONE = 1
"""Epochs of one trial that may be trained again after one interruption: a checkpoint is written after each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the study is, and when what happens.

    Args:
        trials: Of the study.
        epochs: Of each trial.
        epoch_s: What the stub takes for one.
        until_s: When the trouble ends, seconds after the first trial was dispatched.
        drivers_at: When the driver is killed.
        preempted_at: When it gets SIGTERM.
        kill_every_s: Between two kills of a node.
    """

    trials: int
    epochs: int
    epoch_s: float
    until_s: float
    drivers_at: tuple[float, ...]
    preempted_at: float
    kill_every_s: float


LONG = Scale(trials=48, epochs=40, epoch_s=0.5, until_s=300, drivers_at=(95, 225), preempted_at=165, kill_every_s=30)
SHORT = Scale(trials=18, epochs=20, epoch_s=0.4, until_s=60, drivers_at=(12, 45), preempted_at=28, kill_every_s=15)

CUT_S = 20.0


def study(scale: Scale) -> StudySpec:
    """A study whose trials are the same whatever the order in which they run."""
    return StudySpec.model_validate(
        {
            "name": "chaos",
            "dataset": {"name": "digits"},
            "arms": {"one": {"architecture": "cnn", "space": "cnn"}, "two": {"architecture": "cnn", "space": "cnn"}},
            "budget": {"trials": scale.trials, "max_epochs": scale.epochs},
            "search": {"sampler": "random"},
            "stopping": {"rule": "none"},
        }
    )


def finish(cluster: Cluster, name: str, scale: Scale, planned: list[Event]) -> dict[str, Any]:
    """Run the study to its end, in a results folder of this name; what was found."""
    spec, results, outside = study(scale), cluster.shared / name, cluster.shared / f"{name}-witness"
    outside.mkdir()
    file = outside / "study.yaml"
    file.write_text(spec.to_yaml(), encoding="utf-8")
    run = Troubled(cluster, file, results, outside, planned, ["--epoch-s", str(scale.epoch_s)])
    story = run.finish()
    folder = study_folder(results, spec.name)
    verdict = judge(spec, folder, outside, story)
    code, said = cluster.sweeper("audit", folder)
    faults = [*story.faults, *([f"audit: {said}"] if code else [])]
    return {"seconds": run.seconds, "done": dict(run.done), **dataclasses.asdict(verdict), "faults": faults}


def chaos(folder: Path, scale: Scale, *, in_peace: bool) -> dict[str, Any]:
    """What was found in trouble, and beside peace if that is asked for."""
    with hosts.network(folder) as net:
        cluster = Cluster(net)
        for name in ("head", "one", "two"):
            cluster.start(name)
        cluster.ready()
        found: dict[str, Any] = {}
        planned = events(
            until_s=scale.until_s,
            kill_every_s=scale.kill_every_s,
            cut_s=CUT_S,
            drivers_at=scale.drivers_at,
            preempted_at=scale.preempted_at,
        )
        found["trouble"] = finish(cluster, "trouble", scale, planned)
        print(f"in trouble: {found['trouble']}", file=sys.stderr, flush=True)
        if in_peace:
            found["peace"] = finish(cluster, "peace", scale, [])
            print(f"in peace: {found['peace']}", file=sys.stderr, flush=True)
            spec = study(scale)
            stored = [study_folder(cluster.shared / name, spec.name) for name in ("peace", "trouble")]
            found["differences"] = differences(spec, *stored, is_strict=False)
            found["slow-down"] = found["trouble"]["seconds"] / found["peace"]["seconds"]
        return found


def main() -> int:
    """Run, print what was found; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a small study, in trouble alone")
    parser.add_argument("--kill-every", type=float, help="seconds between two kills of a node")
    parser.add_argument("--json", type=Path, help="file for all that was found")
    parser.add_argument("--keep", type=Path, help="empty folder for all that is written; a temporary one when absent")
    arguments = parser.parse_args()
    if (problem := hosts.problem()) is not None:
        raise SystemExit(problem)
    scale = SHORT if arguments.short else LONG
    scale = dataclasses.replace(scale, kill_every_s=arguments.kill_every or scale.kill_every_s)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sweeper-chaos-") as temporary:
        found = chaos(arguments.keep or Path(temporary), scale, in_peace=not arguments.short)
    where = f"{datetime.date.today()}, {cpu()}, Ray {metadata.version('ray')}"
    found |= {"where": where, "minutes": (time.monotonic() - started) / 60}
    print(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    runs = [found[name] for name in ("peace", "trouble") if name in found]
    is_bad = any(run["faults"] or any(run[name] for name in MUST_BE_ZERO if name in run) for run in runs)
    return int(is_bad or bool(found.get("differences")) or any(run["most_redone"] > LONGEST_REDONE for run in runs))


if __name__ == "__main__":
    sys.exit(main())
