"""What a person is told of a study that learns from an earlier one."""

from __future__ import annotations

import json
from pathlib import Path

from sweeper.driver import learning
from sweeper.ledger.ledger import StudyFolder
from sweeper.search.lessons import learned_event
from sweeper.study.spec import parse
from tests.cli.kit import STUDY, make_study
from tests.conftest import Run
from tests.driverless import driven

NEW = """\
name: new
dataset: {name: digits}
arms: {cnn: {}}
budget: {trials: 4, max_epochs: 3}
search: {learn_from: [results/made]}
"""
SAID = "study 'made' (results/made) teaches arm cnn with 6 trials"
FACTS = [{"study": "made", "folder": "results/made", "arms": {"cnn": 6}, "left_out": 0}]


def test_check_says_who_teaches_and_who_is_not_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(NEW)
    code, _, err = run("check", "new.yaml")
    assert code == 2
    assert err.splitlines()[1:] == [
        "  - search.learn_from: results/made: there is no study. Give the folder of one that was launched, such as results/NAME."
    ]
    make_study(tmp_path / "results" / "made", parse(STUDY))
    code, out, _ = run("check", "new.yaml")
    assert code == 0
    assert f"note: {SAID}" in out.splitlines()
    assert json.loads(run("check", "new.yaml", "--json")[1])["learns"] == FACTS


def test_status_says_what_was_learned(run: Run, tmp_path: Path) -> None:
    make_study(tmp_path / "results" / "made", parse(STUDY))
    spec = parse(NEW)
    with driven(StudyFolder(tmp_path / "results" / "new"), spec) as clock:
        clock.record(learned_event(learning.read(spec)[0]))
        clock.run()
        clock.ledger.commit()  # type: ignore[union-attr]
    code, out, _ = run("status", "new")
    assert code == 0
    assert SAID in out.splitlines()
    facts = json.loads(run("status", "new", "--json")[1])
    assert facts["learned"] == FACTS
    assert facts["trials"]["pending"] == 0
    assert "teaches" not in run("status", "made")[1]
    code, out, _ = run("audit", "new")
    assert code == 0
