"""The search: decisions as Ray's scheduler makes them, and a fold that is the state that wrote the log."""

from __future__ import annotations

import math
import random
import types
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.ledger.records import Event, Kind, Reason, Status
from sweeper.search.history import Finished
from sweeper.search.sampler import SAMPLERS, RandomSampler, Sampler, TpeSampler
from sweeper.search.stopping import Rungs
from sweeper.search.study import RETRIES, Search
from sweeper.study.space import Choice, Float, Int, Space
from sweeper.study.spec import StudySpec
from tests.virtual_clock import VirtualClock, epoch_event

SPACE = Space(
    architecture="cnn",
    model={
        "activation": Choice("relu", "gelu"),
        "depth": Int(low=1, high=5, default=2),
        "slope": Float(low=0.01, high=0.5, default=0.1).when(activation="gelu"),
    },
    training={"learning_rate": Float(low=1e-4, high=1e-1, log=True, default=1e-3)},
)


def study(arms: int = 2, trials: int = 8, epochs: int = 9, sampler: str = "random", **stopping: Any) -> StudySpec:
    return StudySpec.model_validate(
        {
            "name": "test",
            "dataset": {"name": "digits"},
            "arms": {f"arm{index}": {"architecture": "cnn", "space": "cnn"} for index in range(arms)},
            "budget": {"trials": trials, "max_epochs": epochs},
            "search": {"sampler": sampler},
            "stopping": {"rule": "asha", "grace_epochs": 1, "reduction_factor": 3, **stopping},
        }
    )


def search_of(spec: StudySpec) -> Search:
    return Search(spec, dict.fromkeys(spec.arms, SPACE))


def state(search: Search) -> dict[str, Any]:
    """Everything a search decides from."""
    return {
        "trials": search.trials,
        "arms": search.arms,
        "waiting": list(search._waiting),
        "out": search.out,
    }


def curve(seed: int) -> Any:
    def value(trial: str, epoch: int) -> float:
        generator = random.Random(f"{seed}/{trial}")
        return generator.random() * (1 - math.exp(-epoch * generator.random()))

    return value


def seconds(seed: int) -> Any:
    return lambda trial: random.Random(f"{seed}/{trial}/s").uniform(0.5, 3)


# ------------------------------------------------------------------------------------------------------------ stopping


@settings(max_examples=200, deadline=None)
@given(
    grace=st.integers(1, 4),
    factor=st.integers(2, 5),
    longest=st.integers(4, 30),
    curves=st.lists(
        st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, 0.55]) | st.floats(-1, 1), min_size=30, max_size=30),
        min_size=1,
        max_size=9,
    ),
    order=st.randoms(use_true_random=False),
)
def test_decisions_are_those_of_rays_asha(
    grace: int, factor: int, longest: int, curves: list[list[float]], order: random.Random
) -> None:
    from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

    theirs = AsyncHyperBandScheduler(
        time_attr="epoch", metric="value", mode="max", max_t=longest, grace_period=grace, reduction_factor=factor
    )
    spec = study(arms=1, trials=len(curves), epochs=longest, grace_epochs=grace, reduction_factor=factor)
    ours = search_of(spec)
    running: dict[str, tuple[Any, list[float]]] = {}
    for values in curves:
        event = ours.propose()
        assert event is not None
        ours.apply(event)
        trial = types.SimpleNamespace(trial_id=event.trial)
        theirs.on_trial_add(None, trial)  # type: ignore[arg-type]
        running[event.trial or ""] = (trial, values)
    epochs = dict.fromkeys(running, 0)
    while running:
        name = order.choice(sorted(running))
        trial, values = running[name]
        epochs[name] += 1
        value = values[epochs[name] - 1]
        event = ours.judge(epoch_event(ours, name, epochs[name], value))
        ours.apply(event)
        result = {"epoch": epochs[name], "value": value}
        decision = theirs.on_trial_result(None, trial, result)  # type: ignore[arg-type]
        assert (decision == TrialScheduler.STOP) == (event.status is not Status.RUNNING)
        if decision == TrialScheduler.STOP:
            theirs.on_trial_complete(None, trial, result)  # type: ignore[arg-type]
            del running[name]


