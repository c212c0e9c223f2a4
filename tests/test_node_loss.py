"""A node of a cluster dies under a sweep: its trials go on elsewhere, and it does not count against them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SWEEP = """
import functools, os, sys
sys.path.insert(0, os.environ["STUB"])
import ray
from ray.cluster_utils import Cluster
from stub_worker import Options, StubWorker, make_importable
from sweeper.driver import launch
from sweeper.study.spec import parse
from sweeper.ledger.ledger import StudyFolder

make_importable()
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False)
spec = parse('''
name: lost
dataset: {name: digits, size: 8}
arms: {cnn: {}}
budget: {trials: 4, max_epochs: 12}
search: {sampler: random}
stopping: {rule: none}
''')
killed = []

def watch(search, event):
    if event and event.epoch == 3 and not killed:
        killed.append(nodes[0])
        cluster.remove_node(nodes[0], allow_graceful=False)

worker = functools.partial(StubWorker, options=Options(epoch_s=0.2))
outcome = launch.launch(spec, sys.argv[1], watch=watch, worker=worker)
ended = [event for event in StudyFolder(outcome.folder).read() if event.kind == "attempt_ended" and event.status == "interrupted"]
print("RESULT", outcome.search.is_finished, len(killed), sorted({event.reason for event in ended}), file=sys.stderr)
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.ray
@pytest.mark.long
def test_a_lost_node_costs_no_retry(tmp_path: Path) -> None:
    hidden = ("KERAS_HOME", "KERAS_BACKEND", "RAY_ADDRESS", "CUDA_VISIBLE_DEVICES")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    settings = {"STUB": str(ROOT / "benchmarks"), "RAY_memory_monitor_refresh_ms": "0"}
    command = [sys.executable, "-c", SWEEP, str(tmp_path)]
    run = subprocess.run(command, env=environment | settings, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "RESULT True 1 [<Reason.NODE_LOST: 'node_lost'>]" in run.stderr, run.stderr[-3000:]
