"""What a person sees of a run, and what a log keeps of it."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sweeper.errors import InputError, SweeperError
from sweeper.ledger.records import Event, Kind
from sweeper.search.forecast import Left
from sweeper.search.study import Search
from sweeper.service import progress
from sweeper.service.log import Log
from sweeper.study.spec import ConfirmSpec, parse
from tests.cli.kit import STUDY, make_study
from tests.conftest import Run


@pytest.fixture(scope="module")
def log_of_events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The events of a finished study, with seconds."""
    return make_study(tmp_path_factory.mktemp("made") / "made", parse(STUDY))


def follow(events: list[Event], **given: Any) -> Search:
    """A search that follows events under the eyes of whoever watches."""
    search = Search(parse(STUDY))
    with progress.progress("made", **given) as watch:
        watch(search, None)
        for event in events:
            search.apply(event)
            timed = event.replace(train_s=1.5, arm=(event.trial or "").rpartition("-")[0]) if event.kind is Kind.EPOCH else event
            watch(search, timed)
    return search


def test_without_a_terminal_there_are_lines(log_of_events: list[Event], capsys: pytest.CaptureFixture[str]) -> None:
    search = follow(log_of_events, quiet=False)
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    lines = err.splitlines()
    assert lines[0].startswith("reading the data, then starting Ray and its workers; meanwhile: sweeper status made --watch")
    ended = [line for line in lines if re.match(r"\[ +\d+ s\] \d+/12 trials, .* left.*: (cnn|resnet_se)-", line)]
    assert len(ended) == len(search.trials) == 12
    assert ended[-1].startswith("[    0 s] 12/12 trials, about 0 s left: ")
    assert len([line for line in lines if line.startswith("forecast: about ")]) == 1


def test_a_forced_colour_makes_no_terminal(
    log_of_events: list[Event], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    follow(log_of_events[:8], quiet=False)
    assert "\x1b[?25l" not in capsys.readouterr().err  # hides the cursor, as a live table does


def test_quiet_shows_nothing_and_the_log_has_it_all(
    log_of_events: list[Event], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.log"
    file.write_text("from before\n")
    follow(log_of_events, quiet=True, log=Log(str(file)))
    assert capsys.readouterr() == ("", "")
    first, *lines = file.read_text().splitlines()
    assert first == "from before"
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 ", line) for line in lines)
    texts = [line.partition(" ")[2] for line in lines]
    assert len([text for text in texts if re.match(r"(cnn|resnet_se)-\d{5} (completed|stopped) \(", text)]) == 12
    assert len([text for text in texts if text.startswith("forecast: ")]) == 1


def test_what_is_known_of_a_stored_study_gives_a_forecast_at_once(
    log_of_events: list[Event], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [event.replace(train_s=2.0, time=1.0) for event in log_of_events if event.kind is Kind.EPOCH]
    with progress.progress("made", False, events=rows, confirm=ConfirmSpec(seeds=3)) as watch:
        watch(Search(parse(STUDY)), None)
    forecast, first = capsys.readouterr().err.splitlines()
    assert re.match(r"forecast: about \d+ (s|min) left, \d+ (s|min) of it to confirm; from the first epochs", forecast)
    assert first.startswith("reading the data")


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (None, "unknown time left"),
        (Left(search_s=12.4), "about 12 s left"),
        (Left(search_s=100, confirm_s=80), "about 3 min left, 80 s of it to confirm"),
        (Left(search_s=9000), "about 2.5 h left"),
    ],
)
def test_time_left_in_words(left: Left | None, words: str) -> None:
    assert progress.left_words(left) == words


def test_the_board_is_drawn_a_few_times_a_second_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Search] = []

    def draw(board: Any, search: Search) -> str:
        drawn.append(search)
        return ""

    monkeypatch.setattr(progress, "_is_screen", lambda out: True)
    monkeypatch.setattr(progress, "console", lambda to_stderr: Console(file=io.StringIO(), force_terminal=True))
    monkeypatch.setattr(progress._Board, "draw", draw)
    with progress.progress("made", quiet=False) as watch:
        search = Search(parse(STUDY))
        for _ in range(100):
            watch(search, Event(kind=Kind.EPOCH))
    assert 1 <= len(drawn) < 10


@pytest.mark.parametrize("place", ["absent/run.log", ".", "a\0b"])
def test_a_log_that_cannot_be_written_is_told_before_anything_begins(place: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it cannot be written"):
        Log(str(tmp_path / place))


def test_the_command_refuses_such_a_log_before_it_reads_the_study(run: Run) -> None:
    code, out, err = run("launch", "absent.yaml", "--log", "absent/run.log")
    assert (code, out) == (2, "")
    assert err.startswith("error: --log absent/run.log: it cannot be written (No such file or directory). Name a file in")


def test_a_log_tells_what_ended_a_run(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "run.log"))
    for error in (SweeperError("a worker cannot go on"), KeyboardInterrupt()):
        with contextlib.suppress(SweeperError, KeyboardInterrupt), log.errors():
            raise error
    texts = [line.partition(" ")[2] for line in (tmp_path / "run.log").read_text().splitlines()]
    assert texts == ["error: a worker cannot go on", "interrupted; everything finished so far is saved."]


def test_a_study_in_a_line(run: Run, finished: Path) -> None:
    code, out, err = run("status", "made", "--results", str(finished), "--line")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"made: 12/12 trials, best (cnn|resnet_se)-\d{5} val_accuracy 0\.\d{4}, finished\n", out)