def test_rungs_stand_below_the_last_epoch() -> None:
    assert list(Rungs(2, 3, 18).recorded) == [2, 6]
    assert list(Rungs(1, 2, 9).recorded) == [1, 2, 4, 8]


def test_arms_never_stop_each_other() -> None:
    spec = study(arms=2, trials=20, epochs=9)
    search = search_of(spec)
    VirtualClock(search, 4, lambda trial, epoch: 0.9 if trial.startswith("arm0") else 0.1, seconds(0)).run()
    assert all(trial.status is Status.COMPLETED for trial in search.trials.values()), (
        "equal values in an arm: nobody lies below the cutoff"
    )


@pytest.mark.parametrize("column", ["val_accuracy", "train_loss"])
def test_nan_ends_a_trial_at_once(column: str) -> None:
    search = search_of(study(arms=1))
    event = search.propose()
    assert event is not None
    search.apply(event)
    row = epoch_event(search, "arm0-00000", 1, 0.5).replace(**{column: math.nan})
    judged = search.judge(row)
    assert (judged.status, judged.reason) == (Status.FAILED, Reason.NAN)
    search.apply(judged)
    assert all(math.isfinite(score) for rung in search.rungs["arm0"].recorded.values() for score in rung.values())


# ---------------------------------------------------------------------------------------------------------------- fold


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 3), st.data())
def test_fold_gives_the_state_that_wrote_the_log(seed: int, slots: int, arms: int, data: st.DataObject) -> None:
    """For any interleaving, with failures, deaths, interruptions and NaN, cut at any place."""
    sampler = data.draw(st.sampled_from([name for name in SAMPLERS if name != "tpe"]))
    spec = study(arms=arms, trials=4 * arms, epochs=9, sampler=sampler)
    live = search_of(spec)
    chance = random.Random(seed)
    log: list[Event] = []

    def record(event: Event) -> None:
        live.apply(event)
        log.append(event)

    value = curve(seed)
    running: list[str] = []
    record(Event(kind=Kind.DRIVER_STARTED))
    for _ in range(data.draw(st.integers(1, 150))):
        if len(running) < slots and (event := live.propose()) is not None:
            assert live.propose() == event, "asking changes nothing"
            record(event)
            running.append(event.trial or "")
        elif not running:
            break
        name = chance.choice(running)
        happening = chance.random()
        if happening < 0.05:
            record(Event(kind=Kind.DRIVER_STARTED))
            running.clear()
            continue
        if happening < 0.15:
            reason = chance.choice([None, Reason.NODE_LOST, Reason.DIED, Reason.TIMEOUT, Reason.EXCEPTION, Reason.OUT_OF_MEMORY])
            record(live.judge(Event(kind=Kind.ATTEMPT_ENDED, trial=name, reason=reason, attempt=live.trials[name].attempt)))
        else:
            epoch = live.trials[name].epoch + 1
            if happening < 0.2 and epoch > 1:
                epoch -= 1  # trained again from an older checkpoint
            record(live.judge(epoch_event(live, name, epoch, math.nan if happening > 0.97 else value(name, epoch))))
        if live.trials[name].status is not Status.RUNNING:
            running.remove(name)
    folded = search_of(spec).fold(log)
    assert state(folded) == state(live)
    assert folded.propose() == live.propose()
    assert folded.is_finished == live.is_finished
    refolded = search_of(spec)
    for event in log:  # the outcomes in the log are those the state machine would give again
        if event.kind in (Kind.EPOCH, Kind.ATTEMPT_ENDED):
            assert (
                refolded.judge(
                    event.replace(status=None, reason=event.reason if event.kind is Kind.ATTEMPT_ENDED else None)
                ).status
                == event.status
            )
        elif event.kind is Kind.SUGGESTED:
            assert refolded.propose() == event
        refolded.apply(event)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_cut_log_goes_on_as_if_it_had_not_been_cut(sampler: str) -> None:
    """One worker: killed after any event and folded, the study has the same trials, values and decisions as without."""
    spec = study(arms=2, trials=16, epochs=9, sampler=sampler)
    whole = search_of(spec)
    VirtualClock(whole, 1, curve(1), seconds(1)).run()
    for cut in (3, 17, 40, 60):
        first = VirtualClock(search_of(spec), 1, curve(1), seconds(1))
        log = list(first.run(max_events=cut))
        second = VirtualClock(search_of(spec).fold(log), 1, curve(1), seconds(1))
        second.run()
        ours, theirs = second.search.trials, whole.trials
        assert list(ours) == list(theirs)
        for name, trial in theirs.items():
            assert (ours[name].configuration, ours[name].scores, ours[name].status) == (
                trial.configuration,
                trial.scores,
                trial.status,
            )


