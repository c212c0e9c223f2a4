"""What a new study learns from the folders of earlier ones, before it begins and never again."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeper.driver import launch, learning
from sweeper.driver.places import Offer
from sweeper.errors import InputError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Kind, Reason, Status
from sweeper.search import details, repetition
from sweeper.search.lessons import sources_in
from sweeper.storage.objects import ObjectPlace
from sweeper.study.spec import StudySpec, parse
from tests.driverless import drive, driven

OLD = """\
name: old
dataset: {name: digits}
arms: {cnn: {}, se: {architecture: cnn, fixed: {attention: se}}, vit: {}}
budget: {trials: 12, max_epochs: 4}
search: {sampler: random, seed: 1}
stopping: {rule: asha, grace_epochs: 1, reduction_factor: 2}
"""
NEW = """\
name: new
dataset: {name: digits}
arms: {mine: {architecture: cnn}}
budget: {trials: 6, max_epochs: 9}
search: {sampler: tpe, learn_from: [results/old]}
"""


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A finished study in results/old."""
    monkeypatch.chdir(tmp_path)
    files = StudyFolder(Path("results/old"))
    drive(files, parse(OLD))
    return files


def changed(text: str, *changes: tuple[str, str]) -> StudySpec:
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return parse(text)


def fault(study: StudySpec) -> str:
    """The only fault of what a study would learn from."""
    sources, faults = learning.read(study)
    assert sources == []
    assert len(faults) == 1
    with pytest.raises(InputError) as caught:
        learning.still_to_learn(study, ())
    assert str(caught.value) == faults[0]
    return faults[0]


def test_an_arm_learns_from_all_arms_of_its_architecture_and_space_whatever_their_names(old: StudyFolder) -> None:
    (source,), faults = learning.read(parse(NEW))
    assert faults == []
    search = drive(old)
    trials = [trial for trial in search.trials.values() if trial.arm in ("cnn", "se")]
    assert source.facts() == {"study": "old", "folder": "results/old", "arms": {"mine": 8}, "left_out": 0}
    assert [(one.configuration, one.scores) for one in source.lessons["mine"]] == [
        (trial.configuration, tuple(trial.scores)) for trial in trials
    ]
    assert [one.is_complete for one in source.lessons["mine"]] == [trial.status is Status.COMPLETED for trial in trials]
    assert {one.is_complete for one in source.lessons["mine"]} == {True, False}


def test_a_value_that_is_fixed_here_must_be_that_of_the_trial(old: StudyFolder) -> None:
    (source,), _ = learning.read(changed(NEW, ("{architecture: cnn}", "{architecture: cnn, fixed: {attention: se}}")))
    trials = [trial for trial in drive(old).trials.values() if trial.arm in ("cnn", "se")]
    own = [trial.configuration for trial in trials if trial.configuration["attention"] == "se"]
    assert [one.configuration for one in source.lessons["mine"]] == own
    assert 4 < len(own) < 8, "some of the arm where it was searched"
    assert source.left_out == 8 - len(own)


def test_trials_of_one_arm_may_teach_several(old: StudyFolder) -> None:
    arms = "{mine: {architecture: cnn}, theirs: {architecture: cnn, fixed: {attention: se}}, vit: {}, resnet: {}}"
    (source,), _ = learning.read(changed(NEW, ("{mine: {architecture: cnn}}", arms)))
    counts = source.facts()["arms"]
    assert (counts["mine"], counts["vit"]) == (8, 4)
    assert 4 < counts["theirs"] < 8
    assert "resnet" not in counts
    assert source.left_out == 0, "who teaches one arm is not left out"


