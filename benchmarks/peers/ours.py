"""Our side: the command line as a user calls it, and the figures its ledger gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from workloads import WORKERS

from sweeper.study.spec import load

PROGRAM = [sys.executable, "-m", "sweeper"]
BUILT, TRAINED, VALIDATED = "build_s", "train_s", "evaluate_s"


def command(study: Path) -> list[str]:
    """What runs a workload; results go beside the study file."""
    options = ["--results", str(study.parent), "--num-cpus", str(WORKERS), "--quiet"]
    return [*PROGRAM, "launch", str(study), *options]


def figures(study: Path) -> dict[str, Any]:
    """What a run came to, as ``sweeper status --json`` tells."""
    status = [*PROGRAM, "status", load(study).name, "--results", str(study.parent), "--json"]
    facts = json.loads(subprocess.run(status, stdout=subprocess.PIPE, text=True, check=True).stdout)
    *arms, whole = facts["time"]["arms"]
    assert not facts["trials"]["pending"] + facts["trials"]["interrupted"]
    return {
        "trials": sum(facts["trials"].values()),
        "epochs": facts["epochs"],
        "epochs_by_arm": {arm["arm"]: arm["epochs"] for arm in arms},
        "train_s": whole[TRAINED],
        "trial_s": whole[BUILT] + whole[TRAINED] + whole[VALIDATED],
    }
