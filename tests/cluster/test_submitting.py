"""A kind of cluster as a user names it, the job that is submitted, and the commands around it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from sweeper.cli import cli
from sweeper.cli._running import kind_and_options
from sweeper.errors import InputError, StudyFileError, SweeperError, UnknownNameError
from sweeper.service.clusters import named, perform, render
from sweeper.submission import LONGEST_NAME, Job, Submission, filled, one_line
from tests.cluster.kit import STUDY, job_in
from tests.cluster.stand_ins import programs

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80) | st.text("aA-_. é", min_size=1, max_size=60)


def named_job(study: str) -> Job:
    return Job(study=study, study_file=Path("/study.yaml"), results="/results")


@given(NAMES)
def test_a_jobs_name_is_one_wherever_it_is_submitted(study: str) -> None:
    name = named_job(study).name
    assert 9 <= len(name) <= LONGEST_NAME
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert name.startswith("sweeper-") and not name.endswith("-")


@given(NAMES, NAMES)
def test_two_studies_never_share_a_name(one: str, other: str) -> None:
    assert (named_job(one).name == named_job(other).name) == (one == other)


@given(NAMES)
def test_a_study_called_as_another_ones_job_is_no_other_job(study: str) -> None:
    taken = named_job(study).name
    other = taken.removeprefix("sweeper-")
    assert other == study or named_job(other).name != taken


def test_the_command_launches_the_study_there(tmp_path: Path) -> None:
    job = job_in(tmp_path, code="/my code", arguments=("--quiet",))
    there = ("sweeper", "launch", "/there.yaml", "--results", "/r", "--cluster", "attach", "--code", "/c", "--quiet")
    assert job.command(study_file="/there.yaml", code="/c", results="/r") == there
    assert job.command()[2:5] == (str(tmp_path / "digits.yaml"), "--results", "/mnt/lab/results")


def test_holes_of_a_template_are_filled_and_all_else_stays(tmp_path: Path) -> None:
    (tmp_path / "x.sh").write_text("echo $HOME ${HOME} %%{what} 100% {a: b}\n")
    assert filled(tmp_path / "x.sh", what="$1") == "echo $HOME ${HOME} $1 100% {a: b}\n"
    for values in ({}, {"what": "", "other": ""}):
        with pytest.raises(AssertionError, match=r"x\.sh: holes"):
            filled(tmp_path / "x.sh", **values)
    with pytest.raises(InputError, match="title: 'a"):
        one_line("title", "a\u2028b")


# ------------------------------------------------------------------------------------------------------------ as a user names it


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: slrum", "kind: unknown cluster 'slrum'. Did you mean 'slurm'?"),
        ("nodes: 2", "kind is missing. Allowed: attach"),
        ("[slurm]", "it holds no keys and values"),
        ("kind: slurm\nnodes: two\nnode: 3\ncpus_per_node: 4", "line 3, node: unknown option of slurm 'node'"),
        ("kind: slurm\nnodes: two\ncpus_per_node: 4", "line 2, nodes: "),
        ("kind: slurm\ncpus_per_node: 4\ntime: 600", "line 3, time: "),
        ("kind: slurm\ncpus_per_node: 4\nextra: --exclusive", "line 3, extra: "),
        ("kind: slurm\nkind: slurm", "line 2"),
    ],
)
def test_faults_of_a_cluster_file(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(StudyFileError) as error:
        named(str(tmp_path / "my.yaml"))
    assert said in str(error.value)


def test_what_is_named_and_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'slrum'\. Did you mean 'slurm'"):
        named("slrum")
    with pytest.raises(InputError, match=r"my\.yaml"):
        named(str(tmp_path / "my.yaml"))
    with pytest.raises(
        InputError, match=r"kind slurm needs cpus_per_node\. Write a file(.|\n)*kind: slurm\n  cpus_per_node: \.\.\."
    ):
        named("slurm").submission(job_in(tmp_path))
    with pytest.raises(InputError, match="runs a study from here, so there is nothing to submit"):
        named("local").submission(job_in(tmp_path))


def test_a_file_may_name_a_kind_that_runs_from_here_and_flags_come_first(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("kind: attach\naddress: 10.0.0.1:6379\n")
    assert kind_and_options(str(file), {"address": None}) == ("attach", {"address": "10.0.0.1:6379"})
    assert kind_and_options(str(file), {"address": "10.0.0.2:6379"}) == ("attach", {"address": "10.0.0.2:6379"})
    with pytest.raises(InputError, match=r"--nice cannot be used with --cluster attach .*choose --cluster local\."):
        kind_and_options(str(file), {"nice": 3})
    with pytest.raises(InputError, match=r"--address cannot be used with --cluster local .*choose --cluster attach\."):
        kind_and_options("local", {"address": "10.0.0.1:6379"})
    file.write_text("kind: slurm\ncpus_per_node: 1\n")
    with pytest.raises(InputError, match="a whole study is submitted to slurm, and nothing else runs there"):
        kind_and_options(str(file), {})


# --------------------------------------------------------------------------------------------------------------------- commands

SLURMS = {
    "sbatch": 'cp "$1" "$RECORD/"; echo "Submitted batch job 7"',
    "squeue": 'echo "squeue $*" >>"$RECORD/asked"; [ -z "$EMPTY" ] && echo "7 RUNNING"; exit 0',
    "scancel": 'echo "scancel: error: no permission" >&2; exit 1',
}


@pytest.fixture
def slurms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study and a cluster file, and a Slurm on PATH that records what it is asked."""
    (tmp_path / "record").mkdir()
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("PATH", f"{programs(tmp_path / 'bin', SLURMS)}:{os.environ['PATH']}")
    (tmp_path / "my.yaml").write_text("kind: slurm\ncpus_per_node: 4\nextra: [--exclusive]\n")
    job_in(tmp_path)
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(cli, arguments)
    finally:
        os.chdir(before)


