"""Slurm: the script that is rendered, and what it does when a signal comes, with programs that stand in for Slurm's and Ray's."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.slurm import slurm
from sweeper.errors import InputError
from tests.cluster.kit import assert_golden, job_in
from tests.cluster.stand_ins import programs

LARGE: dict[str, Any] = {
    "cpus_per_node": 16,
    "nodes": 4,
    "gpus_per_node": 2,
    "memory": "64G",
    "time": "1-12:00:00",
    "partition": "gpu,gpu-long",
    "account": "lab_7",
    "qos": "normal",
    "extra": ("--constraint=a100", "--mail-type=FAIL"),
    "setup": ("module load python", 'source "$HOME/venv/bin/activate"'),
    "interface": "ib0",
    "port": 25_000,
}


@pytest.fixture(autouse=True)
def _as_ada(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.chdir(tmp_path)


def test_scripts_are_those_that_were_accepted(tmp_path: Path) -> None:
    setup = ("source /opt/sweeper/bin/activate",)
    least = slurm(job_in(tmp_path), cpus_per_node=4, setup=setup)
    assert_golden("slurm-small.sbatch", least.files["job.sbatch"], tmp_path)
    job = job_in(tmp_path, gpus_per_trial=1, arguments=("--max-concurrent", "4"), code=str(tmp_path / "my code"))
    assert_golden("slurm-large.sbatch", slurm(job, **LARGE).files["job.sbatch"], tmp_path)


def test_commands_find_the_job_by_its_name_and_its_log_beside_the_results(tmp_path: Path) -> None:
    found = slurm(job_in(tmp_path), cpus_per_node=4)
    mine = ("--user=ada", "--name=sweeper-digits")
    assert found.submit == (("mkdir", "-p", "/mnt/lab/results"), ("sbatch", "job.sbatch"))
    assert found.status[0][:3] == ("squeue", *mine)
    assert found.down == (("scancel", *mine),)
    assert found.logs[0][-1] == "/mnt/lab/results/sweeper-digits.log"
    assert any("4 CPUs and 0 GPUs" in note for note in found.notes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nodes": 0}, r"nodes: 0 is not from 1"),
        ({"cpus_per_node": 0}, r"cpus_per_node: 0 is not from 1"),
        ({"gpus_per_node": -1}, r"gpus_per_node: -1 is not from 0"),
        ({"cpus_per_node": 1}, r"no trial fits: the study asks for 2 CPUs"),
        ({"memory": "lots"}, r"memory: 'lots' cannot be used.*32G"),
        ({"time": "soon"}, r"time: 'soon'.*12:00:00"),
        ({"partition": "a b"}, r"partition: 'a b'"),
        ({"account": "--wrap"}, r"account: '--wrap'"),
        ({"qos": ""}, r"qos: ''"),
        ({"extra": ("--exclusive", "--x\n#SBATCH --uid=0")}, r"extra, item 2: .* Write it on one line"),
        ({"extra": ("exclusive",)}, r"extra, item 1: 'exclusive' is no option of sbatch"),
        ({"setup": ("a\nb",)}, r"setup, item 1: .* Write it on one line"),
        ({"interface": "ib0; rm"}, r"interface: 'ib0; rm'"),
        ({"port": 80}, r"port: 80 is not from 1024"),
        ({"logs": "/a\n/b"}, r"logs: .* Write it on one line"),
        ({"logs": '/a"b'}, r"logs: .* holds a quote"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        slurm(job_in(tmp_path, cpus_per_trial=2), **{"cpus_per_node": 4} | options)


def test_with_results_in_a_bucket_the_log_needs_a_folder(tmp_path: Path) -> None:
    job = job_in(tmp_path, results="s3://bucket/results")
    with pytest.raises(InputError, match="logs: with results in a bucket, name a folder"):
        slurm(job, cpus_per_node=4)
    found = slurm(job, cpus_per_node=4, logs="/mnt/100%/logs")
    assert '#SBATCH --output="/mnt/100%%/logs/sweeper-digits.log"' in found.files["job.sbatch"]
    assert "s3://bucket" not in found.logs[0][-1]


# ------------------------------------------------------------------------------------------------------------- the script, run

STAND_INS = {
    "sweeper": """trap "echo saved; exit 130" TERM
    echo "study gets: $*; address $RAY_ADDRESS"; echo $$ >ready
    sleep 30 >/dev/null 2>&1 & wait""",
    # Waits for Ray.
    "python": """until [ -e ray-arguments ]; do sleep 0.05; done
    [ -z "$WAITS" ] || { touch waits; exec sleep 30 >/dev/null 2>&1; }""",
    "ray": 'echo "$*" >>ray-arguments; trap "exit 0" TERM; sleep 30 >/dev/null 2>&1 & wait',
    "srun": "export SLURM_NODEID=0 SLURMD_NODENAME=one; bash -c node & echo $! >node-pid; wait",
    "scancel": 'kill -TERM "$(cat node-pid)"',
    "squeue": "echo ${STATE:-RUNNING}",
    "scontrol": 'echo "scontrol $*"; kill -TERM "$(cat node-pid)"; kill -KILL $PPID',  # Slurm ends the run
}


def started(folder: Path, **settings: str) -> subprocess.Popen[str]:
    """The script, run by a bash of this machine, once the study runs."""
    job = job_in(folder, results=str(folder / "it's a $HOME folder"), arguments=("--max-concurrent", "2"))
    programs(folder / "bin", STAND_INS)
    setup = (f"export PATH={folder / 'bin'}:/usr/bin:/bin",)
    Path(job.results).mkdir()
    script = folder / "job.sbatch"
    script.write_text(slurm(job, cpus_per_node=2, setup=setup).files["job.sbatch"])
    slurms = {"SLURM_JOB_ID": "2403", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "one", "RAY_AUTH_TOKEN": "of somebody"}
    process = subprocess.Popen(
        ["bash", script],
        env={**os.environ, **slurms, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not (folder / "ready").exists():
        assert time.monotonic() < until and process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.05)
    return process


def test_the_signal_reaches_the_study_which_saves_and_the_job_is_queued_again(tmp_path: Path) -> None:
    process = started(tmp_path)
    (token,) = (tmp_path / "it's a $HOME folder").glob(".sweeper-digits-token-*")
    secret = token.read_text()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600 and len(secret) == 64
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert f"launch {tmp_path}/digits.yaml --results {tmp_path}/it's a $HOME folder --cluster attach --max-concurrent 2" in said
    assert said.index("saved") < said.index("queued again") < said.index("scontrol requeue 2403")
    assert secret not in said and secret not in (tmp_path / "ray-arguments").read_text()
    assert not token.exists()
    ray = (tmp_path / "ray-arguments").read_text()
    assert "--port=20030 " in ray and "--dashboard-host=127.0.0.1 --dashboard-port=20031" in ray  # 20000 + 2403 % 1200 * 10
    assert "address 127.0.0.1:20030" in said


def test_a_signal_before_the_study_has_begun_queues_the_job_again(tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    process = started(tmp_path, WAITS="long")
    until = time.monotonic() + 60
    while not (tmp_path / "waits").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert "study gets" not in said and "scontrol requeue 2403" in said


def test_a_job_that_was_cancelled_is_not_queued_again(tmp_path: Path) -> None:
    process = started(tmp_path, STATE="COMPLETING")
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert "saved" in said and "scontrol" not in said
    assert process.returncode == 130


def test_a_study_that_ends_by_itself_ends_the_job_with_its_code(tmp_path: Path) -> None:
    process = started(tmp_path)
    os.kill(int((tmp_path / "ready").read_text()), signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert "saved" in said and "scontrol" not in said
    assert process.returncode == 130


def test_bash_and_shellcheck_have_nothing_against_the_script(tmp_path: Path) -> None:
    script = tmp_path / "job.sbatch"
    for number, options in enumerate(({"cpus_per_node": 1}, LARGE)):
        script.write_text(slurm(job_in(tmp_path, study=f'it\'s "{number}" $(x)'), **options).files["job.sbatch"])
        subprocess.run(["bash", "-n", script], check=True)
        if shutil.which("shellcheck"):
            done = subprocess.run(
                ["shellcheck", "--severity=warning", "--exclude=SC1091", script], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout
