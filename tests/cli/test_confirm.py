"""``sweeper confirm`` and ``measure``: what they announce, print and refuse; the training itself is in test_launch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweeper.driver import launch, timing
from sweeper.driver.opened import OpenedStudy, open_study
from sweeper.ledger import stamp
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Kind, Stage
from sweeper.search import confirmation, details
from sweeper.search.study import Search
from sweeper.study.spec import parse
from tests.cli.test_ablation import BEST, STUDY, make
from tests.conftest import Run

LATENCIES = {"latency_ms": 1.25, "latency_ms_iqr": 0.5, "latency_ms_batch32": 8.0, "latency_ms_batch32_iqr": 1.0}


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Networks are not timed; those asked for."""
    asked: list[Any] = []

    def measured(study: Any, networks: list[Any], dataset: Any, runs: int) -> list[Any]:
        asked.append([architecture for architecture, _ in networks])
        return ["it is too large", *([{**LATENCIES, "detail": "{}"}] * (len(networks) - 1))]

    monkeypatch.setattr(timing, "_measured", measured)
    return asked


def confirmed(folder: Path, seeds: int = 3) -> None:
    """A study without Ray, its best trials confirmed."""
    make(folder)
    with StudyFolder(folder).drive({}, study_id="x") as ledger:
        search = Search(parse(STUDY)).fold(StudyFolder(folder).read())
        for event in _confirming(search, seeds):
            ledger.append(event)


def _confirming(search: Search, seeds: int) -> list[Any]:
    from tests.virtual_clock import VirtualClock

    clock = VirtualClock(
        search, 2, lambda trial, epoch: 0.5 + 0.01 * int(trial[-1]) + 0.1 * (trial[:3] == "vit"), lambda trial: 1.0
    )
    clock.record(details.planned_event(confirmation.plan(search, per_arm=1, num_seeds=seeds)))
    clock.run()
    tested = {"test_loss": 0.5, "stage": Stage.CONFIRM}
    return [
        event.replace(test_accuracy=event.val_accuracy, **tested) if event.kind is Kind.EPOCH and event.epoch == 4 else event
        for event in clock.log
    ]


def test_what_is_there_is_timed_and_shown_without_training(run: Run, tmp_path: Path, timed: list[Any]) -> None:
    confirmed(tmp_path / "results" / "made")
    code, out, err = run("confirm", "made", "--seeds", 3)
    assert code == 0
    assert "nothing new to repeat" in err
    assert "timing 2 networks" in err
    assert "vit-00001: not measured: it is too large" in err
    assert "cnn-00002: 1.25 ms, 8.00 ms for 32 images" in err
    assert "test_accuracy over fresh seeds" in out
    assert "vit and cnn cannot be told apart: they differ by 10.0 points with each of 3 seeds" in out
    rows = {row.trial: row for row in open_study(StudyFolder(tmp_path / "results" / "made")).events if row.kind is Kind.MEASURED}
    alike = ["cnn-00002", *(f"cnn-00002-s{seed}" for seed in (1001, 1002, 1003))]
    assert sorted(rows) == alike, "one measurement for all with that network"
    code, out, _ = run("confirm", "made", "--seeds", 3, "--json")
    facts = json.loads(out)
    assert facts["column"] == "test_accuracy"
    assert [(row["arm"], row["n"]) for row in facts["confirmed"]] == [("vit", 3), ("cnn", 3)]
    assert facts["pairs"][0]["difference"] == pytest.approx(0.1)
    assert facts["confirmations"]["completed"] == 6
    assert "confirmation with other seeds: 6 completed; sweeper confirm shows them" in run("status", "made")[1]
    assert timed == [["vit", "cnn"], ["vit"]]


