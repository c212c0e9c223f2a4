"""A ledger in an object store: commits per second, and seconds to list and read a thousand parts.

Run as ``python benchmarks/stores.py``. It needs Debian's packages ceph-mon, ceph-osd, ceph-common and radosgw, starts a Ceph of
one node on loopback (in memory) and measures there. ``--before DIR`` measures another state of the code too, whose package
`sweeper` lies in that folder, in turns with this one in the same store.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = 1000


def measure() -> dict[str, float]:
    """What one process measures, in a study of its own in the bucket ``speed``."""
    from sweeper.ledger.ledger import StudyFolder
    from sweeper.ledger.records import Event, Kind

    study = StudyFolder(f"s3://speed/{uuid.uuid4().hex}/study")
    study.create("name: study\n")
    with study.drive() as ledger:
        started = time.perf_counter()
        for number in range(PARTS - 1):
            ledger.append(Event(kind=Kind.ATTEMPT_ENDED, detail=str(number)))
            ledger.commit()
        commits = (PARTS - 1) / (time.perf_counter() - started)
    started = time.perf_counter()
    listed = len(study.part_names())
    list_s = time.perf_counter() - started
    started = time.perf_counter()
    read = len(study.read())
    read_s = time.perf_counter() - started
    assert (listed, read) == (PARTS, PARTS)
    return {"commits a second": commits, "list (s)": list_s, "list and read (s)": read_s}


def main() -> None:
    """Measure each state of the code in processes of its own, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="DIR", help="where the other state of the code lies")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure()))
        return
    sys.path.insert(0, str(ROOT))
    from tests.system import servers

    if servers.missing():
        sys.exit(f"Ceph is not installed: there is no {servers.missing()}")
    states = {"before": given.before, "now": ROOT} if given.before else {"now": ROOT}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in states}
    with tempfile.TemporaryDirectory() as folder, servers.ceph(Path(folder)) as address:
        # Otherwise pyarrow, with which the code before `obstore` wrote, sends what this Ceph does not understand.
        variables = os.environ | servers.ceph_bucket(address, "speed") | {"AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}
        for _ in range(given.rounds):
            for name, state in states.items():
                command = [sys.executable, __file__, "--measure"]
                done = subprocess.run(command, env=variables | {"PYTHONPATH": str(state)}, capture_output=True, text=True)
                if done.returncode:
                    print(f"{name}: a round failed: {done.stderr.strip().splitlines()[-1]}")
                else:
                    found[name].append(json.loads(done.stdout))
    for what in found["now"][0]:
        medians = {name: statistics.median(one[what] for one in rounds) for name, rounds in found.items()}
        ratio = f"   {medians['now'] / medians['before']:.2f}x" if given.before else ""
        print(f"{what:20}" + "   ".join(f"{name} {value:8.2f}" for name, value in medians.items()) + ratio)


if __name__ == "__main__":
    main()
