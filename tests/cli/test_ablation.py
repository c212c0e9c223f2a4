"""``sweeper ablate``: what it announces, what it prints, how it refuses; the training itself is in test_launch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sweeper.driver import launch
from sweeper.driver.opened import OpenedStudy
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Stage
from sweeper.search import details, repetition
from sweeper.search.study import Search
from sweeper.study.spec import parse
from tests.conftest import Run
from tests.virtual_clock import VirtualClock

STUDY = """\
name: made
dataset: {name: digits}
arms: {cnn: {}, vit: {}}
budget: {trials: 6, max_epochs: 4}
stopping: {rule: none}
"""


BEST = ["cnn-00002", "vit-00001"]
"""The best of each arm by the values `value` gives."""


def value(trial: str, epoch: int) -> float:
    """The objective of a trial's epoch; those of one number tie, and then size decides."""
    return 0.1 * epoch + {"cnn-00002": 0.03, "vit-00001": 0.04}.get(trial.partition("-s")[0], 0.01)


def make(folder: Path, *, seeds: int = 0, max_events: int | None = None, parents: Sequence[str] = (), curve: Any = value) -> None:
    """A study without Ray: its search, then as many seeds of the best trials."""
    spec = parse(STUDY)
    clock = VirtualClock(Search(spec), 2, curve, lambda trial: 1.0 + len(trial) % 3)
    clock.run(max_events)
    if seeds:
        clock.record(details.planned_event(repetition.plan(clock.search, parents or BEST, seeds)))
        clock.run()
    store = StudyFolder(folder)
    store.create(spec.to_yaml())
    with store.drive({}, study_id=spec.study_id) as ledger:
        for event in clock.log[1:]:
            ledger.append(_measured(event, clock.search) if event.kind is Kind.EPOCH else event)


def _measured(event: Event, search: Search) -> Event:
    trial = search.trials[event.trial or ""]
    build = 10.0 if event.epoch == 1 else None
    seconds = {"build_s": build, "train_s": 20.0, "evaluate_s": 4.0, "checkpoint_s": 1.0}
    return event.replace(stage=trial.stage, parent=trial.parent, seed=trial.seed, parameters=1000 - trial.number, **seconds)


def test_what_is_there_is_shown_without_training(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "results" / "made", seeds=3)
    code, out, err = run("ablate", "made", "--seeds", 2)
    assert code == 0
    assert "nothing new to repeat" in err
    assert "val_accuracy over seeds" in out
    assert "paired differences" in out
    assert "cnn: +2.0 points over its default (best of 3)" in out
    assert (tmp_path / "results" / "made" / "figures" / "seed_strip.png").is_file()
    code, out, _ = run("ablate", "made", "--json", "--out", tmp_path / "figures")
    facts = json.loads(out)
    assert code == 0
    assert [row["n"] for row in facts["seeds"]] == [3, 3]
    assert facts["repetitions"]["completed"] == 6
    assert len(facts["differences"]) == 1
    assert all(Path(file).parent == tmp_path / "figures" and Path(file).is_file() for file in facts["files"])


def test_it_tells_the_time_it_will_take_before_it_starts(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "results" / "made")
    asked: list[Any] = []

    def stopped(spec: Any, results: Path, *, repeat: Any, opened: OpenedStudy, **options: Any) -> launch.Outcome:
        asked.extend(repeat(opened.search))
        return launch.Outcome(study=opened, was_finished=False, is_interrupted=True)

    monkeypatch.setattr(launch, "launch", stopped)
    code, out, err = run("ablate", "made", "--trial", "defaults", "--trial", "cnn-00001", "--seeds", 2, "--num-cpus", 3)
    assert code == 130, "a signal ended it"
    # Each trial took 10 s to build and 25 s an epoch: 6 x (10 + 4 x 25) s.
    assert "repeating cnn-00000, vit-00000, cnn-00001: 6 trials, 24 epochs; about 11 min of a worker's time" in err
    assert "4 min with 3 workers" in err
    assert "interrupted, everything is saved" in out
    assert [one.trial for one in asked] == [
        f"{parent}-s{seed}" for seed in (1, 2) for parent in ("cnn-00000", "vit-00000", "cnn-00001")
    ]


def test_status_counts_repetitions_apart_and_knows_those_to_come(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "made"
    make(folder)
    facts = json.loads(run("status", "made", "--json")[1])
    assert facts["is_finished"]
    search = Search(parse(STUDY)).fold(StudyFolder(folder).read())
    with StudyFolder(folder).drive({}, study_id="x") as ledger:
        ledger.append(details.planned_event(repetition.plan(search, BEST, 3)))
    facts = json.loads(run("status", "made", "--json")[1])
    assert facts["repetitions"]["pending"] == 6
    assert facts["trials"]["completed"] == 6
    assert not facts["is_finished"]
    assert "repetitions with other seeds: 6 pending" in run("status", "made")[1]
    assert "going on with 6 repetitions asked for before" in _announced(run, tmp_path)


def _announced(run: Run, tmp_path: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            launch,
            "launch",
            lambda spec, results, *, opened, **options: launch.Outcome(study=opened, was_finished=False, is_interrupted=True),
        )
        return run("ablate", "made")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trial", "cnn-0"], "unknown trial 'cnn-0'"),
        (["--trial", "bset"], "unknown trial 'bset'. Did you mean 'best'?"),
        (["--seeds", "0"], "0 is not in the range"),
        (["--cluster", "atach"], "unknown cluster 'atach'. Did you mean 'attach'?"),
    ],
)
def test_wrong_arguments_are_one_error(arguments: list[str], message: str, run: Run, tmp_path: Path) -> None:
    make(tmp_path / "results" / "made")
    code, _, err = run("ablate", "made", *arguments)
    assert code == 2
    assert message in err


def test_an_unfinished_search_is_finished_first(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "results" / "made", max_events=14)
    code, _, err = run("ablate", "made")
    assert code == 2
    assert "of its search left" in err
    assert "sweeper resume" in err


def test_the_best_are_those_the_study_itself_calls_best_ties_included(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "results" / "made", curve=lambda trial, epoch: 0.1 * epoch)  # all tie; the highest number is the smallest
    facts = json.loads(run("status", "made", "--json")[1])
    assert facts["best"]["trial"] == "cnn-00002"
    assert "repeating cnn-00002, vit-00002" in _announced(run, tmp_path)


def test_repetitions_that_all_failed_are_a_table_and_no_mistake_of_the_user(run: Run, tmp_path: Path) -> None:
    def curve(trial: str, epoch: int) -> float:
        return float("nan") if "-s" in trial else 0.1 * epoch

    make(tmp_path / "results" / "made", seeds=2, parents=["cnn-00000"], curve=curve)
    code, out, err = run("ablate", "made", "--trial", "cnn-00000", "--seeds", 2, "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["seeds"][0]["failures"] == 2
    assert facts["files"] == []
    assert "nothing to draw" in err


def test_nothing_completed_means_nothing_is_best(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "results" / "made", curve=lambda trial, epoch: float("nan"))
    code, _, err = run("ablate", "made")
    assert code == 2
    assert "no arm of study 'made' has a completed trial; name the trials to repeat, or defaults." in err


def test_stages_are_what_the_events_say(tmp_path: Path) -> None:
    make(tmp_path / "made", seeds=1)
    folded = Search(parse(STUDY)).fold(StudyFolder(tmp_path / "made").read())
    assert len(folded.of_stage(Stage.SEARCH)) == 6
    assert len(folded.of_stage(Stage.ABLATION)) == 2
