"""A study on two machines that are reached over a real sshd: submitted, ended, submitted again, finished."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from cluster.machines import machines
from sweeper.submission import Job
from tests.system import hosts, ssh
from tests.system.submitted import ENVIRONMENT, Submitted, until

pytestmark = pytest.mark.skipif(ssh.problem() is not None, reason=str(ssh.problem()))


def test_a_study_goes_on_after_its_machines_were_left(net: hosts.Network, tmp_path: Path) -> None:
    here, one, two = (net.host(name) for name in ("here", "one", "two"))
    (tmp_path / "ssh").mkdir()
    kind = {
        "kind": "machines",
        "hosts": ["one", "two"],
        "ssh_config": str(ssh.serve([one, two], tmp_path / "ssh")),
        "cpus_per_host": 1,
        "setup": [f"export {name}={value}" for name, value in ENVIRONMENT.items()],
    }
    study = Submitted(here, tmp_path, kind, {})
    there = own_folders((one, two), tmp_path)
    try:
        study.launch()
        until(lambda: study.num_epochs() > 3, 450, lambda: study.cluster("status") + study.cluster("logs"))
        assert study.cluster("status").count("it runs") == 3
        secret = (one.folder / "own" / "token").read_text().strip()
        study.cluster("down")
        assert "it runs" not in study.cluster("status")
        for host in (one, two):
            assert "ray" not in host.run(["ps", "-eo", "comm"])[1]
        printed = study.cluster("logs")
        assert "everything is saved" in printed and secret not in printed
        study.cluster("submit")
        study.await_end(lambda: study.cluster("logs"))
        until(lambda: "ended with 0" in study.cluster("logs"), 60, lambda: study.cluster("logs"))
        study.check()
        study.cluster("down")
    finally:
        there.rmdir()


def own_folders(machines_: tuple[hosts.Host, ...], folder: Path) -> Path:
    """Give each host a folder of its own at the place that the job has there; hosts share this machine's /tmp."""
    (folder / "any.yaml").write_text("")
    script = machines(Job(study="tiny", study_file=folder / "any.yaml", results="/r"), hosts=("one",)).files["machines.sh"]
    (found,) = re.findall(r"there='(\S+) -u\)(-\w+)'", script)
    there = Path(f"{found[0].removesuffix('$(id')}{os.getuid()}{found[1]}")
    there.mkdir(exist_ok=True)
    for host in machines_:
        (host.folder / "own").mkdir()
        host.mount(host.folder / "own", there)
    return there
