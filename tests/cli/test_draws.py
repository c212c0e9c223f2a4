"""What a person is told of draws: that an arm ends early, and that a network refused one."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from sweeper.search.study import Search
from sweeper.service import progress
from sweeper.service.log import NO_LOG
from sweeper.study.space import Choice, Space
from sweeper.study.spec import parse
from tests.cli.kit import make_study
from tests.conftest import Run
from tests.virtual_clock import VirtualClock

SEEDS = Path(__file__).parents[2] / "benchmarks" / "peers" / "seeds.yaml"
EARLY = (
    "arm 'resnet' ends after 1 of 8 trials: its space has 1 configuration, its default one included. Fix fewer knobs, or train "
    "them again with other seeds (search.repeats: true)"
)


def test_an_arm_that_ends_early_says_so_and_eight_seeds_can_be_asked_for(run: Run, tmp_path: Path) -> None:
    asked = SEEDS.read_text()
    for text, early, trials in ((asked, [], 8), (asked.replace(", repeats: true", ""), [EARLY], 1)):
        (tmp_path / "study.yaml").write_text(text)
        code, out, _ = run("check", "study.yaml")
        assert code == 0
        assert [line.removeprefix("note: ") for line in out.splitlines() if "ends after" in line] == early
        make_study(tmp_path / "results" / f"of{trials}", parse(text))
        facts = json.loads(run("status", f"of{trials}", "--json")[1])
        assert (facts["trials"]["completed"], facts["trials"]["pending"], facts["ended_early"]) == (trials, 0, early)
        assert facts["is_finished"]
        assert [line for line in run("status", f"of{trials}")[1].splitlines() if "ends after" in line] == early


@pytest.fixture
def refusing() -> VirtualClock:
    """A study of two trials, whose arm has three configurations, of which its network refuses two."""
    spec = parse(SEEDS.read_text().replace("repeats: true", "repeats: false").replace("trials: 8", "trials: 2"))
    search = Search(spec, {"resnet": Space(architecture="resnet", model={"size": Choice(1, 2, 3)})})
    clock = VirtualClock(search, 1, lambda trial, epoch: 0.5, lambda trial: 1.0, refuses=lambda one: one["size"] != 1)
    clock.run()
    return clock


def test_a_refused_draw_is_shown_apart_from_trials(refusing: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(progress, "console", lambda to_stderr: Console(file=shown, width=200))
    search = Search(refusing.search.spec, {})
    with progress.progress("seeds", quiet=False) as watch:
        for event in refusing.log:
            search.apply(event)
            watch(search, event)
    lines = [line.partition("] ")[2] for line in shown.getvalue().splitlines()[1:]]
    assert lines[1:] == [
        "1/2 trials, unknown time left: resnet-00001 is drawn again (infeasible: too small)",
        "1/1 trials, unknown time left: resnet-00002 is drawn again (infeasible: too small)",
    ]


def test_the_board_counts_refused_draws_apart(refusing: VirtualClock) -> None:
    drawn = progress._Board(progress._Pace("seeds", (), None), NO_LOG, lambda board, search: None).draw(refusing.search)
    row = {column.header: next(iter(column.cells)) for column in drawn.columns}
    assert {name: row[name] for name in ("completed", "failed", "infeasible", "to come")} == {
        "completed": "1",
        "failed": "",
        "infeasible": "2",
        "to come": "0",
    }
