"""How far off the time left is that a sweep shows: replayed on finished studies, at the end of each of their trials.

    python benchmarks/forecast.py results/digits ...

When a trial of the search ends, or comes to wait at a rung, it is asked, as the driver's progress asks it, when the study will
be finished; the record says when it was. Printed is that forecast over the truth, less 1: of every trial with ``--trials``, and
of each study the median and the largest from the third trial on. The last trials of a study leave seconds, of which a share says
little: so the largest is also given of the moments when at least ``--least`` seconds were left.

``first`` is the same after an epoch of every arm, which is when the driver tells its first forecast. ``arms`` is what an epoch of
an arm's other trials took over one of its default configuration: the mean of the arms, the lowest, the highest. Time without a
driver does not count.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path

from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Stage, Status
from sweeper.search import forecast
from sweeper.search.study import Search
from sweeper.study.spec import StudySpec, parse_stored

FROM_TRIAL = 3
"""The first moments tell nothing of epochs to come."""


@dataclasses.dataclass(frozen=True)
class Moment:
    """The forecast at the end of a trial, and the truth, in seconds."""

    number: int
    trial: str
    at_s: float
    forecast_s: float
    truth_s: float

    @property
    def error(self) -> float:
        """As a share of the truth."""
        return self.forecast_s / self.truth_s - 1


def main() -> None:
    """Replay every study named and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", type=Path, help="folders of finished studies")
    parser.add_argument("--least", type=float, default=15.0, help="seconds left below which a share says little")
    parser.add_argument("--trials", action="store_true", help="print every trial")
    asked = parser.parse_args()
    print("study                      trials  seconds  first   median  largest  with time left  arms")
    for folder in asked.studies:
        spec = parse_stored((folder / "study.yaml").read_text(encoding="utf-8"), folder)
        events = StudyFolder(folder).read()
        first, moments = replayed(spec, events)
        if asked.trials:
            for one in moments:
                print(f"  {one.number:3} {one.trial:24} {one.at_s:7.0f} s: {one.forecast_s:7.0f} s, true {one.truth_s:7.0f} s")
        told = [one for one in moments if one.number >= FROM_TRIAL and one.truth_s > 0]
        late = [one.error for one in told if one.truth_s >= asked.least]
        if not told:
            print(f"{folder.name:26} has fewer than {FROM_TRIAL} finished trials")
            continue
        errors = [one.error for one in told]
        print(
            f"{folder.name:26} {moments[-1].number:6} {told[-1].at_s + told[-1].truth_s:8.0f} {_percent(first):>6} "
            f"{statistics.median(map(abs, errors)):8.0%} {_percent(_largest(errors)):>8} {_percent(_largest(late)):>15}  "
            f"{ratios(events)}"
        )


def replayed(spec: StudySpec, events: list[Event]) -> tuple[float | None, list[Moment]]:
    """The error of the first forecast, and every end of a trial of the search with forecast and truth."""
    times = clock(events)
    end = max(at for at, event in zip(times, events, strict=True) if event.kind is not Kind.COMPACTED)
    confirm = spec.confirm if any(event.stage is Stage.CONFIRM for event in events) else None
    search, pace, first, seen = Search(spec), forecast.Pace(), None, set[str]()
    moments: list[Moment] = []
    for at, event in zip(times, events, strict=True):
        search.apply(event)
        pace.follow(event, at)
        left = forecast.left(search, pace, now=at, confirm=confirm)
        if left is not None and first is None and pace.knows(spec.arms):
            first = left.total_s / (end - at) - 1
        name = event.trial or ""
        if left is not None and event.stage is Stage.SEARCH and name not in seen and search.trials[name].is_at_rest:
            seen.add(name)
            moments.append(Moment(len(seen), name, at, left.total_s, end - at))
    return first, moments


def clock(events: list[Event]) -> list[float]:
    """The time of every event in seconds, without the time in which nobody drove the study."""
    found, passed, last, was_interrupted = [], 0.0, events[0].time or 0.0, False
    for event in events:
        gap = max((event.time or last) - last, 0.0)
        if event.kind is Kind.DRIVER_STARTED and was_interrupted:
            gap = 0.0
        if event.kind in (Kind.EPOCH, Kind.ATTEMPT_ENDED):
            was_interrupted = event.status in (Status.INTERRUPTED, Status.RUNNING)
        passed, last = passed + gap, max(event.time or last, last)
        found.append(passed)
    return found


def ratios(events: list[Event]) -> str:
    """What an epoch of an arm's other trials takes over one of its default configuration: mean, lowest and highest arm."""
    rows: dict[tuple[str, int], list[float]] = {}
    for event in events:
        if event.kind is Kind.EPOCH and event.stage is Stage.SEARCH and event.train_s is not None:
            rows.setdefault((event.arm or "", event.number or 0), []).append(event.train_s)
    found = []
    for arm in sorted({arm for arm, _ in rows}):
        others = [statistics.median(own) for (name, number), own in rows.items() if name == arm and number]
        if others and (arm, 0) in rows:
            found.append(statistics.fmean(others) / statistics.median(rows[arm, 0]))
    return f"{statistics.fmean(found):.2f} ({min(found):.2f} to {max(found):.2f})" if found else ""


def _largest(errors: list[float]) -> float | None:
    return max(errors, key=abs, default=None)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:+.0%}"


if __name__ == "__main__":
    main()
