"""The driver without Ray: what is asked of it at work is taken whenever it comes, or refused aloud; who waits is not hung."""

from __future__ import annotations

import itertools
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sweeper
from sweeper.cli import status
from sweeper.driver import extending, inputs, launch, requests, tune
from sweeper.driver import session as sessions
from sweeper.driver.extending import extended
from sweeper.driver.opened import OpenedStudy, open_study
from sweeper.driver.places import Offer, Places
from sweeper.driver.retention import CheckpointRetention
from sweeper.driver.session import Session
from sweeper.errors import InputError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Kind, Reason, Status
from sweeper.search import details, repetition
from sweeper.service.extending import hand_over
from sweeper.study.spec import ArmSpec, ResourcesSpec, StudySpec, parse
from tests.driverless import LedgerClock, drive, driven

SPEC = parse(
    """
name: a
dataset: {name: digits, size: 8}
arms: {cnn: {}}
budget: {trials: 2, max_epochs: 2}
search: {sampler: random}
"""
)


ONE_CPU = {"resources": ResourcesSpec().model_dump()}


@pytest.fixture
def kept(tmp_path: Path) -> StudyFolder:
    """A finished study."""
    store = StudyFolder(tmp_path / "a")
    drive(store, SPEC)
    return store


@pytest.fixture
def at_work(kept: StudyFolder) -> Iterator[tuple[Session, LedgerClock]]:
    with driven(kept) as clock:
        assert clock.ledger is not None
        keeper = CheckpointRetention(kept.folder / "checkpoints", clock.search)
        yield Session(clock.search, clock.ledger, keeper, Places(lambda: [Offer(cpus=2)], 2), lambda event: None, {}), clock


def study_of(files: StudyFolder, session: Session) -> OpenedStudy:
    """The study as its driver knows it."""
    return OpenedStudy(files=files, parts=(), first=SPEC, events=[], search=session.search)


def test_what_is_asked_for_in_the_last_moment_is_run(kept: StudyFolder, at_work: tuple[Session, LedgerClock]) -> None:
    session, clock = at_work
    runs: list[int] = []

    def run() -> None:
        clock.run()
        runs.append(len(session.search.trials))
        session.is_exhausted = True
        if len(runs) == 1:  # the beat takes it when Tune, which has been told that nothing is left, asks no more
            requests.post(kept.folder, extended(SPEC, trials=3), repeats_decayed=False)
            extending.take_requests(session, study_of(kept, session))

    launch._drive(session, study_of(kept, session), run)
    assert runs == [2, 3]
    assert session.search.is_finished


def test_a_signal_ends_a_run_whatever_is_left(kept: StudyFolder, at_work: tuple[Session, LedgerClock]) -> None:
    session, _ = at_work
    requests.post(kept.folder, extended(SPEC, trials=3), repeats_decayed=False)
    runs: list[int] = []

    def run() -> None:
        session.is_exhausted = not runs
        runs.append(1)

    launch._drive(session, study_of(kept, session), run)
    assert len(runs) == 2
    assert not session.search.is_finished