@pytest.mark.parametrize(
    ("there", "here", "num_taught"),
    [
        ("clip_norm: 1.0", "", 0),  # what trials of this study would not do
        ("clip_norm: 0.0", "", 4),  # what they do anyway
        ("", "clip_norm: 1.0", 0),
        ("", "clip_norm: 0.0", 4),
        ("clip_norm: 1.0", "clip_norm: 1.0", 4),
        ("learning_rate: 0.2", "", 0),  # outside the range in which this study searches
        ("learning_rate: 0.02", "", 4),
        ("learning_rate: 0.02", "learning_rate: 0.01", 0),
        ("optimizer: sgd, momentum: 0.95", "", 4),
        ("optimizer: sgd", "optimizer: adam", 0),
    ],
)
def test_who_trains_what_an_arm_here_could_not_teaches_nothing(
    there: str, here: str, num_taught: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arms = f"{{cnn: {{fixed: {{{there}}}}}}}"
    drive(
        StudyFolder(Path("results/old")),
        changed(OLD, ("{cnn: {}, se: {architecture: cnn, fixed: {attention: se}}, vit: {}}", arms), ("trials: 12", "trials: 4")),
    )
    study = changed(NEW, ("{architecture: cnn}", f"{{architecture: cnn, fixed: {{{here}}}}}"))
    if num_taught:
        (source,), _ = learning.read(study)
        assert source.facts()["arms"] == {"mine": num_taught}
        space, fixed = study.space_of("mine"), study.arms["mine"].fixed
        for one in source.lessons["mine"]:
            assert space.problems({name: value for name, value in one.configuration.items() if name not in fixed}) == []
    else:
        said = "none of its 4 trials is a configuration of an arm here, because fixed values or ranges differ."
        assert fault(study) == f"search.learn_from: results/old: {said}"


def test_repetitions_and_refused_draws_teach_nothing_and_a_failed_trial_that_it_failed(old: StudyFolder) -> None:
    with driven(old) as clock:
        clock.record(details.planned_event(repetition.plan(clock.search, ["cnn-00000"], 3)))
        clock.run()
        clock.ledger.commit()  # type: ignore[union-attr]
    (source,), _ = learning.read(parse(NEW))
    assert source.facts()["arms"] == {"mine": 8}
    other = StudyFolder(Path("results/other"))
    with driven(other, changed(OLD, ("name: old", "name: other"))) as clock:
        event = clock.search.propose()
        assert event is not None
        clock.record(event)
        clock.end(event.trial or "", Reason.EXCEPTION)
        refused = clock.search.propose()
        assert refused is not None
        clock.record(refused)
        clock.end(refused.trial or "", Reason.INFEASIBLE)
        clock.run(len(clock.log) + 5)
        clock.ledger.commit()  # type: ignore[union-attr]
    (source,), _ = learning.read(changed(NEW, ("results/old", "results/other")))
    failed, *begun = source.lessons["mine"]
    assert (refused.arm, json.loads(refused.configuration or "") in [one.configuration for one in begun]) == ("se", False)
    assert (failed.scores, failed.is_complete) == ((), False)
    assert all(one.scores and not one.is_running for one in begun), "and one that is still at work what it came to"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("results/old", "results/odl"), "there is no study. Give the folder of one that was launched, such as results/NAME."),
        (("results/old", "ftp://host/old"), "results cannot be kept at ftp:// addresses."),
        (
            ("{name: digits}", "{name: digits, size: 16, fraction: 0.5}"),
            "its scores say nothing about this study (there -> here): dataset.fraction: 1.0 -> 0.5; dataset.size: 8 -> 16. Name "
            "studies of the same dataset and first objective.",
        ),
        (
            ("{name: digits}", "{name: arrays, path: x.npz}"),
            "its scores say nothing about this study (there -> here): dataset.name: digits -> arrays.",
        ),
        (
            ("search:", "objectives: [min val_loss, min parameters]\nsearch:"),
            "its scores say nothing about this study (there -> here): first objective: max val_accuracy -> min val_loss.",
        ),
        (
            ("architecture: cnn", "architecture: resnet"),
            "no arm of it has an architecture and a search space of an arm here. There: cnn (space cnn), vit (space vit); here: "
            "resnet (space resnet).",
        ),
    ],
)
def test_who_cannot_teach_is_a_fault_that_says_why(change: tuple[str, str], said: str, old: StudyFolder) -> None:
    study = changed(NEW, change)
    assert study.search.learn_from is not None
    assert fault(study).startswith(f"search.learn_from: {study.search.learn_from[0]}: {said}")