def test_budget_is_split_equally_and_spent_exactly() -> None:
    spec = study(arms=3, trials=11, epochs=4)
    search = search_of(spec)
    VirtualClock(search, 3, curve(2), seconds(2)).run()
    assert Counter(trial.arm for trial in search.trials.values()) == {"arm0": 4, "arm1": 4, "arm2": 3}
    assert {trial.status for trial in search.trials.values()} <= {Status.COMPLETED, Status.STOPPED}
    assert any(trial.status is Status.STOPPED for trial in search.trials.values())


def test_trial_zero_is_the_default_and_numbers_count_up() -> None:
    search = search_of(study(arms=1, trials=3))
    names = []
    for _ in range(3):
        event = search.propose()
        assert event is not None
        search.apply(event)
        names.append(event.trial)
    assert names == ["arm0-00000", "arm0-00001", "arm0-00002"]
    assert search.trials["arm0-00000"].configuration == SPACE.default()
    assert search.propose() is None


@pytest.mark.parametrize(("reason", "is_counted"), [(Reason.DIED, True), (Reason.TIMEOUT, True), (Reason.NODE_LOST, False)])
def test_a_dead_worker_counts_and_a_lost_node_does_not(reason: Reason, is_counted: bool) -> None:
    search = search_of(study(arms=1, trials=1))
    for attempt in range(1, RETRIES + 2):
        event = search.propose()
        assert event is not None
        assert event.attempt == attempt
        search.apply(event)
        ended = search.judge(Event(kind=Kind.ATTEMPT_ENDED, trial=event.trial, attempt=attempt, reason=reason))
        search.apply(ended)
    assert search.trials["arm0-00000"].status is (Status.FAILED if is_counted else Status.INTERRUPTED)
    assert (search.propose() is None) is is_counted
    assert search.is_finished is is_counted


def test_an_exception_is_final_and_an_interruption_is_not() -> None:
    search = search_of(study(arms=1, trials=2))
    for _ in range(2):
        event = search.propose()
        assert event is not None
        search.apply(event)
    search.apply(search.judge(Event(kind=Kind.ATTEMPT_ENDED, trial="arm0-00000", attempt=1, reason=Reason.EXCEPTION)))
    search.apply(search.judge(Event(kind=Kind.ATTEMPT_ENDED, trial="arm0-00001", attempt=1)))
    assert search.trials["arm0-00000"].status is Status.FAILED
    event = search.propose()
    assert event is not None
    assert (event.trial, event.attempt) == ("arm0-00001", 2)


def test_a_minimised_objective_is_turned() -> None:
    spec = study(arms=1).model_copy(update={"objectives": ("min val_loss",)})
    search = search_of(spec)
    assert search.score(Event(kind=Kind.EPOCH, val_loss=0.25)) == -0.25


