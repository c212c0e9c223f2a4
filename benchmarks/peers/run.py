"""Our sweep runner beside its peers, on the same networks, data and machine: wall time, epochs, memory.

    python benchmarks/peers/run.py --repeats 3 --out FOLDER

Every workload is run by every side in turn, each time in a process of its own, and all of that as often as ``--repeats`` says;
the medians are printed as a Markdown table. ``--out`` also writes every single run, as runs.csv and runs.json. The README.md
beside this file says what the columns mean, and how each side is used.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import datetime
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import ours
from peak import watched
from workloads import QUICK, WORKERS, workload


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """One of those compared.

    Args:
        name: What the table calls it.
        command: What runs a study file; the second path is where a peer leaves its figures.
        figures: What a run came to, read once it has ended.
    """

    name: str
    command: Callable[[Path, Path], list[str]]
    figures: Callable[[Path, Path], dict[str, Any]]


def _peer(name: str, script: str, *options: str) -> Side:
    path = str(Path(__file__).with_name(script))
    return Side(
        name=name,
        command=lambda study, found: [sys.executable, path, str(study), str(found), *options],
        figures=lambda study, found: json.loads(found.read_text()),
    )


SIDES = {
    "ours": Side(name="sweeper", command=lambda study, _: ours.command(study), figures=lambda study, _: ours.figures(study)),
    "ray_tune": _peer("Ray Tune", "ray_tune.py"),
    "ray_tune_reuse": _peer("Ray Tune, `reuse_actors`", "ray_tune.py", "--reuse"),
    "optuna_threads": _peer("Optuna, two threads", "optuna_peer.py"),
    "optuna_processes": _peer("Optuna, two processes", "optuna_peer.py", "--processes"),
}


def measure(side: str, name: str, *, is_quick: bool) -> dict[str, Any]:
    """One run of a workload by a side."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        study, found = Path(folder) / "study.yaml", Path(folder) / "figures.json"
        study.write_text(workload(name, is_quick=is_quick).to_yaml())
        taken = watched(SIDES[side].command(study, found), Path(folder) / "log")
        figures = SIDES[side].figures(study, found)
    paid = WORKERS * taken["wall_s"]
    return {
        "workload": name,
        "side": side,
        **taken,
        **figures,
        "s_per_epoch": taken["wall_s"] / figures["epochs"],
        "cpu_s_per_epoch": taken["cpu_s"] / figures["epochs"],
        "training": figures["train_s"] / paid,
        "in_trials": figures["trial_s"] / paid,
    }


def table(runs: list[dict[str, Any]]) -> str:
    """The medians as a Markdown table; rows in the order measured."""
    lines = [
        "| workload | side | wall, s | trials | epochs | s per epoch | CPU s per epoch | training | in trials | peak, MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, side in dict.fromkeys((run["workload"], run["side"]) for run in runs):
        own = [run for run in runs if (run["workload"], run["side"]) == (name, side)]
        middle = {key: statistics.median(run[key] for run in own) for key in own[0] if isinstance(own[0][key], int | float)}
        lines.append(
            f"| {name} | {SIDES[side].name} | {middle['wall_s']:.1f} | {middle['trials']:g} | {middle['epochs']:g} "
            f"| {middle['s_per_epoch']:.2f} | {middle['cpu_s_per_epoch']:.2f} "
            f"| {middle['training']:.0%} | {middle['in_trials']:.0%} | {middle['peak_mb']:,.0f} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """Date, processor and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpus = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("ray", "optuna", "keras", "tensorflow"))
    return f"{datetime.date.today()}, {len(cpus)} x {cpus[0]}, {versions}"


def write(folder: Path, runs: list[dict[str, Any]]) -> None:
    """Every single run, as JSON and as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs.json").write_text(json.dumps({"machine": machine(), "workers": WORKERS, "runs": runs}, indent=1) + "\n")
    with (folder / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(runs[0]))
        writer.writeheader()
        writer.writerows(runs)


def main() -> None:
    """Measure every side and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, in turn; the medians count")
    parser.add_argument("--workloads", nargs="+", choices=tuple(QUICK), default=tuple(QUICK))
    parser.add_argument("--sides", nargs="+", choices=tuple(SIDES), default=tuple(SIDES))
    parser.add_argument("--quick", action="store_true", help="small workloads and one repeat, to see that it works")
    parser.add_argument("--out", type=Path, help="folder for the figures of every single run")
    arguments = parser.parse_args()
    runs = []
    for repeat in range(1 if arguments.quick else arguments.repeats):
        for name in arguments.workloads:
            for side in arguments.sides:
                runs.append(measure(side, name, is_quick=arguments.quick))
                print(f"{repeat + 1}: {name}, {side}: {runs[-1]['wall_s']:.1f} s", file=sys.stderr, flush=True)
                if arguments.out:
                    write(arguments.out, runs)
    print(f"{machine()}\n\n{table(runs)}")


if __name__ == "__main__":
    main()
