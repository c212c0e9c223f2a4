"""Peak memory of a sweep: its driver, its workers, and the arrays they share.

    python benchmarks/memory.py STUDY.yaml --results DIR [further options of sweeper launch]

launches the study and samples, every second, all processes that descend from the driver (Linux). ``peak`` is the largest resident
memory of a process, shared pages included; ``proportional`` counts a page that n processes share as 1/n for each, so its sum over
processes is what the machine gave away; ``shared memory`` is the part of that in the object store: the arrays, once a node. These
three are the largest values seen; ``later`` is the median resident memory of the second half of the process's life.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

FIELDS = {"Rss": "peak", "Pss": "proportional", "Pss_Shmem": "shared memory"}


def descendants(root: int) -> list[int]:
    """The process and all below it."""
    children = defaultdict(list)
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            children[int(status.read_text().rsplit(")", 1)[1].split()[1])].append(int(status.parent.name))
        except OSError:
            continue
    found = [root]
    for process in found:
        found += children[process]
    return found


def memory(process: int) -> tuple[str, dict[str, float]]:
    """What a process is, and its memory in MB."""
    command = Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    values = {line.split()[0].rstrip(":"): int(line.split()[1]) / 1024 for line in lines[1:]}
    role = "worker" if "Trainable" in command or "TrialActor" in command else "Ray's own"
    return role, {meaning: values[name] for name, meaning in FIELDS.items()}


def main() -> int:
    """Run the study, then print a table; the exit code of the study."""
    driver = subprocess.Popen([sys.executable, "-m", "sweeper", "launch", *sys.argv[1:], "--quiet"])
    peaks: dict[tuple[str, int], dict[str, float]] = {}
    resident: dict[int, list[float]] = defaultdict(list)
    total = 0.0
    while driver.poll() is None:
        now = 0.0
        for process in descendants(driver.pid):
            try:
                role, values = memory(process)
            except OSError:
                continue
            role = "driver" if process == driver.pid else role
            if role == "worker":
                peaks.pop(("Ray's own", process), None)
            elif ("worker", process) in peaks:
                role = "worker"
            peak = peaks.setdefault((role, process), dict.fromkeys(FIELDS.values(), 0.0))
            peaks[role, process] = {name: max(peak[name], value) for name, value in values.items()}
            resident[process].append(values["peak"])
            now += values["proportional"]
        total = max(total, now)
        time.sleep(1)
    print("| process | " + " | ".join(f"{name}, MB" for name in (*FIELDS.values(), "later")) + " |\n|---|---|---|---|---|")
    for role, process in sorted(peaks, key=lambda key: key[0] == "Ray's own"):
        if role != "Ray's own":
            seen = resident[process]
            later = statistics.median(seen[len(seen) // 2 :])
            print(f"| {role} | " + " | ".join(f"{value:.0f}" for value in (*peaks[role, process].values(), later)) + " |")
    print(f"| all processes together, Ray's own included | | {total:.0f} | | |")
    return driver.returncode


if __name__ == "__main__":
    sys.exit(main())
