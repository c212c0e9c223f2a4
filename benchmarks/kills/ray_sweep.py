"""Sweeps on a real Ray, killed with SIGKILL at random instants until they are finished: what is lost, repeated, done twice.

    python benchmarks/kills/ray_sweep.py --trainer stub --target driver worker raylet mixed --kills 30
    python benchmarks/kills/ray_sweep.py --trainer keras --target mixed --kills 10
    python benchmarks/kills/ray_sweep.py --trainer stub --compare

``--kills`` is a number for each target, spread over studies of at most ten. What is killed: the driver; one of Ray's worker
processes; the raylet; or (mixed) each in turn. The driver is then started again with the same command. A kill comes at any time
from the driver's first instruction to its last: while Ray starts, while the ledger is folded, while trials run, while tables are
written. With ``signals`` the driver gets SIGINT and SIGTERM in turn instead, after which it must end with 130.

``--compare`` runs a study once in peace and once with ten kills. With one worker the two must be the same, trial for trial,
decision for decision and bit for bit; with two, whose order is left to chance, every configuration must learn the same.

The stub (`stub_worker`) trains nothing and writes checkpoints; keras is a small network on the digits. The exit code is 1 when
something is not 0 that must be.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import random
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from ray_checks import Verdict, differences, judge, readable
from ray_killing import Killed, Plan, Story, plans

from sweeper.ledger.ledger import StudyFolder, study_folder
from sweeper.study.spec import StudySpec

KILLS_PER_STUDY = 10

CHECKPOINT_INTERVAL = 1
"""Epochs between two checkpoints: as many may be trained twice after an interruption."""

MUST_BE_ZERO = ("lost", "repeated", "unreadable", "again", "unfinished")

TINY = {
    "num_blocks": 2, "width": 16, "convolutions_per_block": 1, "dense_units": 64, "batch_size": 64, "attention": "none",
    "head": "flatten", "kernel_size": 3, "batch_norm": True, "dropout": 0.1, "dense_dropout": 0.1, "optimizer": "adam",
    "label_smoothing": 0.0,
}  # fmt: skip
"""The smallest network of its space: left to search are the learning rate and its schedule."""

TIMES = {"stub": {"startup_s": 5.0, "running_s": 2.0}, "keras": {"startup_s": 5.0, "running_s": 8.0}}
"""How the kills are spread; see `ray_killing.plans`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Args:
        trainer: stub or keras.
        target: What was killed.
        studies: The verdict on each study and its story.
        minutes: What it took.
    """

    trainer: str
    target: str
    studies: tuple[tuple[Verdict, Story], ...]
    minutes: float

    def facts(self) -> dict[str, Any]:
        """What the table says."""
        verdicts = [verdict for verdict, _ in self.studies]
        kills = [kill for _, story in self.studies for kill in story.kills]
        faults = [fault for _, story in self.studies for fault in story.faults]
        total = {field.name: sum(getattr(verdict, field.name) for verdict in verdicts) for field in dataclasses.fields(Verdict)}
        return {
            "trainer": self.trainer,
            "target": self.target,
            "kills": len(kills),
            "studies": len(self.studies),
            **total,
            "unreadable": len(faults),
            "most_redone": max((verdict.most_redone for verdict in verdicts), default=0),
            "longest_orphan_s": max((kill.orphans_s for kill in kills), default=0.0),
            "longest_death_s": max((kill.died_s for kill in kills), default=0.0),
            "minutes": self.minutes,
            "faults": faults,
        }


def study(trainer: str, name: str, *, sampler: str, seed: int, trials: int | None) -> StudySpec:
    """The study that is killed; it has enough trials for the kills unless it is told how many."""
    is_stub = trainer == "stub"
    cnn = {"architecture": "cnn", "space": "cnn"}
    return StudySpec.model_validate(
        {
            "name": name,
            "dataset": {"name": "digits"},
            "arms": {"one": cnn, "two": cnn} if is_stub else {"tiny": {**cnn, "fixed": TINY}},
            "budget": {"trials": trials or (80 if is_stub else 24), "max_epochs": 9},
            "search": {"sampler": sampler, "seed": seed},
            "stopping": {"rule": "asha", "grace_epochs": 1, "reduction_factor": 3},
        }
    )


def finish(folder: Path, spec: StudySpec, trainer: str, planned: list[Plan], options: list[str]) -> tuple[Verdict, Story]:
    """Run a study to its end under kills; what holds of it then."""
    outside = folder / "outside" / spec.name
    outside.mkdir(parents=True)
    file = outside / "study.yaml"
    file.write_text(spec.to_yaml(), encoding="utf-8")
    results = folder / "results"
    stored = study_folder(results, spec.name)
    killed = Killed(file, results, outside, ["--trainer", trainer, *options], lambda: readable(spec, stored))
    story = killed.finish(planned)
    if not StudyFolder(stored).exists:
        raise SystemExit(f"no study was begun: {story.faults}")
    return judge(spec, stored, outside, story), story


def kill(folder: Path, trainer: str, seed: int, trials: int | None, *, target: str, count: int) -> Row:
    """Studies with so many kills of a target in all."""
    chance = random.Random(f"{seed} {trainer} {target}")
    started = time.monotonic()
    found: list[tuple[Verdict, Story]] = []
    while (done := sum(len(story.kills) for _, story in found)) < count:
        spec = study(
            trainer, f"{target}-{len(found)}", sampler="random" if len(found) % 2 else "tpe", seed=len(found), trials=trials
        )
        planned = plans(target, min(KILLS_PER_STUDY, count - done), chance, **TIMES[trainer])
        found.append(finish(folder, spec, trainer, planned, []))
        print(f"{target}: {done + len(found[-1][1].kills)} of {count} kills, {found[-1][0]}", file=sys.stderr)
        if found[-1][1].faults:
            break
    return Row(trainer=trainer, target=target, studies=tuple(found), minutes=(time.monotonic() - started) / 60)


def compare(folder: Path, trainer: str, seed: int, trials: int | None, *, workers: int) -> tuple[Row, list[str]]:
    """A study in peace, and the same one under kills; in what they differ."""
    sampler = "tpe" if workers == 1 else "random"
    chance = random.Random(f"{seed} {trainer} compare {workers}")
    started = time.monotonic()
    spec = study(trainer, f"compare-{workers}", sampler=sampler, seed=seed, trials=trials)
    options = ["--max-concurrent", str(workers)]
    calm, calm_story = finish(folder / "calm", spec, trainer, [], options)
    planned = plans("mixed", KILLS_PER_STUDY, chance, **TIMES[trainer])
    verdict, story = finish(folder / "killed", spec, trainer, planned, options)
    stored = [study_folder(folder / name / "results", spec.name) for name in ("calm", "killed")]
    found = differences(spec, *stored, is_strict=workers == 1)
    minutes = (time.monotonic() - started) / 60
    target = f"mixed, {workers} worker{'s' * (workers > 1)}, {sampler}, compared"
    return Row(trainer=trainer, target=target, studies=((calm, calm_story), (verdict, story)), minutes=minutes), found


def cpu() -> str:
    """The machine's processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else "unknown CPU"