def test_a_study_without_a_score_teaches_nothing_and_all_faults_are_said_at_once(old: StudyFolder) -> None:
    drive(StudyFolder(Path("results/young")), changed(OLD, ("name: old", "name: young")), num_events=0)
    study = changed(NEW, ("[results/old]", "[results/young, results/old, results/none]"))
    sources, faults = learning.read(study)
    assert [source.study for source in sources] == ["old"]
    said = "none of its trials that could teach an arm here has a score yet. Try again once one has."
    assert faults[0] == f"search.learn_from: results/young: {said}"
    assert faults[1].startswith("search.learn_from: results/none: there is no study.")
    with pytest.raises(InputError) as caught:
        learning.still_to_learn(study, ())
    assert str(caught.value).splitlines() == faults


def test_a_study_in_a_bucket_teaches_too(old: StudyFolder, bucket: ObjectPlace) -> None:
    drive(StudyFolder(bucket / "old"), parse(OLD))
    (source,), faults = learning.read(changed(NEW, ("results/old", f"{bucket}/old")))
    assert faults == []
    assert source.facts()["arms"] == {"mine": 8}


# ------------------------------------------------------------------------------------------------------------------- launch


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that does all but train."""

    @contextlib.contextmanager
    def connected(*_: Any) -> Iterator[bool]:
        yield True

    monkeypatch.setattr(launch, "connected", connected)
    monkeypatch.setattr(launch.nodes, "offers", lambda: [Offer(cpus=1)])
    monkeypatch.setattr(launch, "_trainable", lambda *_: None)
    monkeypatch.setattr(launch, "_run_tune", lambda *_, **__: None)


@pytest.mark.usefixtures("without_ray")
def test_a_launch_learns_once_and_then_needs_the_earlier_study_no_more(old: StudyFolder) -> None:
    study, notes = parse(NEW), list[str]()
    outcome = launch.launch(study, "results", worker=SimpleNamespace, tell=notes.append)
    assert notes[-1] == "study 'old' (results/old) teaches arm mine with 8 trials"
    (event,) = [event for event in outcome.study.events if event.kind is Kind.LEARNED]
    assert event.study_id == study.study_id
    (source,) = sources_in(event)
    assert outcome.search.arms["mine"].lessons == [*source.lessons["mine"]]
    shutil.rmtree("results/old")
    again = launch.launch(study, "results", worker=SimpleNamespace, tell=notes.append)
    assert [event.kind for event in again.study.events].count(Kind.LEARNED) == 1
    assert again.search.arms["mine"].lessons == outcome.search.arms["mine"].lessons
    assert sum("teaches" in note for note in notes) == 1
    drive(StudyFolder(Path("results/new")))
    launch.launch(study, "results", worker=SimpleNamespace)


@pytest.mark.usefixtures("without_ray")
def test_a_launch_that_cannot_learn_leaves_nothing(old: StudyFolder) -> None:
    with pytest.raises(InputError, match=r"search\.learn_from: results/none: there is no study"):
        launch.launch(changed(NEW, ("results/old", "results/none")), "results", worker=SimpleNamespace)
    assert not Path("results/new").exists()


@pytest.mark.usefixtures("without_ray")
def test_a_study_that_was_created_and_learned_nothing_yet_learns_when_it_is_resumed(old: StudyFolder) -> None:
    study, files = parse(NEW), StudyFolder(Path("results/new"))
    with driven(files, study):
        pass
    assert not [event for event in files.read() if event.kind is Kind.LEARNED]
    outcome = launch.launch(study, "results", worker=SimpleNamespace)
    assert len(outcome.search.arms["mine"].lessons) == 8
