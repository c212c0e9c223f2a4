"""What the doctor finds: in answers of nodes that are made up, and in a study on the shared Ray."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeper.doctor import arms, examination, machines, outlook, security
from sweeper.doctor.examination import Report
from sweeper.doctor.findings import Finding, Level, checked, fault, ok, warning
from sweeper.doctor.questions import RAYS_FILES, RAYS_OBJECTS, Disk, Limits
from sweeper.driver.asking import Clock, Facts, Gpu, NoAnswer
from sweeper.driver.exposure import Port
from sweeper.driver.rehearsal import Forecast, Range
from sweeper.errors import InputError
from sweeper.owncode import Code
from sweeper.study.spec import ResourcesSpec, parse
from tests.conftest import Run

STUDY = """
name: tiny
dataset: {name: digits, size: 8, fraction: 0.2}
arms:
  one: {architecture: lenet, fixed: {batch_size: 64}}
  two: {architecture: cnn, fixed: {num_blocks: 2, width: 16, convolutions_per_block: 1, dense_units: 64, batch_size: 64}}
budget: {trials: 2, max_epochs: 2}
search: {sampler: random}
stopping: {rule: none}
"""


def facts(**changes: Any) -> Facts:
    usual: dict[str, Any] = {"versions": {"keras": "3.1"}, "gpus": (), "has_gpu": False, "memory_mb": 8000, "available_mb": 4000}
    return Facts(**{**usual, **changes})


def told(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    """Level and text of findings; each that is bad says what to do."""
    found = [*findings]
    assert all(one.fix for one in found if one.level is not Level.OK)
    return [(one.level.value, one.found) for one in found]


# ---------------------------------------------------------------------------------------------------------------- checks


def test_a_check_that_raises_or_does_not_end_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hush-hush-hush")

    def refuses() -> Iterator[Finding]:
        yield ok("x", "hush-hush-hush is there")
        raise InputError("no data")

    found = [*checked("x", refuses)]
    assert [(one.level, one.found) for one in found] == [("ok", "*** is there"), ("fault", "no data")]
    assert told(checked("x", lambda: 1 / 0)) == [  # type: ignore[arg-type, return-value]
        ("warning", "this could not be checked: ZeroDivisionError: division by zero")
    ]
    assert told(checked("x", lambda: time.sleep(2) or (), 0.05)) == [  # type: ignore[func-returns-value]
        ("warning", "this could not be checked: it did not end within 0 s")
    ]


# -------------------------------------------------------------------------------------------------------------- machines


def test_packages() -> None:
    ours = {"keras": "3.1", "numpy": "2.0"}
    same = facts(versions=dict(ours))
    ((level, text),) = told(machines.packages({"a": same, "b": same}, ours))
    assert level == "ok" and text.endswith("keras 3.1, numpy 2.0; the same on 2 nodes")
    other = facts(versions={"keras": "3.2", "numpy": "2.0"})
    assert told(machines.packages({"a": same, "b": other}, ours)) == [("fault", "b: keras 3.2 there, 3.1 here")]
    assert told(machines.packages({}, {"keras": None})) == [("fault", "this machine lacks keras")]


def test_a_node_that_does_not_answer() -> None:
    answers, silent = machines.answered({"a": facts(), "b": NoAnswer(why="no worker of ours starts there: x")})
    assert [*answers] == ["a"] and told(iter(silent)) == [("fault", "b: no worker of ours starts there: x")]


def test_nodes_of_one_name_are_told_apart() -> None:
    nodes = [{"NodeManagerHostname": "h", "NodeManagerAddress": "1.2.3.4", "NodeID": number * 8} for number in "ab"]
    assert machines.names_of(nodes) == ["h (1.2.3.4), aaaaaa", "h (1.2.3.4), bbbbbb"]
    assert machines.names_of(nodes[:1]) == ["h (1.2.3.4)"]


@pytest.mark.parametrize(
    ("node", "counted", "per_trial", "said"),
    [
        (facts(), 0, 0, [("ok", "none asked for")]),
        (facts(), 0, 1, [("fault", "the study asks for 1 of a GPU for a trial, and Ray counts none")]),
        (
            facts(),
            2,
            0.5,
            [("fault", "n: Ray counts 2, and there is none to be seen"), ("ok", "2 for trials that take 0.5 each")],
        ),
        (facts(has_gpu=True), 0, 0, [("warning", "n has a GPU, and Ray counts none there"), ("ok", "none asked for")]),
        (
            facts(has_gpu=True, gpus=(Gpu(name="H200", total_mb=1000, free_mb=400),)),
            1,
            1,
            [("warning", "n: 600 of 1,000 MB of a H200 are used by others"), ("ok", "1 for trials that take 1 each")],
        ),
    ],
)
def test_gpus(node: Facts, counted: float, per_trial: float, said: list[tuple[str, str]]) -> None:
    assert told(machines.gpus({"n": node}, {"n": counted}, per_trial)) == said


@pytest.mark.parametrize(("worker_mb", "level"), [(None, "ok"), (900, "ok"), (1100, "warning"), (2100, "fault")])
def test_memory(worker_mb: float | None, level: str) -> None:
    ((found, _),) = told(machines.memory({"n": facts()}, {"n": 4}, worker_mb))
    assert found == level


def test_disks_open_files_and_clocks() -> None:
    def limits(free_mb: int, open_files: int = 4096) -> Limits:
        disks = {use: Disk(path="/x", total_mb=100_000, free_mb=free_mb) for use in (RAYS_FILES, RAYS_OBJECTS)}
        return Limits(open_files=open_files, disks=disks)

    assert [level for level, _ in told(machines.disks({"a": limits(50_000), "b": limits(6000)}))] == ["ok"]
    assert told(machines.disks({"a": limits(3000)})) == [
        ("warning", "a: 3,000 of 100,000 MB are free for Ray's own files (/x)")  # less than a twentieth
    ]
    assert [level for level, _ in told(machines.disks({"a": limits(500, open_files=256)}))] == ["warning"] * 3
    near, far = Clock(ahead_s=-5.5, within_s=1.0), Clock(ahead_s=-40.0, within_s=1.0)
    assert told(machines.clocks({"a": near})) == [("ok", "no more than 6.5 s apart")]
    assert told(machines.clocks({"a": near, "b": far})) == [("warning", "b: its clock is 40 s behind this machine's")]


# -------------------------------------------------------------------------------------------------------------- security


def test_who_can_reach_ray() -> None:
    inside = Port(program="GCS", address="::ffff:127.0.0.1", port=6379)
    outside = Port(program="GCS", address="::", port=6379)
    assert [port.is_open for port in (inside, outside)] == [False, True]
    assert told(security.ports({"n": [inside]}, has_tokens=False)) == [
        ("ok", "Ray listens on loopback alone, and asks for no token")
    ]
    ((level, text),) = told(security.ports({"n": [inside, outside]}, has_tokens=False))
    assert level == "warning" and "n: Ray asks for no token, and other machines reach GCS (6379): whoever" in text
    assert told(security.ports({"n": [outside]}, has_tokens=True)) == [
        ("ok", "Ray asks for a token; other machines reach GCS (6379) on n")
    ]
    assert [level for level, _ in told(security.dashboard("127.0.0.1:8265", "head"))] == ["ok"]
    assert told(security.dashboard("10.0.0.1:8265", "head")) == [
        ("warning", "other machines reach the dashboard on head (10.0.0.1:8265), to which jobs are submitted, too")
    ]


def test_what_others_may_read(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    token.chmod(0o644)
    environment = {"RAY_AUTH_TOKEN_PATH": str(token)}
    is_reached = all(folder.stat().st_mode & 0o011 for folder in token.parents)
    assert len([*security.token_file(environment)]) == is_reached
    token.chmod(0o600)
    assert [*security.token_file(environment)] == []
    assert [*security.token_file({"HOME": str(tmp_path / "nobody")})] == []


def test_secrets_that_travel() -> None:
    job = json.dumps({"runtime_env": {"env_vars": {"HF_TOKEN": "x", "NAME": "y"}}})
    ((level, text),) = told(security.travelling({security.JOB: job}))
    assert level == "warning" and "HF_TOKEN" in text and "NAME" not in text
    assert told(security.travelling({security.JOB: "no JSON"})) == told(security.travelling({})) == []
    code = Code(origin="my_code/", files={"datasets/x.py": 'a = 1\nurl = "https://me:hunter2@host/x"\n'})
    ((level, text),) = told(security.own_code(code))
    assert text.startswith("my_code/datasets/x.py, line 2 holds a password in an address") and "hunter2" not in text


# ------------------------------------------------------------------------------------------------------------------ arms


def node(name: str, cpus: float, gpus: float = 0) -> dict[str, Any]:
    return {"NodeID": name, "NodeManagerHostname": name, "NodeManagerAddress": "ip", "Resources": {"CPU": cpus, "GPU": gpus}}


def test_every_arm_and_every_node_is_tried() -> None:
    study = parse(STUDY)
    planned = [(stay.arm, stay.node["NodeID"]) for stay in arms.stays(study, [node("a", 2), node("b", 1), node("c", 4)])]
    assert planned == [("one", "a"), ("two", "b"), ("one", "c")]
    assert [(stay.arm, stay.node["NodeID"]) for stay in arms.stays(study, [node("a", 2), node("b", 0)])] == [
        ("one", "a"),
        ("two", "a"),
    ]
    [found] = arms.without_room(study, [node("b", 0)])
    assert found.level is Level.FAULT
    assert found.found.startswith("no trial fits: the study asks for cpus_per_trial: 1, b has 0 CPUs and 0 GPUs.")
    assert "Lower resources" in found.found


def test_what_became_of_a_piece() -> None:
    stay = arms.Stay(arm="one", node=node("a", 2))
    rows = [{"device": "cpu", "build_s": 2.0, "train_s": 1.0}, {"device": "cpu", "build_s": None, "train_s": 0.5}]
    good = arms.judged(stay, rows, ResourcesSpec())
    assert (good.level, good.found) == ("ok", "a (ip): built in 2.0 s, 2 short epochs in 1.5 s on cpu, saved, loaded")
    assert arms.judged(stay, rows, ResourcesSpec(gpus_per_trial=0.5)).level == "fault"
    assert arms.judged(stay, "ValueError: no", ResourcesSpec()).found == "a (ip): ValueError: no"


def test_outlook() -> None:
    disk = Range(expected=100, low=30, high=300)
    usual = Range(expected=60, low=30, high=90)
    forecast = Forecast(workers=2, seconds=usual, confirm_s=0, epochs=4, most_epochs=4, memory_mb=usual, disk_mb=disk)
    levels = {free: [level for level, _ in told(outlook.outlook(forecast, free))] for free in (None, 400, 200, 50)}
    assert levels == {None: ["ok"], 400: ["ok"], 200: ["ok", "warning"], 50: ["ok", "fault"]}


# --------------------------------------------------------------------------------------------------------------- command


def test_output_and_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report(findings=(ok("data", "there"), warning("clocks", "far", "set them")), forecast=None)
    monkeypatch.setattr(examination, "examine", lambda asked: report)
    code, out, _ = run("doctor")
    assert (code, out.splitlines()[-1]) == (0, "0 faults, 1 warning: a sweep would run")
    assert out.splitlines()[1:3] == ["warning  clocks  far", "                 -> set them"]
    broken = Report(findings=(fault("arm cnn", "first\nsecond"),), forecast=None)
    monkeypatch.setattr(examination, "examine", lambda asked: broken)
    code, out, _ = run("doctor", "--json")
    assert code == 1
    assert json.loads(out) == {
        "findings": [{"level": "fault", "what": "arm cnn", "found": "first\nsecond", "fix": ""}],
        "faults": 1,
        "warnings": 0,
        "forecast": None,
    }


def test_a_study_file_with_faults_is_one_of_the_findings(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "examine", lambda asked: Report(findings=(), forecast=None) if asked.study is None else None)
    (tmp_path / "bad.yaml").write_text("name: bad\n")
    code, out, _ = run("doctor", "bad.yaml")
    assert code == 1 and "fault    study file  bad.yaml, line 1: " in out
    assert run("doctor", "none.yaml")[0] == run("doctor", "--cluster", "none")[0] == 2


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.usefixtures("ray_session")
def test_a_study_on_ray(run: Run, tmp_path: Path) -> None:
    """Every check for real; nothing of it stays."""
    (tmp_path / "tiny.yaml").write_text(re.sub("  two:.*\n", "", STUDY))
    code, out, err = run("doctor", "tiny.yaml", "--json")
    found = json.loads(out)
    levels = {one["what"]: one["level"] for one in found["findings"]}
    assert code == 0, out
    assert {
        "study file",
        "data",
        "packages",
        "disks",
        "security",
        "results",
        "lock",
        "arm one",
        "forecast",
    } <= levels.keys()
    assert levels["arm one"] == levels["results"] == levels["lock"] == "ok"
    assert found["forecast"]["seconds"]["expected"] > 0
    assert "training a short piece of one" in err
    assert os.listdir(tmp_path) == ["tiny.yaml"]
