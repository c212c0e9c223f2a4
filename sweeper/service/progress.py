"""What a person sees while a study runs: a live table in a terminal or a notebook, plain lines elsewhere. On stderr."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sweeper.ledger.records import Event, Kind, Reason, Stage, Status
from sweeper.service import notebook
from sweeper.service.words import console

if TYPE_CHECKING:
    from sweeper.search.study import Search
    from sweeper.search.trial import Trial

Watch = Callable[["Search", Event | None], None]

LINE_EVERY_S = 30.0
"""Without a terminal: seconds between two lines that only say time has passed."""


@contextlib.contextmanager
def progress(study: str, quiet: bool) -> Iterator[Watch]:
    """A function to call with every event, and with None as time passes; `study` is its name."""
    if quiet:
        yield lambda search, event: None
        return
    if (show := notebook.area()) is not None:
        board = _Board(study)
        yield board.watching(lambda search: show(notebook.table(board.title(search), *board.cells(search))))
        return
    out = console(to_stderr=True)
    if not out.is_terminal:
        yield _Lines(study, out)
        return
    from rich.live import Live

    with Live(console=out, refresh_per_second=4, transient=True) as live:
        board = _Board(study)
        yield board.watching(lambda search: live.update(board.draw(search)))


class _Pace:
    """Epochs done since the driver started, and how long the rest will take at this pace."""

    def __init__(self, study: str):
        self.study = study
        self.started = time.monotonic()
        self.epochs = 0

    def follow(self, event: Event | None) -> None:
        if event is not None and event.kind is Kind.EPOCH:
            self.epochs += 1

    def left(self, search: Search) -> str:
        """Time left; see `epochs_left`."""
        epochs = epochs_left(search)
        if self.epochs < 3 or epochs is None:
            return "unknown time"
        seconds = epochs * (time.monotonic() - self.started) / self.epochs
        return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"


def epochs_left(search: Search) -> float | None:
    """Epochs still to be trained, assuming that stopping goes on as it did so far; None before a trial of the search has ended.

    A trial that came further than most, also one that was lengthened, is trained to its end, and so are repetitions.
    """
    searched = search.of_stage(Stage.SEARCH)
    ended = [trial for trial in searched if _is_still(trial) and trial.reason is not Reason.INFEASIBLE]
    if not ended:
        return None
    mean = sum(trial.epoch for trial in ended) / len(ended)
    epochs = mean * sum(map(search.to_come, search.arms))
    for trial in (*search.trials.values(), *search.planned):
        if not _is_still(trial):
            is_average = trial.stage is Stage.SEARCH and trial.attempt > 0 and trial.epoch < mean
            epochs += (mean if is_average else trial.max_epochs) - trial.epoch
    return epochs


def _is_still(trial: Trial) -> bool:
    """Whether a trial has ended, or waits at a rung, as most do to the end."""
    return trial.status.is_final or trial.status is Status.PAUSED


class _Lines(_Pace):
    """One line for every trial that ends, and one now and then."""

    def __init__(self, study: str, out: Any):
        super().__init__(study)
        self.out = out
        self.last = 0.0

    def __call__(self, search: Search, event: Event | None) -> None:
        self.follow(event)
        now = time.monotonic()
        if not self.last:  # the first call says that the driver is about to start Ray
            self.last = now
            text = f"reading the data, then starting Ray and its workers; meanwhile: sweeper status {self.study} --watch"
            self.out.print(text, markup=False, soft_wrap=True)
        if event is not None and event.status is not None and event.kind in (Kind.EPOCH, Kind.ATTEMPT_ENDED):
            waited = event.kind is Kind.ATTEMPT_ENDED and event.reason is Reason.RUNG  # told when it began to
            if event.status is Status.RUNNING or waited:
                return
            detail = (event.detail or "").strip().splitlines()
            why = f" ({event.reason}{': ' + detail[-1][:150] if detail else ''})" if event.reason else ""
            if event.reason is Reason.INFEASIBLE and not search.spec.search.counts_refused:
                self.say(search, f"{event.trial} is drawn again{why}")
                return
            value = getattr(event, search.spec.goals[0][1])
            result = "" if value is None else f", {search.spec.goals[0][1]} {value:.4f}"
            epoch = search.trials[event.trial or ""].epoch
            self.say(search, f"{event.trial} {event.status}{why} after {epoch} epochs{result}")
        elif now - self.last >= LINE_EVERY_S:
            self.say(search, "")

    def say(self, search: Search, text: str) -> None:
        self.last = time.monotonic()
        drawn_again = sum(own.begun - own.num_counted(search.spec.search) for own in search.arms.values())
        ended = sum(trial.status.is_final for trial in search.trials.values()) - drawn_again
        total = len(search.trials) - drawn_again + sum(map(search.to_come, search.arms)) + len(search.planned)
        head = f"[{self.last - self.started:5.0f} s] {ended}/{total} trials, {self.left(search)} left"
        self.out.print(f"{head}: {text}" if text else head, markup=False, soft_wrap=True)


class _Board(_Pace):
    """The live table."""

    def watching(self, show: Callable[[Search], None]) -> Watch:
        """Follows every event, and shows the table four times a second at most.

        A table of ten thousand trials takes ten milliseconds, which the driver does not have for every event.
        """
        drawn = 0.0

        def watch(search: Search, event: Event | None) -> None:
            nonlocal drawn
            self.follow(event)
            if time.monotonic() - drawn >= 0.25:
                show(search)
                drawn = time.monotonic()

        return watch

    def draw(self, search: Search) -> Any:
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
        return f"{self.study}: {epochs} epochs, {time.monotonic() - self.started:.0f} s, {self.left(search)} left"

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