def test_what_a_dead_driver_did_not_take_is_taken_though_the_study_is_finished(
    kept: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BegunError(Exception):
        pass

    def begin(spec: StudySpec) -> None:
        raise BegunError

    monkeypatch.setattr(inputs, "load_dataset", begin)
    assert launch.launch(SPEC, kept.folder.parent).was_finished
    requests.post(kept.folder, extended(SPEC, trials=3), repeats_decayed=False)
    with pytest.raises(BegunError):
        launch.launch(SPEC, kept.folder.parent)


@pytest.mark.parametrize("arm", [ArmSpec(architecture="cnn", space="gone"), ArmSpec(architecture="gone", space="cnn")])
def test_what_this_machine_does_not_know_is_refused_whole(
    arm: ArmSpec, kept: StudyFolder, at_work: tuple[Session, LedgerClock]
) -> None:
    session, _ = at_work
    wanted = extended(SPEC, trials=4).model_copy(update={"arms": {**SPEC.arms, "new": arm}})
    request = requests.post(kept.folder, wanted, repeats_decayed=False)
    extending.take_requests(session, study_of(kept, session))
    assert not request.exists()
    assert session.search.spec == SPEC
    assert session.search.is_finished
    assert not any(event.kind is Kind.EXTENDED for event in kept.read())


def answer(patch: pytest.MonkeyPatch, react: Callable[[], None]) -> None:
    """Let the driver react to each request as soon as it is posted."""
    post: Callable[..., object] = requests.post

    def answered(*arguments: object, **options: object) -> object:
        request = post(*arguments, **options)
        react()
        return request

    patch.setattr(requests, "post", answered)


@pytest.mark.parametrize("is_taken", [True, False])
def test_who_hands_over_learns_whether_it_was_taken(
    is_taken: bool, kept: StudyFolder, at_work: tuple[Session, LedgerClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _ = at_work

    def pass_over() -> None:
        for path, _, _ in requests.waiting(kept.folder):
            path.remove()

    wanted = extended(SPEC, trials=3)
    answer(monkeypatch, (lambda: extending.take_requests(session, study_of(kept, session))) if is_taken else pass_over)
    if is_taken:
        told: list[str] = []
        assert hand_over(open_study(kept), wanted, False, told.append)
        assert told == [f"the driver at work, process {os.getpid()} on {socket.gethostname()}, goes on with it"]
    else:
        with pytest.raises(InputError, match="cannot extend the study"):
            hand_over(open_study(kept), wanted, False, print)


def test_python_hands_over_as_the_command_does(
    kept: StudyFolder, at_work: tuple[Session, LedgerClock], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session, _ = at_work
    answer(monkeypatch, lambda: extending.take_requests(session, study_of(kept, session)))
    monkeypatch.setattr(launch, "launch", None)  # a second driver would be refused
    wanted = sweeper.Study.from_yaml(extended(SPEC, trials=3).to_yaml())
    assert wanted.run(str(kept.folder.parent)).name == "a"
    assert session.search.spec.budget.trials == 3
    opening, told = capsys.readouterr().err.splitlines()
    assert opening == "extending study 'a': trials 2 -> 3"
    assert told.endswith("goes on with it")


def test_arms_with_weights_are_refused_with_their_reason(
    kept: StudyFolder, at_work: tuple[Session, LedgerClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _ = at_work
    answer(monkeypatch, lambda: extending.take_requests(session, study_of(kept, session)))
    arm = ArmSpec(architecture="resnet", space="resnet_published", fixed={"variant": "50", "weights": "imagenet"})
    wanted = extended(SPEC, trials=4).model_copy(update={"arms": {**SPEC.arms, "r50": arm}})
    with pytest.raises(InputError, match=r"Arms with weights \(r50\) cannot be added while it works.*Interrupt it"):
        hand_over(open_study(kept), wanted, False, print)
    assert session.search.spec == SPEC


class Actor:
    """A Tune trial whose worker keeps what it is assigned, one trial or several at once."""

    pickled_error_file = None

    def __init__(self, name: str) -> None:
        self.assigned: list[Any] = []
        self.kept: list[list[str]] = []
        self.trial_id = name
        calls = {"assign": self._take, "keep": self.kept.append}
        actor = SimpleNamespace(**{name: SimpleNamespace(remote=call) for name, call in calls.items()})
        self.temporary_state = SimpleNamespace(ray_actor=actor)

    def _take(self, assignment: str) -> None:
        asked = json.loads(assignment)
        self.assigned.append([one["trial"] for one in asked] if isinstance(asked, list) else asked["trial"])


def test_an_attempt_that_waits_for_a_worker_is_not_taken_for_hung(
    kept: StudyFolder, at_work: tuple[Session, LedgerClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "HANG_LEAST_S", -1.0)
    monkeypatch.setattr(sessions, "HANG_FACTOR", 0.0)
    session, _ = at_work
    requests.post(kept.folder, extended(SPEC, max_epochs=4), repeats_decayed=False)
    extending.take_requests(session, study_of(kept, session))
    assert tune.SearcherAdapter(session).suggest("one") == ONE_CPU
    assert session.hung() == []
    tune.CallbackAdapter(session).on_trial_start(1, [], worker := Actor("one"))
    assert worker.assigned == ["cnn-00000"]
    assert session.hung() == [], "before its first epoch a trial is waited for without limit"
    session.live["one"][0].silences_s.append(0.0)
    assert session.hung() == ["one"]


@pytest.fixture
def repeated(kept: StudyFolder) -> Iterator[Session]:
    """Two workers' session of a finished study whose two trials are to be repeated with four seeds each."""
    with driven(kept) as clock:
        assert clock.ledger is not None
        keeper = CheckpointRetention(kept.folder / "checkpoints", clock.search)
        session = Session(clock.search, clock.ledger, keeper, Places(lambda: [Offer(cpus=2)]), lambda event: None, {})
        session.record(details.planned_event(repetition.plan(clock.search, ["cnn-00000", "cnn-00001"], 4)))
        yield session


def row(session: Session, worker: str, epoch: int) -> dict[str, Any]:
    attempt = session.live[worker][0].attempt
    return {"report": json.dumps({"rows": [{"epoch": epoch, "attempt": attempt, "train_loss": 1.0, "val_accuracy": 0.5}]})}


def test_a_draw_that_is_refused_is_drawn_again_by_the_same_worker(kept: StudyFolder, at_work: tuple[Session, Any]) -> None:
    session, _ = at_work
    requests.post(kept.folder, extended(SPEC, trials=3), repeats_decayed=False)
    extending.take_requests(session, study_of(kept, session))
    searcher, scheduler, worker = tune.SearcherAdapter(session), tune.SchedulerAdapter(session), Actor("one")
    assert searcher.suggest("one") == ONE_CPU
    tune.CallbackAdapter(session).on_trial_start(1, [], worker)
    refused = {"report": json.dumps({"failure": {"reason": "infeasible", "detail": "too small", "parameters": 7, "macs": 8}})}
    assert scheduler.on_trial_result(None, worker, refused) == "CONTINUE"
    assert worker.assigned == ["cnn-00002", "cnn-00003"]
    for epoch in (1, 2):
        assert not session.search.is_finished
        answer = scheduler.on_trial_result(None, worker, row(session, "one", epoch))
    assert answer == "STOP"
    assert session.search.is_finished
    session.commit()
    (ended,) = (event for event in open_study(kept).events if event.reason is Reason.INFEASIBLE)
    assert (ended.parameters, ended.macs) == (7, 8)
    facts = status.status_of(open_study(kept))
    assert {name: count for name, count in facts["trials"].items() if count} == {"completed": 3, "infeasible": 1}
    assert facts["refusals"] == {"cnn": "too small"}


@pytest.mark.parametrize("slow", [1, 2, 5])
def test_a_free_worker_takes_the_repetition_it_has_the_program_of(repeated: Session, slow: int) -> None:
    """Also where the other worker takes several times as long, as far as repetitions wait."""
    searcher, scheduler = tune.SearcherAdapter(repeated), tune.SchedulerAdapter(repeated)
    workers = [Actor("one"), Actor("two")]
    for worker in workers:
        assert searcher.suggest(worker.trial_id) == ONE_CPU
    assert searcher.suggest("three") is None, "two workers are wanted, and no more"
    for worker in workers:
        tune.CallbackAdapter(repeated).on_trial_start(1, [], worker)
    beat = 0
    while repeated.live:
        beat += 1
        for worker in workers[: 1 if beat % slow else 2]:
            if worker.trial_id in repeated.live:
                trial = repeated.search.trials[repeated.live[worker.trial_id][0].trial]
                goes_on = scheduler.on_trial_result(None, worker, row(repeated, worker.trial_id, trial.epoch + 1))
                if goes_on == "STOP":
                    searcher.on_trial_complete(worker.trial_id)
                assert searcher.suggest("more") in (None, "FINISHED")
    assert repeated.search.is_finished
    assert searcher.suggest("three") == "FINISHED"
    parents = [[trial.removesuffix(trial[-3:]) for trial in worker.assigned] for worker in workers]
    switches = sum(before != after for own in parents for before, after in itertools.pairwise(own))
    repetitions = [trial.trial for trial in repeated.search.trials.values() if trial.parent]
    assert sorted(workers[0].assigned + workers[1].assigned) == sorted(repetitions)
    assert switches == {1: 0, 2: 1, 5: 1}[slow]


@pytest.fixture
def grouped(repeated: Session) -> Session:
    """The same session, whose workers train three seeds together."""
    repeated.seeds_together = 3
    return repeated


def begun(session: Session, name: str) -> Actor:
    """A worker that has been given its first trials."""
    assert tune.SearcherAdapter(session).suggest(name) == ONE_CPU
    tune.CallbackAdapter(session).on_trial_start(1, [], actor := Actor(name))
    return actor


def told(session: Session, worker: Actor, **others: dict[str, Any]) -> str:
    """What becomes of a worker that reports an epoch of each trial it has, or for some something else."""
    members = {
        live.trial: {
            "rows": [
                {"epoch": trial.epoch + 1, "attempt": trial.attempt, "train_loss": 1.0, "val_accuracy": 0.5}
                | others.get(live.trial[-2:], {})
            ]
        }
        for live in session.live[worker.trial_id]
        for trial in [session.search.trials[live.trial]]
    }
    return tune.SchedulerAdapter(session).on_trial_result(None, worker, {"report": json.dumps({"members": members})})


def test_repetitions_of_one_trial_are_trained_together(kept: StudyFolder, grouped: Session) -> None:
    workers = [begun(grouped, name) for name in ("one", "two")]
    assert [worker.assigned for worker in workers] == [[[f"cnn-0000{parent}-s{seed}" for seed in (1, 2, 3)]] for parent in (0, 1)]
    assert {event.trial for event in kept.read() if event.kind is Kind.SUGGESTED} >= {
        trial for worker in workers for trial in worker.assigned[0]
    }, "all of it is durable"
    for worker in workers:
        assert told(grouped, worker) == "CONTINUE"
        assert told(grouped, worker) == "CONTINUE", "there is another group"
    assert [worker.assigned[1:] for worker in workers] == [["cnn-00000-s4"], ["cnn-00001-s4"]], "one is left of each, alone"
    assert not any(worker.kept for worker in workers)


def test_who_diverges_ends_and_the_others_go_on(grouped: Session) -> None:
    worker = begun(grouped, "one")
    assert told(grouped, worker, s2={"train_loss": float("nan")}) == "CONTINUE"
    assert worker.kept == [["cnn-00000-s1", "cnn-00000-s3"]]
    trials = grouped.search.trials
    assert trials["cnn-00000-s2"].reason is Reason.NAN
    assert told(grouped, worker) == "CONTINUE"
    assert [trials[f"cnn-00000-s{seed}"].status for seed in (1, 2, 3)] == [Status.COMPLETED, Status.FAILED, Status.COMPLETED]


@pytest.mark.parametrize("reason", [Reason.EXCEPTION, Reason.OUT_OF_MEMORY, Reason.INFEASIBLE])
def test_trials_that_failed_together_are_tried_again_alone(reason: Reason, kept: StudyFolder, grouped: Session) -> None:
    worker = begun(grouped, "one")
    first = worker.assigned[0]
    told(grouped, worker)
    failed = {"failure": {"reason": reason.value, "detail": "no room"}}
    report = {"report": json.dumps({"members": dict.fromkeys(first, failed)})}
    assert tune.SchedulerAdapter(grouped).on_trial_result(None, worker, report) == "CONTINUE"
    trials = [grouped.search.trials[trial] for trial in first]
    if reason is Reason.INFEASIBLE:
        assert {trial.status for trial in trials} == {Status.FAILED}, "nothing else would come of it"
        return
    assert [event.detail for event in kept.read() if event.kind is Kind.ATTEMPT_ENDED][-1] == (
        f"{reason} of 3 trials trained together; this one is tried again alone: no room"
    )
    alone = []
    while not grouped.search.is_finished:
        alone += [worker.assigned[-1]] if isinstance(worker.assigned[-1], str) else []
        told(grouped, worker)
    assert set(alone) >= set(first)
    assert [(trial.status, trial.attempt, trial.lost) for trial in trials] == [(Status.COMPLETED, 2, 0)] * 3


@pytest.mark.parametrize(("reason", "then"), [(Reason.DIED, "alone"), (Reason.NODE_LOST, "together")])
def test_the_death_of_a_worker_ends_each_of_its_attempts(reason: Reason, then: str, grouped: Session) -> None:
    worker = begun(grouped, "one")
    [first] = worker.assigned
    grouped.on_death("one", reason, "gone")
    assert [grouped.search.trials[trial].lost for trial in first] == [int(reason is Reason.DIED)] * 3
    grouped.on_end("one")
    assigned = []
    for name in ("two", "three"):
        assigned += begun(grouped, name).assigned
    assert (first in assigned) == (then == "together")
    assert then == "together" or all(isinstance(one, str) or not set(one) & set(first) for one in assigned)


def test_a_worker_that_dies_as_it_starts_takes_one_attempt_with_it(grouped: Session) -> None:
    assert tune.SearcherAdapter(grouped).suggest("one") == ONE_CPU
    grouped.on_death("one", Reason.DIED, "gone")
    assert [trial.trial for trial in grouped.search.trials.values() if trial.lost] == ["cnn-00000-s1"]


def test_only_jax_trains_seeds_together(kept: StudyFolder) -> None:
    with pytest.raises(InputError, match=r"--seeds-together 8: only JAX trains several seeds.*'a' trains with tensorflow"):
        launch.launch(SPEC, kept.folder.parent, seeds_together=8)
