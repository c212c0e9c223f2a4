"""What the search of each arm gained over the arm's default configuration, and whether chance alone could have done that.

**The rule.** One training says nothing exact: another seed would have given another score. The best of k trials is lucky besides,
because it was chosen. So a gain is beyond chance only if it exceeds

    q(1 - 0.05 / k) * sd * sqrt(2)

with sd the standard deviation of one score, sqrt(2) because a gain is the difference of two scores, and q the one-sided quantile:
with 0.05 / k for each of the k trials, chance exceeds it in at most 5 % of searches (Bonferroni).

**Where sd comes from.** From repetitions with other seeds (`sweeper ablate`, or else `sweeper confirm`): pooled over the repeated
configurations of the arm, or of all arms where the arm has none; q is Student's, with their degrees of freedom. Without any, it
is the sampling error sqrt(p * (1 - p) / n) of a validation accuracy p, the mean of both scores, on n images; q is the normal one.
Seeds add to it, so this is a lower bound of how uncertain a score is: a gain above it is beyond sampling error; whether beyond
chance stays open.
"""

from __future__ import annotations

import dataclasses
from statistics import NormalDist
from typing import Any, Literal

import pandas as pd

from sweeper.analysis.results import Results, arms, at_stage, comparable, goal, ranked
from sweeper.analysis.summary import validation_images
from sweeper.ledger.records import Stage, Status

RISK = 0.05
"""How often chance alone may pass for a gain, over all trials of an arm together."""

SAME = 1e-12
"""A standard deviation that is no larger comes from rounding, and does not tell how far scores could have varied."""

JUDGED = (Status.COMPLETED, Status.STOPPED, Status.FAILED, Status.PAUSED)
"""Trials that were looked at: they ended, or wait at a rung because others are better."""

