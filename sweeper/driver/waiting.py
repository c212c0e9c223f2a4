"""Arms whose trials wait for room: who waits, for what, and what there is, told once and kept where `status` finds it.

::

    <study>/waiting.json    a list of sentences; there only while somebody waits and a driver is at work
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable

from sweeper.driver import nodes
from sweeper.driver.places import fits
from sweeper.driver.session import Session
from sweeper.storage import Place
from sweeper.study.spec import ResourcesSpec

FILE = "waiting.json"

PATIENCE_S = 180.0
"""Time without a worker after which an arm is said to wait: one that starts loads a framework first."""

NO_NODE_S = 5.0
"""The same where no node could ever run it: Ray may take a moment to see that a node has come back."""


class Waiting:
    """Who waits for room.

    Args:
        folder: The study's folder.
        tell: Called with each new sentence.
    """

    def __init__(self, folder: Place, tell: Callable[[str], None]):
        self._file, self._tell = folder / FILE, tell
        self._since: dict[ResourcesSpec, float] = {}
        self._said: list[str] = []
        self.close()

    def follow(self, session: Session) -> None:
        """Look who waits now."""
        idle, now = session.idle(), time.monotonic()
        self._since = {shape: self._since.get(shape, now) for shape in idle}
        said = [
            sentence
            for shape, workers in idle.items()
            if (sentence := _why(session, shape, workers, now - self._since[shape])) is not None
        ]
        if said == self._said:
            return
        for sentence in said:
            if sentence not in self._said:
                self._tell(sentence)
        self._said = said
        self._write()

    def close(self) -> None:
        """Nobody waits any more: no driver is at work."""
        self._said = []
        self._write()

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # what is said here helps a reader, and no sweep ends for it
            if self._said:
                self._file.write_whole(json.dumps(self._said).encode(), may_replace=True)
            elif self._file.is_file():
                self._file.remove()


def sentences(folder: Place) -> list[str]:
    """What a driver at work says of arms that wait; nothing if none does."""
    try:
        return [str(one) for one in json.loads((folder / FILE).read_bytes())]
    except (OSError, ValueError, TypeError):
        return []


def _why(session: Session, shape: ResourcesSpec, workers: int, waited_s: float) -> str | None:
    """Why no trial of a shape runs; None as long as that is no surprise."""
    arms = [arm for arm in session.search.spec.arms if session.crew.shape_of(arm) == shape]
    who = f"arm '{arms[0]}' waits" if len(arms) == 1 else f"arms {', '.join(arms)} wait"
    if not any(fits(offer, shape) for offer in session.places.offers):
        there = nodes.in_words(session.places.offers, [shape])
        text = f"{who} for a node: no trial fits any that is there. Asked for: {nodes.words(shape)}; {there}."
        return f"{text} Add a node, or stop the sweep: everything is saved." if waited_s >= NO_NODE_S else None
    if waited_s < PATIENCE_S:
        return None
    if not workers:
        return f"{who} until other arms have ended: both do not fit the nodes at once."
    return f"{who} for a worker: none has started for {nodes.words(shape)} yet. Does other work fill the nodes?"
