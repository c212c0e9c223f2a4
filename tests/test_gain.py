"""What a search gained over its defaults, against numbers worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweeper.analysis.gain import Noise, by_chance, gains, words
from sweeper.analysis.results import Results
from sweeper.ledger.records import BEST_COLUMNS, EPOCH_COLUMNS, TRIAL_COLUMNS
from tests import synthetic

NORMAL, T_TWO, T_THREE = 2.3263, 6.9646, 4.5407
"""The 99 % points of the normal distribution and of Student's t with 2 and 3 degrees of freedom, from a printed table."""

DEFAULT = {"arm": "a", "number": 0, "val_accuracy": 0.80}
LOSERS = [{"arm": "a", "number": number, "status": "stopped", "epoch": 3, "val_accuracy": 0.99} for number in (1, 2, 3)]


def found(
    trials: Sequence[dict[str, Any]],
    *,
    seeds: dict[str, Sequence[float]] | None = None,
    images: int | None = 400,
    objective: tuple[str, str] = ("max", "val_accuracy"),
) -> Results:
    """A study of these trials, completed after 9 epochs unless they say otherwise, and repetitions of trials by name."""
    facts = {"stage": "search", "status": "completed", "epoch": 9, "max_epochs": 9}
    facts |= {"dataset": json.dumps({"name": "digits"} | ({"validation_images": images} if images else {}))}
    rows = [facts | {"trial": f"{trial['arm']}-{trial['number']:05d}"} | trial for trial in trials]
    for parent, values in (seeds or {}).items():
        for seed, value in enumerate(values, start=1):
            repeated = {"arm": parent[0], "stage": "ablation", "parent": parent, "seed": seed, objective[1]: value}
            rows.append(facts | {"trial": f"{parent}-s{seed}", "number": int(parent[2:])} | repeated)
    return Results(
        study="tiny",
        objectives=(objective,),
        trials=pd.DataFrame(rows).reindex(columns=[*TRIAL_COLUMNS, *BEST_COLUMNS]),
        epochs=pd.DataFrame(columns=list(EPOCH_COLUMNS)),
    )


def best(value: float, **facts: Any) -> dict[str, Any]:
    """Another completed trial of the arm a."""
    return {"arm": "a", "number": 4, "val_accuracy": value} | facts


def test_without_seeds_the_images_are_a_lower_bound_of_chance() -> None:
    """The mean of both scores is 0.82: one score varies by sqrt(0.82 * 0.18 / 400) = 1.9209 points."""
    gain = gains(found([DEFAULT, *LOSERS, best(0.84)]))["a"]
    assert (gain.tried, gain.default, gain.trial, gain.best) == (5, 0.80, "a-00004", 0.84)
    assert gain.gain == pytest.approx(4.0)
    assert gain.noise is not None and (gain.noise.kind, gain.noise.number, gain.noise.dof) == ("images", 400, None)
    assert gain.noise.sd == pytest.approx(1.9209, abs=1e-4)
    assert gain.chance == pytest.approx(NORMAL * 1.9209 * 2**0.5, rel=1e-4)
    assert gain.is_beyond_chance is False
    said = "a: +4.0 points over its default (best of 5); chance alone gives up to 6.3 (400 images, seeds not measured)"
    assert words("a", gain) == said
    gain = gains(found([DEFAULT, *LOSERS, best(0.90)]))["a"]
    assert gain.is_beyond_chance is None, "seeds may do more than the images"
    said = "a: +10.0 points over its default (best of 5), beyond sampling error (±5.9, 400 images, seeds not measured)"
    assert words("a", gain) == said


def test_seeds_of_the_arm_count_with_their_degrees_of_freedom() -> None:
    """Three seeds of the default vary by exactly one point."""
    three = {"a-00000": [0.80, 0.81, 0.82], "b-00000": [0.1, 0.9]}
    trials = [DEFAULT, *LOSERS, {"arm": "b", "number": 0, "val_accuracy": 0.5}]
    gain = gains(found([*trials, best(0.90)], seeds=three))["a"]
    assert gain.noise is not None and (gain.noise.kind, gain.noise.number, gain.noise.dof) == ("seeds", 3, 2)
    assert gain.noise.sd == pytest.approx(1.0)
    assert gain.chance == pytest.approx(T_TWO * 2**0.5, rel=1e-4)
    assert gain.is_beyond_chance
    assert words("a", gain) == "a: +10.0 points over its default (best of 5), beyond chance (±9.8, 3 seeds)"
    gain = gains(found([*trials, best(0.89)], seeds=three))["a"]
    assert gain.is_beyond_chance is False
    assert words("a", gain) == "a: +9.0 points over its default (best of 5); chance alone gives up to 9.8 (3 seeds)"


def test_configurations_are_pooled_each_around_its_own_mean() -> None:
    """Squares of 2 and 2, in points, over 3 degrees of freedom; a single seed adds nothing."""
    seeds = {"a-00000": [0.80, 0.81, 0.82], "a-00004": [0.70, 0.72], "a-00001": [0.1]}
    gain = gains(found([DEFAULT, *LOSERS, best(0.89)], seeds=seeds))["a"]
    assert gain.noise == Noise(kind="seeds", number=3, sd=pytest.approx((4 / 3) ** 0.5), dof=3)
    assert gain.chance == pytest.approx(T_THREE * (8 / 3) ** 0.5, rel=1e-4)


