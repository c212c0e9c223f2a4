"""A study on two nodes of a real Slurm: submitted, stopped by a signal, preempted by another job, resumed, ended."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import slurm
from tests.system.hosts import Host
from tests.system.submitted import Submitted, until

pytestmark = pytest.mark.skipif(slurm.problem() is not None, reason=str(slurm.problem()))


@pytest.fixture
def slurms() -> Iterator[tuple[Host, Path]]:
    """A host with Slurm's commands, and Slurm's folder, whose path is short."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, slurm.running(Path(name)) as host:
        yield host, Path(name)


def test_a_preempted_job_is_queued_again_and_goes_on(slurms: tuple[Host, Path]) -> None:
    host, folder = slurms
    kind = {"kind": "slurm", "nodes": 2, "cpus_per_node": 1, "time": "30:00", "extra": ["--exclusive"]}
    study = Submitted(host, folder, kind, {"SLURM_CONF": str(folder / "slurm.conf")})
    log = study.results / "sweeper-tiny.log"

    def said() -> str:
        return study.cluster("status") + (log.read_text() if log.exists() else "no log")

    assert "Submitted batch job 1" in study.launch()
    until(lambda: study.num_epochs() > 3, 450, said)
    assert "RUNNING" in study.cluster("status")
    (token,) = study.results.glob(".sweeper-tiny-token-*")
    secret = token.read_text()
    study.do("scancel", "--signal=TERM", "--batch", "--name=sweeper-tiny")
    until(lambda: "PENDING" in study.cluster("status"), 60, said)
    assert not token.exists()
    stopped = study.num_epochs()
    # Slurm lets a job that is queued again wait for two minutes: nodes refuse it in the second of its end, and it ends for good.
    soon = ("scontrol", "update", "JobId=1", "StartTime=now+4")
    study.do(*soon)
    until(lambda: study.num_epochs() > stopped, 450, said)
    # Slurm tells Ray's nodes alone, and waits until the job has ended.
    study.do("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=true")
    until(lambda: "COMPLETED" in study.do("scontrol", "show", "job", "2"), 90, said)
    study.do(*soon)
    study.await_end(said)
    until(lambda: "COMPLETED" in study.cluster("status"), 60, said)
    study.check()
    printed = study.cluster("logs")
    assert "everything is saved" in printed and printed.count("queued again") == 2 and "start 3, on one,two" in printed
    assert printed.count("2 of 2 nodes of Ray are there") == 3
    assert secret not in log.read_text()
    study.launch()
    study.cluster("down")
    until(lambda: "CANCELLED" in study.cluster("status"), 60, said)
