"""Defaults as a prior: where draws lie, what trials say about it, and what learns from it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sweeper.errors import KnobError, StudyFileError
from sweeper.search.history import Finished
from sweeper.search.prior import Prior
from sweeper.search.tpe import TpeSampler
from sweeper.search.trees import TreesSampler
from sweeper.study.space import Choice, Configuration, Float, Int, Space
from sweeper.study.spec import StudySpec, parse, parse_stored

SPACE = Space(
    architecture="cnn",
    model={
        "rate": Float(low=1e-5, high=1e-1, log=True, default=1e-3),
        "dropout": Float(low=0.0, high=0.5, default=0.0),
        "depth": Int(low=1, high=9, default=5),
        "kind": Choice("a", "b", "c"),
        "extra": Float(low=0.0, high=1.0, default=0.5).when(kind="c"),
    },
)
FAR: Configuration = {"rate": 1e-1, "dropout": 0.5, "depth": 9, "kind": "b"}


def trials(prior: Prior, count: int, worth: Any, fixed: dict[str, Any] | None = None) -> list[Finished]:
    """Half near the default, half far from it."""
    drawn = [prior.draw(seed) if seed % 2 else {**FAR, "rate": 10 ** -(1 + seed / count)} for seed in range(count)]
    scores = [worth(prior.log_density([one])[0]) for one in drawn]
    return [Finished(configuration=one, scores=(score,), is_complete=True) for one, score in zip(drawn, scores, strict=True)]


def test_draws_lie_near_the_centre_and_in_the_space() -> None:
    prior = Prior(SPACE, {})
    drawn = [prior.draw(seed) for seed in range(400)]
    assert all(SPACE.problems(one) == [] for one in drawn)
    assert drawn[:9] == [prior.draw(seed) for seed in range(9)]
    logs = [math.log10(float(one["rate"])) for one in drawn]
    assert 0.4 < np.mean([log == pytest.approx(-3) for log in logs]) < 0.6, "every second knob keeps its value"
    assert np.std([log for log in logs if log != pytest.approx(-3)]) == pytest.approx(0.2 * 4, rel=0.2)
    assert {one["kind"] for one in drawn} == {"a", "b", "c"}


def test_a_space_may_have_another_centre_and_width() -> None:
    knob = Float(low=0.0, high=1.0, default=0.1, centre=0.8, width=0.01)
    drawn = [Prior(Space(architecture="cnn", model={"knob": knob}), {}).draw(seed)["knob"] for seed in range(50)]
    assert all(0.7 < float(value) < 0.9 for value in drawn)
    with pytest.raises(KnobError, match=r"the centre 2\.0 is outside its range; allowed: 0 to 1"):
        Float(low=0.0, high=1.0, default=0.1, centre=2.0)
    with pytest.raises(KnobError, match="width must be above 0"):
        Float(low=0.0, high=1.0, default=0.1, width=0.0)


def test_the_density_is_highest_at_the_centre() -> None:
    prior = Prior(SPACE, {})
    near = {**SPACE.default(), "rate": 2e-3}
    default, close, far = prior.log_density([SPACE.default(), near, FAR])
    assert default > close > 0 > far, "0 is what the whole space gives"


@pytest.mark.parametrize(("sign", "low", "high"), [(1, 0.95, 1.0), (-1, 0.0, 0.05)])
def test_trials_say_whether_the_prior_is_right(sign: int, low: float, high: float) -> None:
    prior = Prior(SPACE, {})
    assert prior.trust([]) == 0.5
    assert prior.weight([]) == 1.0
    history = trials(prior, 12, lambda density: sign * density)
    assert low <= prior.trust(history) <= high
    assert (prior.weight(history) > 0.5) == (sign > 0)


@pytest.mark.long
@pytest.mark.parametrize("kind", [TpeSampler, TreesSampler])
def test_early_draws_lie_near_the_default_and_later_ones_where_trials_are_good(kind: Any) -> None:
    prior = Prior(SPACE, {})

    def density(history: list[Finished]) -> float:
        return float(np.mean([prior.log_density([kind(SPACE, {}, prior).suggest(history, number=1, seed=n)]) for n in range(40)]))

    anywhere = float(np.mean([prior.log_density([kind(SPACE, {}).suggest([], number=1, seed=n)]) for n in range(40)]))
    right, wrong = (density(trials(prior, 16, lambda value, sign=sign: sign * value)) for sign in (1, -1))
    assert density([]) > anywhere + 0.3
    assert right > wrong + 0.5


def test_a_study_file_begins_near_the_defaults_and_one_from_before_anywhere() -> None:
    text = "name: a\ndataset: {name: digits}\narms: {cnn: }\nbudget: {trials: 4, max_epochs: 1}\n"
    study = parse(text)
    assert study.search.prior == "default"
    assert parse(text + "search: {prior: none}").search.prior == "none"
    assert parse(text + "search: {sampler: qmc}").search.prior is None
    before = StudySpec.model_validate({**study.model_dump(), "search": {"sampler": "tpe"}})
    assert "prior" not in before.to_yaml()
    assert parse_stored(before.to_yaml(), "stored").search.prior is None
    with pytest.raises(StudyFileError, match=r"line 5: search\.prior: only tpe and trees learn where to search"):
        parse(text + "search: {sampler: grid, prior: default}")
