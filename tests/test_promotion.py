"""Promotion: who waits, who goes on, what audits are for, and that a fold gives the state that wrote the log."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.ledger.records import Kind, Reason, Status
from sweeper.search.promotion import Promotion
from sweeper.search.study import Search
from tests.test_search import curve, search_of, seconds, state, study
from tests.virtual_clock import VirtualClock


def recorded(scores: dict[str, float], epoch: int = 1, **options: Any) -> Promotion:
    """Rungs at 1 and 3 of 9 epochs, where trials wait at one of them."""
    promotion = Promotion(1, 3, 9, **options)
    for trial, score in scores.items():
        promotion.record(trial, epoch, score, is_complete=False)
        promotion.settle(trial, epoch, is_paused=promotion.pauses(trial, epoch))
    return promotion


def test_the_best_third_of_all_that_came_goes_on_and_nobody_for_coming_first() -> None:
    promotion = recorded({"a": 0.1, "b": 0.2})
    assert promotion.next_promoted(is_over=False) is None
    promotion = recorded({"a": 0.1, "b": 0.3, "c": 0.2})
    assert promotion.next_promoted(is_over=False) == "b"
    promotion.settle("b", 1, is_paused=False)
    assert promotion.next_promoted(is_over=False) is None
    promotion.record("b", 3, 0.5, is_complete=False)
    promotion.settle("b", 3, is_paused=True)
    assert promotion.next_promoted(is_over=False) is None
    assert promotion.next_promoted(is_over=True) == "b", "so that one of a small arm completes"


def test_an_audit_never_waits_and_takes_a_quarter_of_all_epochs() -> None:
    promotion = Promotion(1, 3, 9)
    assert not promotion.wants_audit
    for number in range(36):
        promotion.record(f"t{number}", 2, 0.5, is_complete=False)
    assert promotion.wants_audit
    promotion.audit("t0")
    assert not promotion.wants_audit
    assert not promotion.pauses("t0", 1)
    assert promotion.pauses("t1", 1)
    assert not promotion.pauses("t1", 2)


def audited(promotion: Promotion, order: list[str]) -> None:
    """These complete, the best first."""
    for place, trial in enumerate(order):
        promotion.audit(trial)
        promotion.record(trial, 9, 1 - place / 10, is_complete=True)


def test_a_rung_that_does_not_rank_the_end_is_not_trusted_until_it_does() -> None:
    scores = {f"t{number}": number / 10 for number in range(9)}
    promotion = recorded(scores)
    audited(promotion, ["t0", "t1", "t8"])
    assert promotion.untrusted == 1, "the best audit was the last one at the rung"
    assert not promotion.pauses("t20", 1)
    assert promotion.pauses("t20", 3)
    assert set(promotion.reconsidered) == set(scores), "they are candidates again"
    assert not promotion.counts(1)
    assert promotion.next_promoted(is_over=True) is None
    promotion = recorded(scores)
    audited(promotion, ["t8", "t1", "t0"])
    assert promotion.untrusted == 0
    assert promotion.reconsidered == []
    assert promotion.next_promoted(is_over=False) == "t8"


def finished(spec: Any, slots: int = 3, number: int = 1) -> VirtualClock:
    clock = VirtualClock(search_of(spec), slots, curve(number), seconds(number))
    clock.run()
    return clock


@pytest.mark.parametrize("sampler", ["random", "trees", "tpe"])
def test_every_trial_ends_and_the_best_of_each_arm_is_complete(sampler: str) -> None:
    search = finished(study(arms=2, trials=24, sampler=sampler, rule="promote")).search
    assert search.is_finished
    for arm in search.spec.arms:
        own = [trial for trial in search.trials.values() if trial.arm == arm]
        counts = Counter(trial.status for trial in own)
        assert len(own) == 12
        assert set(counts) <= {Status.COMPLETED, Status.STOPPED}
        assert counts[Status.COMPLETED] >= 1
        at_rung = {epoch: [trial for trial in own if trial.epoch >= epoch] for epoch in (1, 3, 9)}
        assert len(at_rung[1]) > len(at_rung[3]) >= len(at_rung[9]) >= 1


def test_an_arm_gets_the_same_whatever_the_other_arms_are() -> None:
    alone, beside = (finished(study(arms=arms, trials=8 * arms, rule="promote"), slots=1).search for arms in (1, 3))
    own = {name: (trial.configuration, trial.scores) for name, trial in alone.trials.items()}
    assert own == {name: (trial.configuration, trial.scores) for name, trial in beside.trials.items() if trial.arm == "arm0"}


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), slots=st.integers(1, 5), arms=st.integers(1, 3), data=st.data())
def test_fold_gives_the_state_that_wrote_the_log(seed: int, slots: int, arms: int, data: st.DataObject) -> None:
    """With workers that die, drivers that are killed, pauses, promotions and audits in between."""
    spec = study(arms=arms, trials=6 * arms, sampler=data.draw(st.sampled_from(["random", "trees"])), rule="promote")
    luck = random.Random(seed)
    clock = VirtualClock(search_of(spec), slots, lambda trial, epoch: luck.random(), seconds(seed))
    while not clock.search.is_finished:
        clock.run(len(clock.log) + luck.randint(1, 12))
        running = [trial for trial in clock.search.trials.values() if trial.status is Status.RUNNING]
        for trial in running:  # the driver is killed: what was running is interrupted, or fails
            reason = luck.choice([None, None, Reason.NODE_LOST, Reason.EXCEPTION])
            clock.record(clock.search.judge(clock.search._facts(trial, Kind.ATTEMPT_ENDED).replace(reason=reason)))
        folded = Search(clock.search.spec, clock.search.spaces).fold(clock.log)
        assert state(folded) == state(clock.search)
        assert repr(folded.propose()) == repr(clock.search.propose())
        clock.search = folded
    assert all(trial.status.is_final for trial in clock.search.trials.values())
