"""A real Slurm on hosts of `tests.system.hosts`: a controller, two nodes, and munge, which they trust each other by."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.system import hosts

NEEDED = {"slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client", "munged": "munge"}
"""Commands, and the Debian packages that have them."""

CONFIGURATION = """
ClusterName=test
SlurmctldHost=control({control})
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=2
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
SlurmdTimeout=10
KillWait=20
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=one NodeAddr={one} CPUs=2 RealMemory=2000 State=UNKNOWN
NodeName=two NodeAddr={two} CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP PriorityTier=1 GraceTime=80
PartitionName=urgent Nodes=ALL MaxTime=60 State=UP PriorityTier=2 PreemptMode=OFF
"""


def problem() -> str | None:
    """Why no Slurm can be started here; None when one can."""
    if missing := sorted({package for command, package in NEEDED.items() if shutil.which(command) is None}):
        return f"Debian packages are missing: {' '.join(missing)}"
    return hosts.problem()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[hosts.Host]:
    """The host from which jobs are submitted; Slurm ends with the block, and its jobs with it.

    Args:
        folder: An empty folder, whose path is short.
    """
    munge = folder / "munge"
    for made in (munge, folder / "state", folder / "hosts"):
        made.mkdir()
    (munge / "key").write_bytes(os.urandom(128))
    (munge / "key").chmod(0o400)
    its_files = [f"--{name}-file={munge / name}" for name in ("key", "pid", "log", "seed")]
    # One for all hosts, which share this machine's files: its socket is one of them.
    daemon = subprocess.Popen(
        ["munged", "--foreground", "--force", f"--socket={munge / 'socket'}", *its_files],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with hosts.network(folder / "hosts") as net:
            control, one, two = (net.host(name) for name in ("control", "one", "two"))
            addresses = {host.name: host.address for host in (control, one, two)}
            (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, **addresses))
            settings = {"SLURM_CONF": str(folder / "slurm.conf")}
            daemons = [control.start(["slurmctld", "-D"], **settings)]
            daemons += [host.start(["slurmd", "-D"], **settings) for host in (one, two)]
            until = time.monotonic() + 60
            while "idle one,two" not in (said := control.run(["sinfo", "--noheader"], **settings)[1]):
                assert time.monotonic() < until, said + "".join(process.printed[-1000:] for process in daemons)
                time.sleep(0.5)
            yield control
    finally:
        daemon.terminate()
        daemon.wait()