@pytest.mark.parametrize("lost", ["suggestion", "trial", "epochs"])
def test_what_a_damaged_part_held_is_done_again(lost: str) -> None:
    """The ledger's own advice is to move a part that cannot be read out of the folder and go on."""
    spec = study(arms=1, trials=4, epochs=9)
    log = list(VirtualClock(search_of(spec), 1, curve(1), seconds(1)).run())
    first, second, third = [index for index, event in enumerate(log) if event.kind is Kind.SUGGESTED][:3]
    missing = {"suggestion": {second}, "trial": set(range(second, third)), "epochs": {first + 2, first + 3}}[lost]
    cut = [event for index, event in enumerate(log) if index not in missing]
    clock = VirtualClock(search_of(spec).fold([*cut, Event(kind=Kind.DRIVER_STARTED)]), 1, curve(1), seconds(1), log=cut)
    clock.run(max_events=200)
    trials = clock.search.trials
    assert clock.search.is_finished
    assert sorted(trials) == [f"arm0-{number:05d}" for number in range(4)]
    for name, trial in trials.items():
        assert trial.status.is_final
        assert trial.scores == [curve(1)(name, epoch) for epoch in range(1, trial.epoch + 1)]


# ------------------------------------------------------------------------------------------------------------ samplers


def history(count: int) -> list[Finished]:
    generator = random.Random(5)
    sampler = RandomSampler(SPACE, {})
    found = []
    for seed in range(count):
        configuration = sampler.suggest([], number=1, seed=seed)
        score = -abs(math.log10(float(configuration["learning_rate"])) + 2) + generator.random() * 0.01
        found.append(Finished(configuration=configuration, scores=(score - 0.1, score), is_complete=seed % 3 > 0))
    return found


@pytest.mark.parametrize("kind", [RandomSampler, TpeSampler])
@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=15, deadline=None)
def test_suggestions_lie_in_the_space_and_keep_fixed_values(kind: Any, seed: int) -> None:
    fixed = {"activation": "gelu", "width": 3}
    configuration = kind(SPACE, fixed).suggest([], number=1, seed=seed)
    assert configuration["activation"] == "gelu"
    assert configuration["width"] == 3
    assert SPACE.problems({key: value for key, value in configuration.items() if key != "width"}) == []


def test_tpe_depends_on_history_and_seed_alone() -> None:
    past = history(20)
    at_once = TpeSampler(SPACE, {})
    step_by_step = TpeSampler(SPACE, {})
    for count in range(0, 20, 3):
        step_by_step.suggest(past[:count], number=1, seed=count)
    answer = at_once.suggest(past, number=1, seed=7)
    assert answer == step_by_step.suggest(past, number=2, seed=7) == at_once.suggest(past, number=1, seed=7)
    assert answer != at_once.suggest(past, number=1, seed=8)


def test_tpe_learns_where_it_is_good() -> None:
    sampler = TpeSampler(SPACE, {})
    past = history(40)

    def rates_of(sampler: Sampler, past: list[Finished]) -> list[float]:
        suggested = (sampler.suggest(past, number=1, seed=seed)["learning_rate"] for seed in range(20))
        return [math.log10(float(rate)) for rate in suggested]

    rates, at_random = rates_of(sampler, past), rates_of(RandomSampler(SPACE, {}), [])
    assert sum(abs(rate + 2) for rate in rates) < 0.6 * sum(abs(rate + 2) for rate in at_random)


def test_tpe_takes_trials_of_a_space_that_was_edited_since() -> None:
    edited = Space(
        architecture="cnn",
        model={
            "activation": Choice("gelu", "silu"),
            "depth": Int(low=1, high=3, default=2),
            "extra": Int(low=1, high=3, default=1),
        },
        training={"learning_rate": Float(low=1e-3, high=1e-2, log=True, default=1e-3)},
    )
    assert edited.problems(TpeSampler(edited, {}).suggest(history(20), number=1, seed=1)) == []


def test_tpe_takes_trials_that_diverged_or_never_trained() -> None:
    default = SPACE.default()
    past = [Finished(configuration=default, scores=scores, is_complete=False) for scores in ((), (math.nan,), (0.1, math.nan))]
    assert SPACE.problems(TpeSampler(SPACE, {}).suggest(past * 4, number=1, seed=1)) == []
