"""Work that goes on while Ray starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

Made = TypeVar("Made")


def meanwhile(work: Callable[[], Made]) -> futures.Future[Made]:
    """The result of what a thread of its own does, or its error.

    Ray itself must start in the main thread: the kernel ends its processes with the thread that started them. The other thread
    is not waited for when a signal ends this process.
    """
    future: futures.Future[Made] = futures.Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
