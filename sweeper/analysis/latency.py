"""How far measured latencies can be trusted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sweeper.analysis.results import Results

LARGEST_SPREAD = 0.3
"""Interquartile range over the median of passes from which on a latency is unsteady."""

COLUMNS = ("latency_ms", "latency_ms_batch32")


def spread(trials: pd.DataFrame) -> pd.Series[float]:
    """Of each trial, the largest interquartile range of a latency over its median, a fraction; NaN where none was measured."""
    medians = trials[[*COLUMNS]].astype(float).to_numpy()
    ranges = trials[[f"{column}_iqr" for column in COLUMNS]].astype(float).to_numpy()
    shares = np.where(np.isfinite(ranges) & (medians > 0), ranges / np.where(medians > 0, medians, 1.0), -np.inf)
    largest = shares.max(axis=1)
    return pd.Series(np.where(np.isfinite(largest), largest, np.nan), trials.index)


def unsteady(results: Results) -> tuple[list[str], list[str]]:
    """The trials whose latency varied by more than `LARGEST_SPREAD` between passes, and those timed on a machine that was busy.

    Args:
        results: The results of a study.
    """
    timed = results.trials[results.trials["latency_ms"].notna()]
    varied = timed.loc[spread(timed) > LARGEST_SPREAD, "trial"]
    return varied.astype(str).to_list(), [trial for trial in timed["trial"] if trial in set(results.timed_while_busy)]


def warning(results: Results) -> str:
    """What makes latencies unsure, and how many, as one sentence; empty where nothing does."""
    varied, busy = unsteady(results)
    told = []
    if varied:
        told.append(
            f"that of {_trials(len(varied))} varied by more than {100 * LARGEST_SPREAD:.0f} % of its median between passes"
        )
    if busy:
        told.append(f"that of {_trials(len(busy))} was measured while more processes wanted to run than the machine has CPUs")
    return f"Latency is unsure: {', and '.join(told)}." if told else ""


def _trials(number: int) -> str:
    return f"{number:,} trial{'' if number == 1 else 's'}"