def test_launch_submits_with_its_options(slurms: Path) -> None:
    done = run(
        slurms, "launch", "digits.yaml", "--cluster", "my.yaml", "--max-concurrent", "3", "--quiet", "--results", "my results"
    )
    assert done.exit_code == 0, done.output
    script = (slurms / "record" / "job.sbatch").read_text()
    assert script == (slurms / "sweeper-digits-slurm" / "job.sbatch").read_text()
    assert f"sweeper launch {slurms}/digits.yaml --results '{slurms}/my results' --cluster attach" in script
    assert "--max-concurrent 3 --quiet" in script and "#SBATCH --exclusive" in script
    assert "Submitted batch job 7" in done.output and "known there as sweeper-digits" in done.output


def test_options_of_this_machine_are_not_passed_on(slurms: Path) -> None:
    for given_, said in (
        (("--num-cpus", "2"), "--num-cpus"),
        (("--cluster", "local"), "--cluster"),
        (("--results", "r"), "--results"),
    ):
        done = run(slurms, "cluster", "submit", "my.yaml", "digits.yaml", "--", *given_)
        assert isinstance(done.exception, InputError) and said in str(done.exception)
    assert run(slurms, "cluster", "submit", "my.yaml", "digits.yaml", "--", "--max-concurrent", "none").exit_code == 2
    done = run(slurms, "cluster", "render", "my.yaml", "digits.yaml", "--out", "o", "--", "--max-concurrent", "2")
    assert done.exit_code == 0 and "--max-concurrent 2" in (slurms / "o" / "job.sbatch").read_text()


def test_render_writes_the_files_and_says_what_would_be_run(slurms: Path) -> None:
    done = run(slurms, "cluster", "render", "my.yaml", "digits.yaml", "--out", "my files")
    assert "wrote my files/job.sbatch" in done.output and "submit: cd 'my files' && sbatch job.sbatch" in done.output
    facts: dict[str, Any] = json.loads(run(slurms, "cluster", "render", "my.yaml", "digits.yaml", "--json").stdout)
    assert ["sbatch", "job.sbatch"] in json.loads(json.dumps(facts))["submit"]
    assert not [*(slurms / "record").iterdir()]


def test_status_logs_and_down_run_the_commands_and_their_faults_are_told(slurms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(slurms, "cluster", "status", "my.yaml", "digits.yaml")
    assert done.stdout.strip() == "7 RUNNING"
    assert "--name=sweeper-digits" in (slurms / "record" / "asked").read_text()
    monkeypatch.setenv("EMPTY", "yes")
    assert "no job is known there as sweeper-digits" in run(slurms, "cluster", "status", "my.yaml", "digits.yaml").output
    done = run(slurms, "cluster", "logs", "my.yaml", "digits.yaml")
    assert isinstance(done.exception, SweeperError) and "sweeper-digits.log" in str(done.exception)
    done = run(slurms, "cluster", "down", "my.yaml", "digits.yaml")
    assert isinstance(done.exception, SweeperError) and "failed with 1:\nscancel: error: no permission" in str(done.exception)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    done = run(slurms, "cluster", "submit", "jobs.yaml", "digits.yaml")
    assert done.exit_code != 0


def test_a_program_that_is_missing_is_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nosuchprogram is not installed here"):
        perform((("touch", "made"), ("nosuchprogram",)), tmp_path, lambda line: None)
    assert not (tmp_path / "made").exists()


def test_files_may_lie_in_folders(tmp_path: Path) -> None:
    made = render(Submission(files={"a/b.txt": STUDY}), tmp_path / "new")
    assert made == [tmp_path / "new" / "a" / "b.txt"] and made[0].read_text() == STUDY
