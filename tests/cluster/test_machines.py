"""Machines by ssh: the script that is rendered, and what it does, with an ssh that runs commands here and a Ray that waits."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.machines import machines
from sweeper.errors import InputError
from sweeper.submission import Submission
from tests.cluster.kit import STUDY, assert_golden, job_in
from tests.cluster.stand_ins import programs

LARGE: dict[str, Any] = {
    "hosts": ("lab1", "lab2.example.org", "10.0.0.7"),
    "user": "ada",
    "key": "/home/ada/a key",
    "ssh_port": 2222,
    "ssh_config": "/home/ada/.ssh/lab",
    "setup": ("source /opt/sweeper/bin/activate",),
    "folder": "/mnt/lab/it's here",
    "cpus_per_host": 8,
    "gpus_per_host": 0,
    "interface": "eth1",
    "port": 25_000,
}


def test_scripts_are_those_that_were_accepted(tmp_path: Path) -> None:
    least = machines(job_in(tmp_path), hosts=("lab1",), setup=("source /opt/sweeper/bin/activate",))
    assert_golden("machines-small.sh", least.files["machines.sh"], tmp_path)
    job = job_in(tmp_path, arguments=("--max-concurrent", "4"), code=str(tmp_path / "my code"))
    assert_golden("machines-large.sh", machines(job, **LARGE).files["machines.sh"], tmp_path)


def test_the_study_goes_along_and_code_in_a_bucket_stays_there(tmp_path: Path) -> None:
    found = machines(job_in(tmp_path, code="s3://bucket/code"), hosts=("lab1",))
    assert found.files["study.yaml"] == STUDY
    assert "--code s3://bucket/code" in found.files["machines.sh"] and "tar" not in found.files["machines.sh"].replace(
        "start", ""
    )
    assert found.down == (("bash", "machines.sh", "down"),)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hosts": ()}, r"hosts: it is empty"),
        ({"hosts": ("a", "b", "a")}, r"hosts: a is named more than once"),
        ({"hosts": ("a b",)}, r"hosts: 'a b' cannot be used"),
        ({"hosts": ("-oProxyCommand=x",)}, r"hosts: '-oProxyCommand=x' cannot be used"),
        ({"hosts": ("a;b",)}, r"hosts: 'a;b' cannot be used"),
        ({"user": "a@b"}, r"user: 'a@b' cannot be used"),
        ({"key": "/a\n/b"}, r"key: .* Write it on one line"),
        ({"ssh_port": 0}, r"ssh_port: 0 is not from 1 to 65,535"),
        ({"ssh_config": "a\nb"}, r"ssh_config: .* Write it on one line"),
        ({"setup": ("a\nb",)}, r"setup, item 1: .* Write it on one line"),
        ({"folder": "a\nb"}, r"folder: .* Write it on one line"),
        ({"cpus_per_host": 0}, r"cpus_per_host: 0 is not from 1"),
        ({"gpus_per_host": -1}, r"gpus_per_host: -1 is not from 0"),
        ({"interface": "eth0 x"}, r"interface: 'eth0 x'"),
        ({"port": 70_000}, r"port: 70000 is not from 1024 to 65,532"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        machines(job_in(tmp_path), **{"hosts": ("lab1",)} | options)


def test_bash_and_shellcheck_have_nothing_against_the_script(tmp_path: Path) -> None:
    script = tmp_path / "machines.sh"
    for options in ({"hosts": ("lab1",)}, LARGE):
        job = job_in(tmp_path, code=str(tmp_path / "it's \"$(code)"), results="/a \"b\" 'c' $d")
        script.write_text(machines(job, **options).files["machines.sh"])
        subprocess.run(["bash", "-n", script], check=True)
        if shutil.which("shellcheck"):
            done = subprocess.run(
                ["shellcheck", "--severity=warning", "--exclude=SC1091", script], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout


# ------------------------------------------------------------------------------------------------------------- the script, run

STAND_INS = {
    "ssh": """while [ "$1" != lab1 ]; do
        [ "$1" = lab2 ] && { echo "ssh: lab2: no route" >&2; exit 255; }
        shift
    done
    sh -c "$2" """,
    "python": "until [ -e ../ray-arguments ]; do sleep 0.05; done",
    "ray": 'echo "$*" >>ray-arguments; exec -a "$*" sleep 60',
    "sweeper": """trap "echo saved; exit 130" TERM
    echo "study gets: $*; $RAY_ADDRESS"; cat "$2"; ls "$8"
    sleep 60 >/dev/null 2>&1 & wait""",
}


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., tuple[int, str]]]:
    """Runs the script of a submission with a word; whatever it started is ended at the end."""
    used: list[Submission] = []

    def run(found: Submission, word: str) -> tuple[int, str]:
        used.append(found)
        for name, text in found.files.items():
            (tmp_path / name).write_text(text)
        path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", "machines.sh", word],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"PATH": path},
        )
        return done.returncode, done.stdout + done.stderr

    programs(tmp_path / "bin", STAND_INS)
    yield run
    for found in {folder_of(found): found for found in used}.values():
        run(found, "down")
        shutil.rmtree(folder_of(found), ignore_errors=True)


def folder_of(found: Submission) -> Path:
    """The folder of a submission on a machine, which is this one."""
    (there,) = re.findall(r"/tmp/sweeper-\S+ -u\)-\w+", found.notes[0])
    return Path(there.replace("$(id -u)", str(os.getuid())))


def test_a_study_is_started_outlives_the_connection_and_saves_when_it_is_ended(
    drive: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code = tmp_path / "my code"
    (code / "architectures").mkdir(parents=True)
    inside = tmp_path / "cwd $x"
    inside.mkdir()
    job = job_in(tmp_path, study=f"it's {uuid.uuid4()}", code=str(code), results="/a 'b' $c")
    setup = (f"export PATH={tmp_path / 'bin'}:/usr/bin:/bin",)
    found = machines(job, hosts=("lab1",), setup=setup, folder=str(inside), cpus_per_host=2)
    there = folder_of(found)
    (port,) = re.findall(r"Ray's ports, (\d+) and others", found.notes[1])
    assert drive(found, "status") == (0, "lab1:\n")
    assert drive(found, "submit")[0] == 0
    exit_code, said = drive(found, "submit")
    assert (exit_code, said) == (0, "it runs already\n")
    until = time.monotonic() + 30
    while "architectures" not in (said := drive(found, "logs")[1]):
        assert time.monotonic() < until, said
        time.sleep(0.1)
    launched = f"launch {there}/study.yaml --results /a 'b' $c --cluster attach --code {there}/code"
    assert f"study gets: {launched}; 127.0.0.1:{port}\n" in said
    assert STUDY in said  # the file, as it is there
    assert drive(found, "status")[1].count("it runs") == 2
    secret = (there / "token").read_text().strip()
    assert len(secret) == 64 and stat.S_IMODE((there / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE(there.stat().st_mode) == 0o700
    exit_code, said = drive(found, "down")
    assert (exit_code, said) == (0, "lab1:\n")
    said = drive(found, "logs")[1]
    assert "saved" in said and "ended with 130" in said and secret not in said
    assert drive(found, "status")[1].count("it does not run") == 2
    assert not (there / "token").exists() and not (there / "code").exists()


def test_a_machine_that_cannot_be_reached_is_named_before_anything_is_started(
    drive: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    setup = (f"export PATH={tmp_path / 'bin'}:/usr/bin:/bin",)
    found = machines(job_in(tmp_path, study=f"{uuid.uuid4()}"), hosts=("lab1", "lab2"), setup=setup)
    code, said = drive(found, "submit")
    assert code == 1 and "lab2 cannot be used" in said and "Nothing was started" in said and "no route" in said
    assert not (tmp_path / "ray-arguments").exists()
    found = machines(job_in(tmp_path, study=f"{uuid.uuid4()}"), hosts=("lab1",), setup=("export PATH=/usr/bin:/bin",))
    code, said = drive(found, "submit")
    assert code == 1 and "sweeper is not on PATH" in said and "lab1 cannot be used" in said
