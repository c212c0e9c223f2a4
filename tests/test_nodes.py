"""Nodes that differ, leave and join under a sweep: each arm runs where it fits, and a lost node counts against no trial."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SWEEP = """
import functools, json, os, sys
sys.path.insert(0, os.environ["STUB"])
import ray
from ray.cluster_utils import Cluster
from stub_worker import Options, StubWorker, make_importable
from sweeper.driver import launch
from sweeper.study.spec import parse
from sweeper.ledger.ledger import StudyFolder

make_importable()
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
with_gpu = {"num_gpus": 1, "resources": {"accelerator_type:T4": 1}}
nodes = {"cpus": cluster.add_node(num_cpus=2), "gpu": cluster.add_node(num_cpus=1, **with_gpu)}
ray.init(address=cluster.address, log_to_driver=False)
spec = parse('''
name: mixed
dataset: {name: digits, size: 8}
arms:
  small: {architecture: cnn}
  large: {architecture: cnn, resources: {gpus_per_trial: 1, accelerator_type: T4, memory_gb: 0.2}}
budget: {trials: 12, max_epochs: 6}
search: {sampler: random}
stopping: {rule: none}
''')
told = []

class Where(StubWorker):
    "Says where it runs, and which GPUs it sees."

    def _train_epoch(self, epoch):
        row = super()._train_epoch(epoch)
        return row and row | {"device": ray.get_runtime_context().get_node_id(), "worker": os.environ["CUDA_VISIBLE_DEVICES"]}

def watch(search, event):
    if event and event.arm == "large" and event.epoch == 3 and len(nodes) == 2:
        nodes["joined"] = None
        cluster.remove_node(nodes["gpu"], allow_graceful=False)
    if told and "other" not in nodes:
        path = f"{os.environ['OTHER_KERAS']}:{os.environ['PYTHONPATH']}"
        nodes["other"] = cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": path}, **with_gpu)
    if any("left out" in text for text in told) and nodes.get("joined", 0) is None:
        nodes["joined"] = cluster.add_node(num_cpus=1, env_vars={"PATH": os.environ["SHOWS_A_GPU"]}, **with_gpu)

worker = functools.partial(Where, options=Options(epoch_s=0.2))
tell = lambda text: told.append(text) if "waits" in text or "left out" in text else None
outcome = launch.launch(spec, sys.argv[1], watch=watch, worker=worker, tell=tell)
events = StudyFolder(outcome.folder).read()
names = {node.node_id: name for name, node in nodes.items()}
ran = {(event.arm, names[event.device], event.worker) for event in events if event.device in names}
lost = {event.reason for event in events if event.kind == "attempt_ended" and event.status == "interrupted"}
print(json.dumps({"is_finished": outcome.search.is_finished, "ran": sorted(ran), "lost": sorted(lost), "told": told}))
ray.shutdown()
cluster.shutdown()
"""


def write(file: Path, text: str) -> Path:
    """A file with this text."""
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


@pytest.mark.ray
@pytest.mark.long
def test_each_arm_runs_where_it_fits_as_nodes_leave_and_join(tmp_path: Path) -> None:
    hidden = ("KERAS_HOME", "KERAS_BACKEND", "RAY_ADDRESS", "CUDA_VISIBLE_DEVICES")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    settings = {"STUB": str(ROOT / "benchmarks"), "RAY_memory_monitor_refresh_ms": "0"}
    settings |= {"OTHER_KERAS": str(tmp_path / "packages"), "SHOWS_A_GPU": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    write(tmp_path / "packages/keras-4.0.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: keras\nVersion: 4.0.0\n")
    write(tmp_path / "bin/nvidia-smi", "#!/bin/sh\necho T4, 15000, 14000\n").chmod(0o755)
    command = [sys.executable, "-c", SWEEP, str(tmp_path)]
    run = subprocess.run(command, env=environment | settings, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["is_finished"]
    assert found["lost"] == ["node_lost"], "which is no fault of the trial"
    ran = {(arm, node): gpus for arm, node, gpus in found["ran"]}
    assert {("small", "cpus"): "", ("large", "gpu"): "0", ("large", "joined"): "0"}.items() <= ran.items(), ran
    assert ran.keys() <= {("small", "cpus"), ("small", "joined"), ("large", "gpu"), ("large", "joined")}
    waited = found["told"][0]
    (left_out,) = (text for text in found["told"] if "left out" in text)
    assert " is left out: keras 4.0.0 there, " in left_out and "and start Ray there again; the study goes on" in left_out
    assert waited.startswith(
        "arm 'large' waits for a node: no trial fits any that is there. Asked for: cpus_per_trial: 1, gpus_per"
    )
