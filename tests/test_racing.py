"""Allocation: equal shares that no other arm touches, and the race in which an arm that cannot win leaves its share to others."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.ledger.records import Kind, Reason, Status
from sweeper.search import extension
from sweeper.search.allocation import ERROR, LEAST, Out, Standing, out_of_race, shares_in_race
from sweeper.search.study import Search
from sweeper.study import budget
from sweeper.study.space import Choice, Space
from sweeper.study.spec import ArmSpec, StudySpec
from tests.test_search import SPACE, search_of, seconds, state, study
from tests.virtual_clock import VirtualClock, epoch_event


def race(arms: int = 2, trials: int = 24, **options: Any) -> StudySpec:
    spec = study(arms=arms, trials=trials, **options)
    return spec.model_copy(update={"search": spec.search.model_copy(update={"allocation": "racing", "repeats": False})})


def unequal(seed: int) -> Any:
    """The lower an arm's number the better, with luck, and later epochs are better."""

    def value(trial: str, epoch: int) -> float:
        luck = random.Random(f"{seed}/{trial}")
        return 0.9 - 0.3 * int(trial[3]) + 0.02 * luck.gauss(0, 1) - 0.2 * math.exp(-epoch * (0.5 + luck.random()))

    return value


def driven(spec: StudySpec, slots: int = 3, curve: Any = None) -> VirtualClock:
    clock = VirtualClock(search_of(spec), slots, curve or unequal(1), seconds(1))
    clock.run()
    return clock


def counts(search: Search) -> Counter[str]:
    return Counter(trial.arm for trial in search.trials.values())


# --------------------------------------------------------------------------------------------------------------- equal


@settings(max_examples=15, deadline=None)
@given(
    others=st.lists(st.sampled_from(["aa", "b0", "n", "zz"]), unique=True, max_size=3),
    share=st.integers(1, 7),
    sampler=st.sampled_from(["random", "qmc", "tpe", "trees"]),
    rule=st.sampled_from(["asha", "promote", "none"]),
    refused=st.floats(0, 0.4),
    seed=st.integers(0, 1000),
)
def test_with_equal_shares_an_arm_gets_the_same_whatever_the_others_are(
    others: list[str], share: int, sampler: str, rule: str, refused: float, seed: int
) -> None:
    """With one worker, wherever the others stand in the study, whatever they score and whichever of their draws are refused."""

    def of(names: list[str]) -> dict[str, Any]:
        spec = study(arms=1, trials=share * len(names), sampler=sampler, rule=rule)
        arms = {name: ArmSpec(architecture="cnn", space="cnn") for name in names}
        search = Search(spec.model_copy(update={"arms": arms}), dict.fromkeys(arms, SPACE))

        def value(trial: str, epoch: int) -> float:
            luck = random.Random(f"{seed}/{trial}")
            return luck.random() * (1 - math.exp(-epoch * luck.random()))

        highest = 10 ** (-1 - 3 * refused)
        clock = VirtualClock(search, 1, value, seconds(seed), refuses=lambda one: float(one["learning_rate"]) > highest)
        clock.run()
        return {name: trial for name, trial in search.trials.items() if trial.arm == "m"}

    assert of(["m"]) == of([*others[::2], "m", *others[1::2]])


# ---------------------------------------------------------------------------------------------------------------- rule


def standing(*ends: float, counted: int | None = None, reach: int = 9, running: tuple[float, ...] = ()) -> Standing:
    """An arm whose trials have constant scores, in a study of nine epochs with the top rung at three."""
    curves = [[end] * reach for end in ends] + [list(running)] * bool(running)
    return Standing(counted=counted or len(ends), curves=curves, ends=ends, least_epochs=3, is_open=True)


BAD = (0.50, 0.51, 0.52, 0.53, 0.54, 0.55, 0.2, 0.1)


