"""What a person sees while a study runs: a live table in a terminal or a notebook, plain lines elsewhere. On stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sweeper.ledger.records import Event, Kind, Reason, Stage, Status
from sweeper.service import notebook
from sweeper.service.log import NO_LOG, Log
from sweeper.service.words import console

if TYPE_CHECKING:
    from rich.console import Console

    from sweeper.search.forecast import Left
    from sweeper.search.study import Search
    from sweeper.study.spec import ConfirmSpec

Watch = Callable[["Search", Event | None], None]

LINE_EVERY_S = 30.0
"""Without a terminal: seconds between two lines that only say time has passed."""


@contextlib.contextmanager
def progress(
    study: str,
    quiet: bool,
    *,
    events: Iterable[Event] = (),
    confirm: ConfirmSpec | None = None,
    log: Log = NO_LOG,
) -> Iterator[Watch]:
    """A function to call with every event, and with None as time passes.

    Args:
        study: Its name.
        quiet: Whether nothing is shown.
        events: What the study has recorded so far: from these, too, follows how long the rest takes.
        confirm: What is confirmed once this run has ended; the time left includes it.
        log: Gets a line for every trial that ends, whatever is shown.
    """
    out = console(to_stderr=True)
    pace = _Pace(study, events, confirm)
    if quiet:
        yield _Quiet(pace, log)
    elif (area := notebook.area()) is not None:
        yield _Board(pace, log, lambda board, search: area(notebook.table(board.title(search), *board.cells(search))))
    elif not _is_screen(out):
        yield _Lines(pace, log, out)
    else:
        from rich.live import Live

        with Live(console=out, refresh_per_second=4, transient=True) as live:
            yield _Board(pace, log, lambda board, search: live.update(board.draw(search)), live.console)


def _is_screen(out: Console) -> bool:
    """Whether a table can be drawn over itself. With FORCE_COLOR a console takes a file for a terminal, too."""
    return sys.stderr.isatty() and out.is_terminal and not out.is_dumb_terminal


class _Pace:
    """What trials took so far, and how long the rest will take; the time of events is that of the clock."""

    def __init__(self, study: str, events: Iterable[Event], confirm: ConfirmSpec | None):
        from sweeper.search import forecast

        self.study, self.confirm = study, confirm
        self.started = time.monotonic()
        self._pace = forecast.Pace()
        for event in events:
            self._pace.follow(event, event.time or 0.0)

    def follow(self, event: Event | None) -> None:
        if event is not None:
            self._pace.follow(event, event.time or time.time())

    def knows(self, search: Search) -> bool:
        """Whether an epoch of every arm was trained."""
        return self._pace.knows(search.spec.arms)

    def left(self, search: Search) -> Left | None:
        from sweeper.search import forecast

        return forecast.left(search, self._pace, now=time.time(), confirm=self.confirm)


def left_words(left: Left | None) -> str:
    """Time left in words."""
    if left is None:
        return "unknown time left"
    confirming = f", {_duration(left.confirm_s)} of it to confirm" if left.confirm_s else ""
    return f"about {_duration(left.total_s)} left{confirming}"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def told(search: Search, event: Event) -> str | None:
    """What an event means for a trial that ended with it, or began to wait; None of any other event."""
    if event.status is None or event.kind not in (Kind.EPOCH, Kind.ATTEMPT_ENDED):
        return None
    waited = event.kind is Kind.ATTEMPT_ENDED and event.reason is Reason.RUNG  # told when it began to
    if event.status is Status.RUNNING or waited:
        return None
    detail = (event.detail or "").strip().splitlines()
    why = f" ({event.reason}{': ' + detail[-1][:150] if detail else ''})" if event.reason else ""
    if event.reason is Reason.INFEASIBLE and not search.spec.search.counts_refused:
        return f"{event.trial} is drawn again{why}"
    value = getattr(event, search.spec.goals[0][1])
    result = "" if value is None else f", {search.spec.goals[0][1]} {value:.4f}"
    epoch = search.trials[event.trial or ""].epoch
    return f"{event.trial} {event.status}{why} after {epoch} epochs{result}"


def counts(search: Search) -> tuple[int, int]:
    """Trials that have ended, and all of them, those to come included; draws that are drawn again are none."""
    drawn_again = sum(own.begun - own.num_counted(search.spec.search) for own in search.arms.values())
    ended = sum(trial.status.is_final for trial in search.trials.values()) - drawn_again
    total = len(search.trials) - drawn_again + sum(map(search.to_come, search.arms)) + len(search.planned)
    return ended, total


class _Quiet:
    """Shows nothing; every way of showing does this first."""

    def __init__(self, pace: _Pace, log: Log):
        self.pace, self.log = pace, log
        self._has_forecast = False

    def __call__(self, search: Search, event: Event | None) -> None:
        self.pace.follow(event)
        if event is not None and (text := told(search, event)) is not None:
            self.log.write(text)
            self.ended(search, text)
        if not self._has_forecast and self.pace.knows(search) and (left := self.pace.left(search)) is not None and left.total_s:
            self._has_forecast = True
            text = f"forecast: {left_words(left)}; from the first epochs of every arm"
            self.log.write(text)
            self.forecast(text)
        self.shows(search)

    def ended(self, search: Search, text: str) -> None:
        """A trial has ended."""

    def forecast(self, text: str) -> None:
        """There is a first forecast."""

    def shows(self, search: Search) -> None:
        """Something happened, or time has passed."""


class _Lines(_Quiet):
    """One line for every trial that ends, and one now and then."""

    def __init__(self, pace: _Pace, log: Log, out: Any):
        super().__init__(pace, log)
        self.out = out
        self.last = 0.0

    def ended(self, search: Search, text: str) -> None:
        self.say(search, text)

    def forecast(self, text: str) -> None:
        self.out.print(text, markup=False, soft_wrap=True)

    def shows(self, search: Search) -> None:
        now = time.monotonic()
        if not self.last:  # the first call says that the driver is about to start Ray
            self.last = now
            meanwhile = f"meanwhile: sweeper status {self.pace.study} --watch"
            self.out.print(f"reading the data, then starting Ray and its workers; {meanwhile}", markup=False, soft_wrap=True)
        elif now - self.last >= LINE_EVERY_S:
            self.say(search, "")

    def say(self, search: Search, text: str) -> None:
        self.last = time.monotonic()
        ended, total = counts(search)
        left = left_words(self.pace.left(search))
        head = f"[{self.last - self.pace.started:5.0f} s] {ended}/{total} trials, {left}"
        self.out.print(f"{head}: {text}" if text else head, markup=False, soft_wrap=True)


class _Board(_Quiet):
    """The live table: `show` brings it to the eye; a first forecast stands above it where there is a console."""

    def __init__(self, pace: _Pace, log: Log, show: Callable[[_Board, Search], None], out: Console | None = None):
        super().__init__(pace, log)
        self.show, self.out = show, out
        self.drawn = 0.0

    def forecast(self, text: str) -> None:
        if self.out is not None:
            self.out.print(text, markup=False, soft_wrap=True)

    def shows(self, search: Search) -> None:
        # A table of ten thousand trials takes ten milliseconds, which the driver does not have for every event.
        if time.monotonic() - self.drawn >= 0.25:
            self.show(self, search)
            self.drawn = time.monotonic()

    def draw(self, search: Search) -> Any:
        """The table for a terminal."""
        from rich.table import Table

        columns, rows = self.cells(search)
        drawn = Table(title=self.title(search), title_justify="left")
        for column in columns:
            drawn.add_column(column, justify="left" if column == columns[0] else "right")
        for row in rows:
            drawn.add_row(*row)
        return drawn

    def title(self, search: Search) -> str:
        """What stands above the table."""
        epochs = sum(trial.epoch for trial in search.trials.values())
        seconds = time.monotonic() - self.pace.started
        return f"{self.pace.study}: {epochs} epochs, {seconds:.0f} s, {left_words(self.pace.left(search))}"

    def cells(self, search: Search) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of the table, a row for each arm."""
        goal, objective = search.spec.goals[0]
        waiting = ["paused"] if search.spec.stopping.rule == "promote" else []
        outcomes = ["running", "completed", *waiting, "stopped", "failed", "infeasible", "interrupted"]
        rows = []
        for arm in search.spec.arms:
            own = [trial for trial in search.trials.values() if trial.arm == arm]
            searched = [trial for trial in own if trial.stage is Stage.SEARCH]
            best = max((trial.scores[-1] for trial in searched if trial.status is Status.COMPLETED), default=None)
            to_come = search.to_come(arm) + sum(trial.arm == arm for trial in search.planned)
            shown = "" if best is None else f"{best if goal == 'max' else -best:.4f}"
            found = [Reason.INFEASIBLE.value if trial.reason is Reason.INFEASIBLE else trial.status.value for trial in own]
            rows.append([arm, *(str(found.count(outcome) or "") for outcome in outcomes), str(to_come), shown])
        return ["arm", *outcomes, "to come", f"best {objective}"], rows
