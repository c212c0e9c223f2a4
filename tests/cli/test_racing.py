"""What a person is told of a race: before it, and of the arms that are out."""

from __future__ import annotations

import json
import random
from pathlib import Path

from sweeper.ledger.ledger import StudyFolder
from sweeper.study.spec import parse
from tests.conftest import Run
from tests.driverless import drive

RACE = """
name: race
dataset: {name: digits, size: 8}
arms: {cnn: {}, lenet: {}}
budget: {trials: 40, max_epochs: 9}
search: {sampler: random, allocation: racing}
"""


def test_check_says_that_arms_race_or_that_their_shares_are_too_small(run: Run, tmp_path: Path) -> None:
    for trials, expected in (
        (40, "arms race: from 6 trials on, one that can hardly become the best leaves its share to the others"),
        (
            12,
            "note: racing needs 6 trials of an arm before it can be out, and a share has 6: arms get equal shares. With "
            "budget.trials 14 or more they race",
        ),
    ):
        (tmp_path / "study.yaml").write_text(RACE.replace("trials: 40", f"trials: {trials}"))
        code, out, _ = run("check", "study.yaml")
        assert code == 0
        assert expected in out.splitlines()
        assert json.loads(run("check", "study.yaml", "--json")[1])["allocation"] == "racing"
    (tmp_path / "study.yaml").write_text(RACE.replace("racing", "equal"))
    assert "race:" not in run("check", "study.yaml")[1]


def test_status_says_which_arm_is_out_of_the_race_and_why(run: Run, tmp_path: Path) -> None:
    def curve(trial: str, epoch: int) -> float:
        return round(random.Random(trial).gauss(0.9 if trial.startswith("cnn") else 0.3, 0.02) - 0.1 / epoch, 4)

    study = parse(RACE)
    search = drive(StudyFolder(tmp_path / "results" / "race"), study, values=curve)
    told = json.loads(run("status", "race", "--json")[1])
    why = told["out_of_race"]["lenet"]
    counts = {arm: sum(trial.arm == arm for trial in search.trials.values()) for arm in study.arms}
    assert why["trials"] == counts["lenet"] < 20 < counts["cnn"]
    assert sum(counts.values()) == 40
    assert told["trials"]["pending"] == 0 and told["is_finished"]
    line = f"arm 'lenet' is out of the race after {why['trials']} trials: best {why['best']:.4f}, and at most 1 % chance that "
    assert told["ended_early"] == [f"{line}{why['more']} more reach {why['to_beat']:.4f} at epoch 9"]
    assert told["ended_early"][0] in run("status", "race")[1].splitlines()