def test_the_chance_of_one_more_trial_is_students_around_the_better_half() -> None:
    from scipy.stats import t

    half = [0.55, 0.54, 0.53, 0.52]
    mean, deviation = sum(half) / 4, math.sqrt(sum((score - 0.535) ** 2 for score in half) / 3)
    expected = t.sf((0.6 - mean) / (deviation * math.sqrt(1.25)), df=3)
    assert standing(*BAD).exceeds(0.6) == pytest.approx(expected)
    more = 24 - 2 * len(BAD)
    told = out_of_race({"good": standing(*[0.9] * 8), "bad": standing(*BAD)}, 24)
    one = t.sf((0.9 - mean) / (deviation * math.sqrt(1.25)), df=3)
    chance = 1 - (1 - one) ** (more / 2)
    assert chance < ERROR
    assert told == {"bad": Out(trials=8, best=0.55, more=more // 2, epoch=9, to_beat=0.9, chance=told["bad"].chance)}
    assert told["bad"].chance == pytest.approx(chance)


@pytest.mark.parametrize(
    "arm",
    [
        standing(*BAD[: LEAST - 1]),
        standing(*BAD, reach=2),
        standing(*BAD, running=(0.91,)),
        standing(0.3, 0.5, 0.7, 0.88, 0.2, 0.1),
    ],
    ids=["few trials", "none came to the top rung", "one runs and leads", "they scatter"],
)
def test_an_arm_is_in_the_race_as_long_as_it_may_win(arm: Standing) -> None:
    good = standing(*[0.9 + number / 1000 for number in range(8)])
    assert out_of_race({"good": good, "arm": arm}, 40) == {}
    assert list(out_of_race({"good": good, "arm": standing(*BAD)}, 40)) == ["arm"]


def test_arms_are_compared_after_as_many_epochs() -> None:
    """A slow arm that has come to epoch 3 is compared with what the others had there."""
    curves = [[0.1, 0.2, 0.3 + number / 100, *[0.9] * 6] for number in range(8)]
    good = Standing(counted=8, curves=curves, ends=[0.9] * 8, least_epochs=3, is_open=True)
    slow = standing(*(0.3 + number / 100 for number in range(6)), reach=3)
    assert out_of_race({"good": good, "slow": slow}, 40) == {}
    assert list(out_of_race({"good": good, "slow": standing(*(0.3 + number / 100 for number in range(6)))}, 40)) == ["slow"]


def test_an_arm_alone_and_arms_without_scores_are_never_out() -> None:
    assert out_of_race({"one": standing(*BAD)}, 20) == {}
    assert out_of_race({"one": standing(), "two": standing(math.nan)}, 20) == {}


@given(
    counted=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 12), min_size=1),
    more=st.integers(0, 30),
    data=st.data(),
)
def test_the_rest_of_the_budget_is_shared_by_those_that_race(counted: dict[str, int], more: int, data: st.DataObject) -> None:
    racing = data.draw(st.lists(st.sampled_from(sorted(counted)), unique=True))
    trials = sum(counted.values()) + more
    shares = shares_in_race(counted, trials, racing)
    assert sum(shares.values()) == (trials if racing else sum(counted.values()))
    assert all(shares[arm] >= counted[arm] for arm in counted)
    assert all(shares[arm] == counted[arm] for arm in counted if arm not in racing)
    given_more = [shares[arm] for arm in counted if shares[arm] > counted[arm]]
    assert not given_more or max(given_more) - min(shares[arm] for arm in racing) <= 1, "who is behind catches up first"
    equal = budget.shares(trials, counted)
    if set(racing) == set(counted) and all(equal[arm] >= counted[arm] for arm in counted):
        assert shares == equal


# -------------------------------------------------------------------------------------------------------------- search


@pytest.mark.parametrize("rule", ["asha", "promote", "none"])
def test_an_arm_that_cannot_win_leaves_its_share_to_the_others(rule: str) -> None:
    clock = driven(race(arms=3, trials=60, rule=rule))
    search, found = clock.search, counts(clock.search)
    assert sum(found.values()) == 60
    assert found["arm0"] > 25 > 20 > found["arm1"] >= LEAST
    assert LEAST <= found["arm2"] < 20
    assert search.num_left == 0 and search.is_searched and search.is_finished
    for arm in search.spec.arms:
        assert any(trial.status is Status.COMPLETED for trial in search.trials.values() if trial.arm == arm)
    out = search.out["arm2"]
    assert search.why_early("arm0") == ""
    assert search.why_early("arm2") == f"arm 'arm2' {out.words}"
    assert out.words.startswith(f"is out of the race after {out.trials} trials: best {out.best:.4f}, and at most ")
    details = [json.loads(event.detail or "{}").get("out", {}) for event in clock.log if event.kind is Kind.SUGGESTED]
    assert details[0] == {}
    assert set(details[-1]) == {"arm1", "arm2"}
    went_out = list(itertools.takewhile(lambda told: "arm2" in told, reversed(details)))[-1]["arm2"]
    assert (went_out["trials"], went_out["more"]) == (out.trials, out.more), "also if it had returned before"
    assert out.more >= details[-1]["arm2"]["more"]
    assert details[-1]["arm2"]["chance"] < ERROR / 2


def test_arms_that_are_alike_all_get_their_share_in_a_race() -> None:
    def alike(trial: str, epoch: int) -> float:
        return random.Random(f"{trial[4:]}").gauss(0.5, 0.1) + epoch / 1000

    logs = [driven(spec, curve=alike).log for spec in (race(arms=3, trials=31), study(arms=3, trials=31))]
    assert [(event.kind, event.trial, event.epoch, event.status) for event in logs[0]] == [
        (event.kind, event.trial, event.epoch, event.status) for event in logs[1]
    ]