def test_every_completed_trial_is_timed(run: Run, tmp_path: Path, timed: list[Any]) -> None:
    make(tmp_path / "results" / "made")
    first, *others = timing.to_time(open_study(StudyFolder(tmp_path / "results" / "made")), [Stage.SEARCH]).values()
    code, out, _ = run("measure", "made", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["timed_now"] == len(timed[0]) == 1 + len(others)
    assert len(first) + len(facts["trials"]) == 6, "the first network is too large"
    assert {row["latency_ms"] for row in facts["trials"]} == {1.25}
    assert "have their latency; draw it with: sweeper pareto made -x latency_ms" in run("measure", "made")[1]


def test_latencies_that_are_unsure_are_told_with_how_to_measure_again(
    run: Run, tmp_path: Path, timed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "results" / "made")
    _, _, err = run("measure", "made")
    assert "Latency is unsure: that of 5 trials varied by more than 30 % of its median between passes. " in err, "0.5 of 1.25 ms"
    assert "then: sweeper measure made --anew" in err
    steady = LATENCIES | {"latency_ms_iqr": 0.1, "detail": json.dumps({"load": 3.5, "cpus": 2})}
    monkeypatch.setattr(timing, "_measured", lambda study, networks, dataset, runs: [steady] * len(networks))
    _, _, err = run("measure", "made", "--anew")
    assert (
        "Latency is unsure: that of 6 trials was measured while more processes wanted to run than the machine has CPUs. " in err
    )
    _, out, _ = run("report", "made")
    assert "more processes wanted to run" in out
    assert "sweeper measure made --anew" in out
    quiet = steady | {"detail": json.dumps({"load": 0.5, "cpus": 2})}
    monkeypatch.setattr(timing, "_measured", lambda study, networks, dataset, runs: [quiet] * len(networks))
    assert "unsure" not in run("measure", "made", "--anew")[2]
    assert "unsure" not in run("report", "made")[1]


def test_seeds_that_were_added_after_a_look_are_told(run: Run, tmp_path: Path, timed: list[Any]) -> None:
    folder = tmp_path / "results" / "made"
    confirmed(folder)
    assert "judged" not in run("confirm", "made", "--seeds", 3)[1] + run("report", "made")[1]
    search = open_study(StudyFolder(folder)).search
    with StudyFolder(folder).drive({}, study_id="x") as ledger:
        for event in _confirming(search, 5):
            ledger.append(event)
    assert "the arms were judged 2 times" in run("confirm", "made", "--seeds", 5)[1]
    assert "they were judged 2 times" in run("report", "made")[1]
    assert stamp.read(folder) is not None, "measuring wrote the tables, and the report took them"


def test_it_tells_time_and_disk_before_it_starts(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "results" / "made")
    asked: list[Any] = []

    def stopped(spec: Any, results: Path, *, repeat: Any, opened: OpenedStudy, **options: Any) -> launch.Outcome:
        asked.extend(repeat(opened.search))
        return launch.Outcome(study=opened, was_finished=False, is_interrupted=True)

    monkeypatch.setattr(launch, "launch", stopped)
    code, _, err = run("confirm", "made", "--seeds", 2, "--num-cpus", 2)
    assert code == 130
    assert f"repeating {BEST[0]}, {BEST[1]}: 4 trials, 16 epochs; about 7 min of a worker's time" in err
    assert "MB of weights on disk" in err
    assert [one.trial for one in asked] == [f"{parent}-s{seed}" for seed in (1001, 1002) for parent in BEST]


def test_a_study_may_ask_for_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timed: list[Any]) -> None:
    make(tmp_path / "results" / "made")
    file = tmp_path / "study.yaml"
    file.write_text(STUDY + "confirm: {seeds: 2, per_arm: 2, allocation: racing}\n")
    asked: list[Any] = []

    def driven(spec: Any, results: Path, *, repeat: Any, opened: OpenedStudy, **options: Any) -> launch.Outcome:
        asked.append([one.trial for one in repeat(opened.search)])
        return launch.Outcome(study=opened, was_finished=False, is_interrupted=bool(asked[-1]))

    monkeypatch.setattr(launch, "launch", driven)
    code, _, err = run("launch", file)
    assert code == 130
    assert asked[0] == []
    assert len(asked[1]) == 8, "two of each of two arms, two seeds"
    assert "repeating " in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["confirm", "made", "--seeds", "0"], "0 is not in the range"),
        (["confirm", "mad"], "unknown study 'mad' in results. Did you mean 'made'?"),
        (["measure", "made", "--runs", "1"], "1 is not in the range"),
        (["ablate", "made", "--vary", "seeds"], "'seeds' is not one of"),
    ],
)
def test_wrong_arguments_are_one_error(arguments: list[str], message: str, run: Run, tmp_path: Path) -> None:
    make(tmp_path / "results" / "made")
    code, _, err = run(*arguments)
    assert code == 2
    assert message in err


def test_a_search_that_has_not_ended_or_found_nothing_is_not_confirmed(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "results" / "made", max_events=9)
    code, _, err = run("confirm", "made")
    assert code == 2
    assert "of its search left" in err
