"""What tests do with a `sweeper.training.trial.Worker`."""

from __future__ import annotations

from sweeper.training.trial import Worker


def goes_on(worker: Worker) -> None:
    """What a worker does first when it is asked for another epoch: it writes the checkpoint of the last one.

    After that its process may end, and another worker goes on from this epoch.
    """
    with worker._writing_beside():
        pass