COLUMNS = {
    "trainer": "trainer", "target": "target", "kills": "kills", "studies": "studies", "acknowledged": "rows acknowledged",
    "lost": "lost", "repeated": "repeated", "unreadable": "unreadable", "again": "ran again", "redone": "epochs redone",
    "most_redone": "most per interruption", "orphan_epochs": "epochs by orphans", "longest_orphan_s": "longest orphan, s",
    "longest_death_s": "driver gone after, s", "minutes": "minutes",
}  # fmt: skip


def main() -> int:
    """Kill, compare, print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", choices=("stub", "keras"), default="stub")
    parser.add_argument("--target", choices=("driver", "worker", "raylet", "mixed", "signals"), nargs="*", default=["mixed"])
    parser.add_argument("--kills", type=int, default=KILLS_PER_STUDY, help="for each target")
    parser.add_argument("--compare", action="store_true", help="compare instead with a study in peace")
    parser.add_argument("--trials", type=int, help="of each study")
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--json", type=Path, help="file for all that was found")
    parser.add_argument("--keep", type=Path, help="folder for studies and witnesses; a temporary one when absent")
    arguments = parser.parse_args()
    differing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sweeper-kills-") as temporary:
        folder = arguments.keep or Path(temporary)
        given = (arguments.trainer, arguments.seed, arguments.trials)
        if arguments.compare:
            compared = [compare(folder / str(workers), *given, workers=workers) for workers in (1, 2)]
            rows = [row for row, _ in compared]
            differing = [difference for _, found in compared for difference in found]
        else:
            rows = [kill(folder, *given, target=target, count=arguments.kills) for target in arguments.target]
    facts = [row.facts() for row in rows]
    header = f"{datetime.date.today()}, {cpu()}, Ray {metadata.version('ray')}"
    print(f"{header}\n\n| {' | '.join(COLUMNS.values())} |\n|{'---|' * len(COLUMNS)}")
    for row in facts:
        print("| " + " | ".join(_text(row[name]) for name in COLUMNS) + " |")
    if arguments.compare:
        print(f"\nDifferences from the study in peace: {len(differing)}")
    faults = [fault for row in facts for fault in row["faults"]] + differing
    print("\n".join(faults), file=sys.stderr)
    if arguments.json:
        stories = [[dataclasses.asdict(story) for _, story in row.studies] for row in rows]
        content = {"where": header, "rows": facts, "stories": stories, "differences": differing}
        arguments.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    is_bad = any(row[name] for row in facts for name in MUST_BE_ZERO)
    return int(is_bad or bool(differing) or any(row["most_redone"] > CHECKPOINT_INTERVAL for row in facts))


def _text(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
