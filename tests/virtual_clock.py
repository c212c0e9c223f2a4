"""Drives a search without training and without Ray: workers on a virtual clock, curves from a function."""

from __future__ import annotations

import dataclasses
import heapq
import json
import math
import zlib
from collections.abc import Callable

from sweeper.ledger.records import Event, Kind, Reason, Status
from sweeper.search.study import Search
from sweeper.study.space import Configuration

Curve = Callable[[str, int], float]
"""(trial, epoch) to the value of the first objective."""


@dataclasses.dataclass
class VirtualClock:
    """Runs trials on `slots` workers; an epoch of a trial takes `seconds(trial)`."""

    search: Search
    slots: int
    curve: Curve
    seconds: Callable[[str], float]
    log: list[Event] = dataclasses.field(default_factory=list)
    refuses: Callable[[Configuration], bool] = lambda configuration: False
    """Whether the network cannot be built."""

    def record(self, event: Event) -> None:
        self.search.apply(event)
        self.log.append(event)

    def run(self, max_events: int | None = None) -> list[Event]:
        """Drive to the end, or until `max_events` events were recorded (as a killed driver would)."""
        if not self.log:
            self.record(Event(kind=Kind.DRIVER_STARTED))
        running: list[tuple[float, int, str, int]] = []
        now, order = 0.0, 0
        while max_events is None or len(self.log) < max_events:
            while len(running) < self.slots and (event := self.search.propose()) is not None:
                self.record(event)
                assert event.trial is not None
                first = self.search.trials[event.trial].epoch + 1
                order += 1
                heapq.heappush(running, (now + self.seconds(event.trial), order, event.trial, first))
            if not running:
                for event in self.search.endings():
                    self.record(event)
                assert self.search.is_finished
                break
            now, _, trial, epoch = heapq.heappop(running)
            configuration = self.search.trials[trial].configuration
            is_large = parameters_of(configuration) > self.search.spec.limits.get("parameters", math.inf)
            if is_large or self.refuses(configuration):
                ended = Event(kind=Kind.ATTEMPT_ENDED, trial=trial, attempt=1, reason=Reason.INFEASIBLE, detail="too small")
                ended = ended.replace(parameters=parameters_of(configuration)) if is_large else ended
                self.record(self.search.judge(ended))
                continue
            value = self.curve(trial, epoch)
            event = self.search.judge(epoch_event(self.search, trial, epoch, value))
            self.record(event)
            if event.status is Status.RUNNING:
                order += 1
                heapq.heappush(running, (now + self.seconds(trial), order, trial, epoch + 1))
        return self.log


def parameters_of(configuration: Configuration) -> int:
    """Any number from 1000 to 1999, the same for equal configurations."""
    return 1000 + zlib.crc32(json.dumps(configuration, sort_keys=True).encode()) % 1000


def epoch_event(search: Search, trial: str, epoch: int, value: float) -> Event:
    """An epoch row as a worker would give it."""
    state = search.trials[trial]
    return Event(
        kind=Kind.EPOCH,
        trial=trial,
        arm=state.arm,
        attempt=state.attempt,
        epoch=epoch,
        train_loss=1.0,
        val_accuracy=value,
        val_loss=value,
        parameters=parameters_of(state.configuration),
    )
