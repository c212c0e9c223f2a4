"""What a study will take of time and disk, beside what there is."""

from __future__ import annotations

from collections.abc import Iterator

from sweeper.doctor.findings import Finding, fault, ok, warning
from sweeper.driver.rehearsal import Forecast
from sweeper.service.repeating import duration
from sweeper.service.words import counted


def outlook(forecast: Forecast, free_mb: int | None) -> Iterator[Finding]:
    """Time, and whether the disk has room.

    Args:
        forecast: What the study takes.
        free_mb: What can still be written to the results folder; None where that is not known, as in a bucket.
    """
    time, disk = forecast.seconds, forecast.disk_mb
    yield ok(
        "forecast",
        f"about {duration(time.expected)} with {counted(forecast.workers, 'worker')}, probably {duration(time.low)} to "
        f"{duration(time.high)}; a worker takes about {forecast.memory_mb.expected:,.0f} MB; about {disk.expected:,.1f} MB stay "
        "on the disk",
    )
    if free_mb is not None and free_mb < disk.high:
        yield (fault if free_mb < disk.expected else warning)(
            "disks",
            f"{free_mb:,} MB are free for results, and the study leaves about {disk.expected:,.0f} MB, at most {disk.high:,.0f}",
            "free some space, keep fewer checkpoints (--keep-checkpoints), or name another folder with --results",
        )
