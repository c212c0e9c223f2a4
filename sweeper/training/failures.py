"""Why a trial failed, told as plain data."""

from __future__ import annotations

import traceback
from typing import Any

from sweeper import secrecy
from sweeper.errors import KnobError
from sweeper.ledger.records import Reason
from sweeper.training.limits import LimitError

LARGEST_DETAIL = 4000
"""Characters of a traceback kept in a row: its end, which names the error."""


def failure(error: BaseException) -> dict[str, Any]:
    """Why a trial failed, as plain data: ``reason``, ``detail``, and of a network that exceeds a constraint its sizes."""
    text = f"{type(error).__name__}: {error}"
    name = type(error).__name__
    if isinstance(error, KnobError):
        sizes = error.sizes if isinstance(error, LimitError) else {}
        return {"reason": Reason.INFEASIBLE.value, "detail": secrecy.without(str(error)), **sizes}
    is_out_of_memory = (
        isinstance(error, MemoryError)
        or name in ("ResourceExhaustedError", "OutOfMemoryError")
        or "RESOURCE_EXHAUSTED" in text
        or "out of memory" in text.lower()
    )
    trace = secrecy.without("".join(traceback.format_exception(error)))[-LARGEST_DETAIL:]
    return {"reason": (Reason.OUT_OF_MEMORY if is_out_of_memory else Reason.EXCEPTION).value, "detail": trace}
