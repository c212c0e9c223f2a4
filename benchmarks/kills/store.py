"""Kills a driver at random instants and at every call that changes files, and proves that nothing was lost.

    python benchmarks/kills/store.py --kills 1000 --seed 0 [--json FILE]

Neither Ray nor Keras runs: `stub` says what stands in for them, `faults` what befalls a driver, `harness` when, `siege` what is
checked. First every fault strikes at every call of a whole run, one study each; then drivers are killed at random, `--kills`
times in all. Prints a table, and ends with 1 if a figure that must be 0 is not. ``mended by hand`` need not be: where a file
system shows the name of a file before its content, although that was synced, a part of the ledger cannot be read, and the message
asks for it to be moved away.

    python benchmarks/kills/store.py --plants

puts faults into the driver instead, and ends with 1 unless each of them is found.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import stub
from faults import ERRORS, KILLS
from harness import any_of, every_call, random_kills
from plants import PLANTS
from siege import Figures, Setup

MODES = (*KILLS, *ERRORS)

COLUMNS = {
    "mode": "fault",
    "kills": "kills and errors",
    "studies": "studies",
    "acknowledged": "acknowledged rows",
    "lost": "lost",
    "repeated": "repeated",
    "unreadable": "unreadable",
    "redone": "epochs redone",
    "most_redone": "most per interruption",
    "redone_beyond": "beyond the checkpoint",
    "differing": "other results",
    "left_over": "left over",
    "unexplained": "unexplained",
    "audited": "found by audit",
    "by_hand": "mended by hand",
    "waits": "waited for a lock",
    "seconds": "seconds",
}

RANDOM = (
    # sampler, workers, is serial, is extended, by clock
    ("random", 1, True, False, True),
    ("random", 1, True, True, False),
    ("tpe", 1, True, False, True),
    ("tpe", 1, True, True, False),
    ("random", 2, False, False, True),
    ("random", 2, False, True, False),
)


def main() -> int:
    """Run what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=1000, help="kills at random, over all kinds of studies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--every", type=int, default=1, help="let faults strike at every N-th call only, from one by seed; 0: at none"
    )
    parser.add_argument("--small", action="store_true", help="small studies, and one fault for each call")
    parser.add_argument("--rule", choices=("asha", "promote"), default="asha", help="how studies stop early")
    parser.add_argument("--plants", action="store_true", help="put faults into the driver, to see that they are found")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    if options.plants:
        return find_plants(options.seed)
    all_figures = []
    for figures in strike(options):
        all_figures.append(figures)
        for note in figures.notes[:20]:
            print(note, file=sys.stderr)
        print(f"{figures.mode}: {figures.kills} in {figures.seconds:.0f} s", file=sys.stderr, flush=True)
    print(f"{datetime.date.today()}, {processor()}, {os.cpu_count()} cores\n")
    print("\n".join(table(all_figures)))
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(figures) for figures in all_figures], indent=1) + "\n")
    return 0 if all(figures.is_clean for figures in all_figures) else 1


def strike(options: argparse.Namespace) -> Iterator[Figures]:
    """The figures of each kind of fault."""
    if options.every and options.small:
        chosen = setup("random", trials=4, max_epochs=3, rule=options.rule)
        yield any_of(chosen, MODES, step=options.every, seed=options.seed)
    elif options.every:
        chosen = setup("random", rule=options.rule)
        yield from (every_call(chosen, mode, step=options.every, seed=options.seed) for mode in MODES)
    size: dict[str, Any] = {"trials": 4, "max_epochs": 3} if options.small else {"trials": 24, "max_epochs": 6}
    for number, (sampler, num_workers, is_serial, is_extended, by_clock) in enumerate(RANDOM):
        num_kills = options.kills // len(RANDOM) + (number < options.kills % len(RANDOM))
        if not num_kills:
            continue
        chosen = setup(sampler, num_workers=num_workers, is_serial=is_serial, rule=options.rule, **size)
        if is_extended:
            grown = chosen.spec.budget.model_copy(update={"trials": chosen.spec.budget.trials + 4})
            chosen = dataclasses.replace(chosen, grown=chosen.spec.model_copy(update={"budget": grown}))
        yield random_kills(chosen, num_kills, seed=options.seed + number, by_clock=by_clock)


def setup(
    sampler: str, *, trials: int = 8, max_epochs: int = 3, num_workers: int = 1, is_serial: bool = True, rule: str = "asha"
) -> Setup:
    """A study to be run; with 8 trials every fate is in it."""
    spec = stub.study("siege", sampler=sampler, trials=trials, max_epochs=max_epochs, rule=rule)
    return Setup(spec=spec, num_workers=num_workers, is_serial=is_serial)


def find_plants(seed: int) -> int:
    """Print which planted fault was found where; 1 if one was not."""
    missed = 0
    for (name, plant), number in zip(PLANTS.items(), itertools.count(seed)):
        chosen = dataclasses.replace(setup("random"), plant=plant.install)
        figures = every_call(chosen, plant.mode, where=plant.where, step=2, seed=number, until=plant.figure)
        count = getattr(figures, plant.figure)
        missed += not count
        print(f"{name}: {'found' if count else 'NOT FOUND'} after {figures.studies} studies", flush=True)
    return int(missed > 0)


def table(all_figures: list[Figures]) -> list[str]:
    """The lines of a Markdown table."""
    rows = [[f"{value:.0f}" if isinstance(value := getattr(figures, name), float) else str(value) for name in COLUMNS]
            for figures in all_figures]  # fmt: skip
    return [f"| {' | '.join(COLUMNS.values())} |", "|---" * len(COLUMNS) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def processor() -> str:
    """What the machine computes on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor")


if __name__ == "__main__":
    sys.exit(main())