Row = dict[Any, Any]
"""A row of the table of trials."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise:
    """How much one score varies by chance.

    Args:
        kind: What it was measured by.
        number: How many of these: images, or completed seeds of the configuration that has most.
        sd: Standard deviation of one score, in the unit of the gain.
        dof: Its degrees of freedom; None where it was computed, not measured.
    """

    kind: Literal["seeds", "seeds of other arms", "images"]
    number: int
    sd: float
    dof: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gain:
    """What the search of one arm gained.

    Args:
        tried: Trials of the search that were looked at, see `JUDGED`, the default among them; at least one epoch each.
        default: Score of the default: accuracy as a fraction, loss in nats, after the last epoch; None unless it is completed.
        trial: The best completed trial; None where there is none.
        best: Its score.
        gain: By how much it is better than the default, from 0, in `unit`; None where that is not known.
        unit: Percentage points of an accuracy, or nats of a loss.
        noise: How much a score varies by chance; None where that is not known, or there is no gain.
        chance: What chance alone may give, in `unit`; None without `noise`.
        is_beyond_chance: None where that cannot be told.
        unknown: Why the gain is not known; empty where it is.
    """

    tried: int
    default: float | None = None
    trial: str | None = None
    best: float | None = None
    gain: float | None = None
    unit: Literal["points", "nats"]
    noise: Noise | None = None
    chance: float | None = None
    is_beyond_chance: bool | None = None
    unknown: str = ""


def gains(results: Results) -> dict[str, Gain]:
    """What the search of each arm gained over the arm's default, so far.

    Args:
        results: The results of a study, of all stages. Its first objective is an accuracy or a loss.

    Returns:
        By arm, sorted; an arm of which fewer than two trials were looked at is left out. Where the default was trained for fewer
        epochs than the best trial, as an extension may leave it, the gain is not known: the longer training would pass for one.
    """
    search = results.trials.loc[results.trials["stage"] == Stage.SEARCH, ["arm", "number", "status", "epoch"]]
    if search.empty:
        return {}
    tried = search[search["status"].isin(JUDGED) & (search["epoch"] >= 1)].groupby("arm").size().to_dict()
    status = {row["arm"]: row["status"] for row in search[search["number"] == 0].to_dict("records")}
    ranking = ranked(results)
    best = {row["arm"]: row for row in ranking.drop_duplicates("arm").to_dict("records")}
    defaults = {row["arm"]: row for row in ranking[ranking["number"] == 0].sort_values("max_epochs").to_dict("records")}
    defaults |= {arm: row for arm, row in best.items() if row["number"] == 0}
    repeated = _repeated(results)
    found = {}
    for arm in (arm for arm in arms(results) if tried.get(arm, 0) > 1):
        gain = Gain(tried=tried[arm], unit="points" if results.objective.endswith("accuracy") else "nats")
        if arm in best:
            gain = dataclasses.replace(gain, trial=best[arm]["trial"], best=best[arm][results.objective])
        if arm in defaults:
            found[arm] = _compared(results, gain, defaults[arm], best[arm], repeated)
        else:
            ended = {"stopped": "was stopped early", "failed": "failed"}.get(status.get(arm, ""), "has not ended yet")
            found[arm] = dataclasses.replace(gain, unknown=f"its default {ended}")
    return found


def by_chance(noise: Noise, tried: int) -> float:
    """What the best of so many trials gains by chance alone, exceeded in 5 % of searches at most; in the unit of `noise`."""
    share = 1 - RISK / tried
    if noise.dof is None:
        quantile = NormalDist().inv_cdf(share)
    else:
        from scipy.special import stdtrit  # loads in a fraction of the time of scipy.stats

        quantile = float(stdtrit(noise.dof, share))
    return quantile * noise.sd * 2**0.5


def words(arm: str, gain: Gain) -> str:
    """The gain of an arm in a sentence."""
    if gain.gain is None:
        return f"{arm}: {gain.unknown}, so what the search gained is not known"
    if not gain.gain:
        return f"{arm}: its default is still the best of {gain.tried:,} trials"
    more = f"+{_shown(gain.gain)} points over" if gain.unit == "points" else f"{_shown(gain.gain)} nats below"
    text = f"{arm}: {more} its default (best of {gain.tried:,})"
    if gain.noise is None or gain.chance is None:
        return f"{text}; seeds not measured"
    source = f"{gain.noise.number:,} {gain.noise.kind}{', seeds not measured' if gain.noise.kind == 'images' else ''}"
    if gain.is_beyond_chance is False:
        return f"{text}; chance alone gives up to {_shown(gain.chance)} ({source})"
    return f"{text}, beyond {'chance' if gain.is_beyond_chance else 'sampling error'} (±{_shown(gain.chance)}, {source})"


def _compared(results: Results, gain: Gain, default: Row, best: Row, repeated: pd.DataFrame) -> Gain:
    """The gain of an arm whose default is completed."""
    column, scale = results.objective, 100.0 if gain.unit == "points" else 1.0
    before, after = default[column], best[column]
    gain = dataclasses.replace(gain, default=before)
    if default["max_epochs"] < best["max_epochs"]:
        epochs = f"{default['max_epochs']:.0f} epochs, its best trial for {best['max_epochs']:.0f}"
        return dataclasses.replace(gain, unknown=f"its default was trained for {epochs}")
    better = scale * (after - before if goal(results, column) == "max" else before - after)
    if not better:
        return dataclasses.replace(gain, gain=0.0, is_beyond_chance=False)
    noise = _of_seeds(repeated[repeated["arm"] == default["arm"]], "seeds", scale)
    noise = noise or _of_seeds(repeated, "seeds of other arms", scale)
    num_images = validation_images(best["dataset"])
    if noise is None and column == "val_accuracy" and num_images:
        share = (before + after) / 2
        noise = Noise(kind="images", number=num_images, sd=scale * (share * (1 - share) / num_images) ** 0.5)
    if noise is None:
        return dataclasses.replace(gain, gain=better)
    chance = by_chance(noise, gain.tried)
    is_beyond = None if noise.kind == "images" and better > chance else better > chance
    return dataclasses.replace(gain, gain=better, noise=noise, chance=chance, is_beyond_chance=is_beyond)


def _repeated(results: Results) -> pd.DataFrame:
    """One row per repeated configuration: ``arm parent var count`` over its completed seeds."""
    completed = comparable(at_stage(results, Stage.ABLATION))
    completed = completed[completed["varies"].isna()]
    if completed.empty:
        completed = comparable(at_stage(results, Stage.CONFIRM))
    return completed.groupby(["arm", "parent"])[results.objective].agg(["var", "count"]).reset_index()


def _of_seeds(repeated: pd.DataFrame, kind: Literal["seeds", "seeds of other arms"], scale: float) -> Noise | None:
    """The standard deviation over seeds, pooled over configurations; None where no two seeds differ."""
    repeated = repeated[repeated["count"] > 1]
    free = repeated["count"] - 1
    dof = int(free.sum())
    sd = float((repeated["var"] * free).sum() / dof) ** 0.5 if dof else 0.0
    return Noise(kind=kind, number=int(repeated["count"].max()), sd=scale * sd, dof=dof) if sd > SAME else None


def _shown(value: float) -> str:
    """One decimal, or two digits below 1."""
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"
