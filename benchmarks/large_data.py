"""Peak memory of a sweep whose images do not fit into memory.

    python benchmarks/large_data.py [NUM_IMAGES]

makes so many colour images (default 60,000, which are 9 GB decoded) in ten classes in a temporary folder, runs a study of two
workers on them at 224x224, twice, and looks at all processes every half second (Linux). The second run finds the decoded images.
An epoch is cut to `STEPS` batches, of images from the whole set, because memory is looked at and not time.

``own`` is memory that nothing but the process can give back (``Pss_Anon`` and ``Pss_Shmem``, the object store among it).
``mapped`` are pages of files, the decoded images among them, which the kernel takes back when it needs room. A page that n
processes share counts as 1/n for each. Needs about 10 GB of disk for 60,000 images, freed afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from memory import descendants
from peers.peak import ENVIRONMENT
from PIL import Image

from sweeper.datasets import Split
from sweeper.datasets._mapped import CACHE
from sweeper.driver.launch import launch
from sweeper.study import spec
from sweeper.training.trial import Worker

SIZE, NUM_CLASSES, EVERY_S = 224, 10, 0.5

STEPS, BATCH = 16, 32

STUDY = """
name: {name}
dataset: {{name: image_folder, path: {path}, size: 224, validation_fraction: 0.02, test_fraction: 0.02}}
arms:
  lenet: {{fixed: {{widths: 6-16, dense_units: "84", activation: relu, pooling: max, batch_size: 32}}}}
budget: {{trials: 2, max_epochs: 1}}
stopping: {{rule: none}}
search: {{sampler: random}}
"""


class FewSteps(Worker):
    """Trains `STEPS` batches an epoch; everything else is as always."""

    def __init__(self, *, train: Split, **others: Any):
        super().__init__(train=train, **others)
        # What is permuted for an epoch: these images, not the numbers below a count.
        self._num_train: Any = np.linspace(0, len(train) - 1, STEPS * BATCH).astype(np.int64)


def make(folder: Path, num_images: int) -> None:
    """Jpeg files of smooth noise, whose files are small and whose pixels differ."""
    generator = np.random.default_rng(0)
    for number in range(num_images):
        place = folder / str(number % NUM_CLASSES) / f"{number:06}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (7, 7, 3), dtype=np.uint8))
        coarse.resize((SIZE, SIZE), Image.Resampling.BILINEAR).save(place, quality=80)


def look(process: int) -> tuple[str, float, float] | None:
    """What a process is, and its own and its mapped memory in MB; None when it has ended."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_text()
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    found = {line.split()[0].rstrip(":"): int(line.split()[1]) / 1024 for line in lines[1:]}
    role = "worker" if "Trainable" in command or "TrialActor" in command else "driver" if "large_data" in command else "Ray's own"
    return role, found["Pss_Anon"] + found["Pss_Shmem"], found["Pss_File"]


def watched(command: list[str]) -> int:
    """Run a command and print what it took; its exit code."""
    peaks: dict[str, list[float]] = {}
    started = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, **ENVIRONMENT})
    while process.poll() is None:
        now: dict[str, list[float]] = {}
        for number in descendants(process.pid):
            if seen := look(number):
                total = now.setdefault(seen[0], [0.0, 0.0, 0])
                total[0] += seen[1]
                total[1] += seen[2]
                total[2] += 1
        now["all"] = [sum(total[place] for total in now.values()) for place in range(3)]
        for role, total in now.items():
            peaks[role] = [max(pair) for pair in zip(total, peaks.get(role, total), strict=True)]
        time.sleep(EVERY_S)
    print(f"{time.perf_counter() - started:.0f} s, exit code {process.returncode}")
    print("| processes | most at once | own, MB | mapped, MB |\n|---|---|---|---|")
    for role, (own, mapped, count) in peaks.items():
        print(f"| {role} | {count:.0f} | {own:.0f} | {mapped:.0f} |")
    return process.returncode


def drive(folder: Path, study: str) -> None:
    """Run a study; in a process of its own, so that it can be looked at."""
    os.environ[CACHE] = str(folder / "cache")
    launch(spec.load(folder / f"{study}.yaml"), folder / "results", tell=print, num_cpus=2, worker=FewSteps)


def main() -> int:
    """Make the images, run two studies on them; the exit code of the first that failed."""
    if sys.argv[1:2] == ["drive"]:
        drive(Path(sys.argv[2]), sys.argv[3])
        return 0
    num_images = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
    with tempfile.TemporaryDirectory(prefix="sweeper-large-data-") as name:
        folder = Path(name)
        started = time.perf_counter()
        make(folder / "images", num_images)
        print(f"{num_images:,} images made in {time.perf_counter() - started:.0f} s", flush=True)
        for study in ("first", "again"):
            (folder / f"{study}.yaml").write_text(STUDY.format(name=study, path=folder / "images"))
            print(f"\n{study}:", flush=True)
            if code := watched([sys.executable, __file__, "drive", name, study]):
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