def test_seeds_of_other_arms_stand_in_and_equal_ones_tell_nothing() -> None:
    other = {"arm": "b", "number": 0, "val_accuracy": 0.5}
    for own in ([], [0.8], [0.8, 0.8]):
        gain = gains(found([DEFAULT, *LOSERS, best(0.9), other], seeds={"a-00000": own, "b-00000": [0.5, 0.51, 0.52]}))["a"]
        assert gain.noise is not None and gain.noise.kind == "seeds of other arms"
        assert words("a", gain).endswith("3 seeds of other arms)")
    gain = gains(found([DEFAULT, *LOSERS, best(0.9), other], seeds={"a-00000": [0.8, 0.8]}))["a"]
    assert gain.noise is not None and gain.noise.kind == "images"


@pytest.mark.parametrize("dof", [None, 2, 8])
def test_chance_alone_exceeds_it_in_few_searches(dof: int | None) -> None:
    stream, tried, num_searches = np.random.default_rng(0), 8, 20_000
    scores = stream.standard_normal((num_searches, tried))
    gain = scores.max(axis=1) - scores[:, 0]
    sd = np.ones(num_searches) if dof is None else np.sqrt(stream.chisquare(dof, num_searches) / dof)
    most = by_chance(Noise(kind="seeds", number=3, sd=1.0, dof=dof), tried)
    assert 0.01 < (gain > most * sd).mean() <= 0.05


def test_trials_that_were_not_looked_at_do_not_count() -> None:
    others = [
        {"arm": "a", "number": 5, "status": "paused", "epoch": 1},
        {"arm": "a", "number": 6, "status": "failed", "epoch": 2},
        {"arm": "a", "number": 7, "status": "failed", "epoch": None, "reason": "infeasible"},
        {"arm": "a", "number": 8, "status": "running", "epoch": 3},
        {"arm": "a", "number": 9, "status": "interrupted", "epoch": 3},
        {"arm": "a", "number": 10, "status": "pending", "epoch": None},
    ]
    assert gains(found([DEFAULT, *LOSERS, best(0.84), *others]))["a"].tried == 7


def test_nothing_is_said_of_an_arm_that_was_not_searched() -> None:
    assert gains(synthetic.empty()) == {}
    assert gains(found([DEFAULT, best(0.9, status="running"), {"arm": "b", "number": 0, "val_accuracy": 0.5}])) == {}


@pytest.mark.parametrize("value", [0.80, 0.79])
def test_a_default_that_no_trial_beats_is_the_best(value: float) -> None:
    gain = gains(found([DEFAULT, *LOSERS, best(value)]))["a"]
    assert (gain.gain, gain.is_beyond_chance) == (0.0, False)
    assert words("a", gain) == "a: its default is still the best of 5 trials"


@pytest.mark.parametrize(
    ("status", "said"),
    [("stopped", "was stopped early"), ("failed", "failed"), ("running", "has not ended yet"), ("paused", "has not ended yet")],
)
def test_without_a_completed_default_there_is_no_number(status: str, said: str) -> None:
    gain = gains(found([DEFAULT | {"status": status}, *LOSERS, best(0.9)]))["a"]
    assert (gain.default, gain.gain, gain.noise, gain.best) == (None, None, None, 0.9)
    assert words("a", gain) == f"a: its default {said}, so what the search gained is not known"


def test_a_longer_training_does_not_pass_for_a_gain() -> None:
    trials = [DEFAULT, *LOSERS, best(0.9, max_epochs=18, epoch=18)]
    said = "a: its default was trained for 9 epochs, its best trial for 18, so what the search gained is not known"
    assert words("a", gains(found(trials))["a"]) == said
    anew = DEFAULT | {"trial": "a-00000-e18", "parent": "a-00000", "max_epochs": 18, "epoch": 18}
    assert gains(found([*trials, anew | {"val_accuracy": 0.85}]))["a"].gain == pytest.approx(5.0)
    for value in (0.95, 0.5):
        default_is_best = [DEFAULT | {"val_accuracy": 0.92}, *LOSERS, best(0.9), anew | {"val_accuracy": value}]
        assert gains(found(default_is_best))["a"].gain == 0.0


def test_of_a_loss_less_is_more() -> None:
    trials = [{"arm": "a", "number": number, "val_loss": loss} for number, loss in enumerate([0.5, 0.4, 0.6])]
    gain = gains(found(trials, objective=("min", "val_loss")))["a"]
    assert (gain.trial, gain.unit, gain.chance, gain.is_beyond_chance) == ("a-00001", "nats", None, None)
    assert gain.gain == pytest.approx(0.1)
    assert words("a", gain) == "a: 0.1 nats below its default (best of 3); seeds not measured"
    seeds = {"a-00000": [0.501, 0.502, 0.503, 0.504]}
    assert gains(found(trials, objective=("min", "val_loss"), seeds=seeds))["a"].is_beyond_chance


def test_without_the_number_of_images_nothing_is_said_about_chance() -> None:
    gain = gains(found([DEFAULT, *LOSERS, best(0.9)], images=None))["a"]
    assert words("a", gain) == "a: +10.0 points over its default (best of 5); seeds not measured"