def test_a_loss_is_told_as_a_loss() -> None:
    spec = race(arms=2, trials=40).model_copy(update={"objectives": ("min val_loss",)})
    good = unequal(1)
    search = driven(spec, curve=lambda trial, epoch: 2 - good(trial, epoch)).search
    out = search.out["arm1"]
    assert 0.9 < out.to_beat < out.best < 2


def test_an_arm_returns_when_one_of_its_trials_does_better() -> None:
    spec, search = race(arms=2, trials=40), search_of(race(arms=2, trials=40))
    for event in driven(spec, slots=4).log:
        search.apply(event)
        running = [trial for trial in search.trials.values() if trial.arm == "arm1" and trial.status is Status.RUNNING]
        if search.out and running:
            break
    assert list(search.out) == ["arm1"]
    assert search.to_come("arm1") == 0
    before = search.to_come("arm0")
    search.apply(search.judge(epoch_event(search, running[0].trial, running[0].epoch + 1, 1.5)))
    assert search.out == {}
    assert search.to_come("arm1") > 0
    assert search.to_come("arm0") < before


def test_more_trials_open_the_race_again() -> None:
    spec = race(arms=2, trials=24)
    for trials in (40, 100_000):
        clock = driven(spec)
        assert counts(clock.search)["arm1"] < 12
        wanted = spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": trials})})
        planned = extension.plan(clock.search, wanted)
        assert planned is not None
        for event in extension.events(clock.search, planned):
            clock.record(event)
        assert not clock.search.is_searched
        assert clock.search.num_left == trials - 24
        if trials == 100_000:
            assert clock.search.out == {}, "of so many more trials one may be good enough"
            assert clock.search.to_come("arm1") > clock.search.to_come("arm0")
            continue
        clock.run()
        assert sum(counts(clock.search).values()) == 40
        folded = search_of(spec).fold(clock.log)
        assert state(folded) == state(clock.search)


def test_what_an_arm_cannot_use_goes_to_the_others_even_if_it_leads() -> None:
    spec = race(arms=2, trials=20)
    small = Space(architecture="cnn", model={"activation": Choice("relu", "gelu", "tanh")})
    search = Search(spec, {"arm0": small, "arm1": SPACE})
    VirtualClock(search, 2, unequal(1), seconds(1)).run()
    assert counts(search) == {"arm0": 3, "arm1": 17}
    assert search.why_early("arm0").startswith("arm 'arm0' ends after 3 of 10 trials")
    assert search.num_left == 0


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), slots=st.integers(1, 5), arms=st.integers(2, 3), data=st.data())
def test_fold_gives_the_state_that_wrote_the_log(seed: int, slots: int, arms: int, data: st.DataObject) -> None:
    """With workers that die, drivers that are killed, refused draws and failures in between."""
    sampler = data.draw(st.sampled_from(["random", "qmc"]))
    rule = data.draw(st.sampled_from(["asha", "promote", "none"]))
    spec = race(arms=arms, trials=10 * arms, sampler=sampler, rule=rule)
    luck = random.Random(seed)
    clock = VirtualClock(search_of(spec), slots, unequal(seed), seconds(seed), refuses=lambda one: one["depth"] == 5)
    while not clock.search.is_finished:
        clock.run(len(clock.log) + luck.randint(1, 40))
        for trial in [trial for trial in clock.search.trials.values() if trial.status is Status.RUNNING]:
            reason = luck.choice([None, None, Reason.NODE_LOST, Reason.EXCEPTION])
            clock.record(clock.search.judge(clock.search._facts(trial, Kind.ATTEMPT_ENDED).replace(reason=reason)))
        folded = Search(clock.search.spec, clock.search.spaces).fold(clock.log)
        assert state(folded) == state(clock.search)
        assert folded.num_left == clock.search.num_left
        assert repr(folded.propose()) == repr(clock.search.propose())
        clock.search = folded
    assert sum(arm.num_counted(spec.search) for arm in clock.search.arms.values()) == spec.budget.trials


@pytest.mark.parametrize("rule", ["asha", "promote"])
def test_a_cut_log_goes_on_as_if_it_had_not_been_cut(rule: str) -> None:
    spec = race(arms=3, trials=36, rule=rule)
    whole = driven(spec, slots=1)
    assert counts(whole.search)["arm0"] > 12
    for cut in (40, 90, 130):
        log = list(VirtualClock(search_of(spec), 1, unequal(1), seconds(1)).run(max_events=cut))
        second = VirtualClock(search_of(spec).fold(log), 1, unequal(1), seconds(1))
        second.run()
        assert [(name, trial.scores, trial.status) for name, trial in second.search.trials.items()] == [
            (name, trial.scores, trial.status) for name, trial in whole.search.trials.items()
        ]
