"""Constraints: how they are written, that no network beyond them is trained, and that the search learns from those refused."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest

from sweeper import catalog
from sweeper.datasets import Split
from sweeper.driver import networks
from sweeper.errors import LedgerError, StudyFileError
from sweeper.ledger.records import Event, Kind, Reason, Status
from sweeper.plots.pareto import pareto
from sweeper.search import front
from sweeper.search.costs import Columns
from sweeper.search.history import Finished
from sweeper.search.study import Search
from sweeper.search.trees import TreesSampler
from sweeper.storage import place
from sweeper.study.constraints import violation
from sweeper.study.space import Choice, Float, Space
from sweeper.study.spec import ResourcesSpec, StoppingSpec, StudySpec, TrainingSpec, parse, parse_stored
from sweeper.training import devices
from sweeper.training.trial import Assignment, Worker
from tests import synthetic
from tests.conftest import Run
from tests.test_draws import MANY, study
from tests.test_networks_of_a_study import IMAGES
from tests.virtual_clock import VirtualClock, parameters_of

STUDY = """\
name: a
dataset: {name: digits}
arms:
  cnn: {}
  vit: {}
constraints: [parameters <= 1e5, macs <= 5e7]
budget: {trials: 4, max_epochs: 1}
"""


# ---------------------------------------------------------------------------------------------------------- the study file


def with_constraints(text: str) -> str:
    return STUDY.replace("[parameters <= 1e5, macs <= 5e7]", text)


def test_what_allows_the_same_is_the_same_study() -> None:
    spec = parse(STUDY)
    assert spec.limits == {"parameters": 100_000, "macs": 50_000_000}
    assert spec == parse(with_constraints("[parameters<=100000.9, macs <= 50_000_000]"))
    assert parse_stored(spec.to_yaml(), "a") == spec
    with pytest.raises(LedgerError, match="'parameters < 7' is not a constraint"):
        parse_stored(re.sub("parameters <= [0-9]+", "parameters < 7", spec.to_yaml()), "a")
    without = parse(with_constraints(""))
    assert without.limits == {}
    assert "constraints" not in without.canonical(), "studies from before there were constraints keep their identity"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[train_s <= 60]", "constraints[0]: 'train_s' is not known before training, so it cannot be a constraint; "
         "allowed: parameters, macs."),
        ("[macs <= 1e6, parameter <= 3]", "constraints[1]: unknown column 'parameter'. Did you mean 'parameters'? "
         "Allowed: macs, parameters."),
        ("[parameters < 3]", "constraints[0]: 'parameters < 3' is not a constraint; write 'COLUMN <= NUMBER', for example "
         "'parameters <= 1e6'."),
        ("[macs <= 1e6, macs <= 2e6]", "constraints[1]: 'macs' occurs twice; keep one."),
        ("[macs <= 0.5]", "constraints[0]: '0.5' is outside its range; allowed: 1 or more."),
        ("[macs <= 1e]", "constraints[0]: '1e' is not a number; allowed: 1 or more, for example 'parameters <= 1e6'."),
        ("parameters <= 1e6", "constraints: 'parameters <= 1e6' is text; allowed: a list. Write [parameters <= 1e6]."),
        ("[]", "constraints: it is empty; at least one is needed."),
    ],
)  # fmt: skip
def test_faults_are_told_with_their_line(text: str, fault: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        parse(with_constraints(text))
    assert [str(line) for line in caught.value.args[0].splitlines()[1:]] == [f"  - line 6: {fault}"]


# -------------------------------------------------------------------------------------------------------------- the worker


def test_a_violation_is_told_in_numbers() -> None:
    limits = {"parameters": 1_000_000, "macs": 50_000_000}
    assert violation(limits, {"parameters": 1_000_000, "macs": 1}) == ""
    assert violation(limits, {"parameters": 1_234_567, "macs": 60_000_000}) == (
        "1,234,567 parameters are more than the 1,000,000 allowed; "
        "60,000,000 multiply-accumulates (macs) are more than the 50,000,000 allowed"
    )


@pytest.mark.long
def test_a_default_beyond_a_constraint_is_a_fault_before_anything_starts(run: Run, tmp_path: Path) -> None:
    text = with_constraints("[parameters <= 1000]").replace("  vit: {}\n", "")
    (tmp_path / "study.yaml").write_text(text)
    code, _, err = run("check", "study.yaml")
    assert code == 2
    spec = parse(text)
    with networks.building(spec, ["cnn"]) as faults_of:
        (fault,) = faults_of(IMAGES)
    said = err.splitlines()[1].removeprefix("  - ")
    for one in (said, fault):
        assert one.startswith("arms.cnn: ")
        assert one.endswith(" parameters are more than the 1,000 allowed. Choose smaller sizes, or raise the constraint.")


@pytest.mark.usefixtures("framework")
def test_a_worker_trains_no_network_that_exceeds_a_constraint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "configure", lambda training, resources: "cpu")
    images = Split(np.zeros((32, 8, 8, 1), np.uint8), np.arange(32) % 10)
    worker = Worker(
        train=images,
        validation=images,
        num_classes=10,
        training=TrainingSpec(),
        resources=ResourcesSpec(),
        checkpoints=place(tmp_path),
        limits={"parameters": 3000},
    )
    reports = []
    for width in (8, 64):
        configuration = {**catalog.load("architecture", "cnn").tiny, "width": width, "batch_size": 32}
        worker.start(
            Assignment(
                trial=f"t{width}", arm="cnn", architecture="cnn", attempt=1, configuration=configuration, seed=1, max_epochs=1,
                known_epochs=0,
            )
        )  # fmt: skip
        reports.append(worker.step())
    (row,) = reports[0]["rows"]
    assert row["parameters"] <= 3000
    failure = reports[1]["failure"]
    assert failure["reason"] == "infeasible"
    assert failure["detail"] == f"{failure['parameters']:,} parameters are more than the 3,000 allowed"
    assert failure["macs"] > row["macs"]


# -------------------------------------------------------------------------------------------------------------- the search


def constrained(sampler: str, trials: int = 8) -> StudySpec:
    return study(trials, sampler).model_copy(update={"constraints": ("parameters <= 1500",)})


@pytest.mark.parametrize("sampler", ["trees", "random"])
def test_what_exceeds_a_constraint_costs_no_trial_and_a_fold_knows_its_size(sampler: str) -> None:
    search = Search(constrained(sampler), {"arm": MANY})
    clock = VirtualClock(search, 2, lambda trial, epoch: 0.5, lambda trial: 1.0)
    clock.run()
    trials = search.trials.values()
    refused = [trial for trial in trials if trial.reason is Reason.INFEASIBLE]
    assert sum(trial.status is Status.COMPLETED for trial in trials) == 8
    assert refused and all(parameters_of(trial.configuration) > 1500 for trial in refused)
    if sampler == "trees":
        assert [trial.costs for trial in refused] == [[(float(parameters_of(trial.configuration)),)] for trial in refused]
    folded = Search(search.spec, {"arm": MANY}).fold(clock.log)
    assert folded.trials == search.trials
    assert folded.propose() == search.propose()


ONE_KNOB = Space(architecture="any", model={"width": Float(low=0.0, high=1.0, default=0.1), "kind": Choice(1, 2)})


@pytest.mark.parametrize("num_weighed", [0, 1])
@pytest.mark.parametrize("number", [10, 11])
def test_the_sampler_stays_within_what_it_learned_to_be_allowed(number: int, num_weighed: int) -> None:
    """The wider the better, and more than half of the width is too large."""
    columns = Columns(goals=(("min", "parameters"),), num_weighed=num_weighed, limits=(10.0**5.5,))
    sampler, free = (TreesSampler(ONE_KNOB, {}, costs=own) for own in (columns, Columns()))
    history = []
    for width in np.linspace(0, 1, 21).tolist():
        size = 10 ** (5 + width)
        scores = (width,) if size <= 10**5.5 else ()
        history.append(
            Finished(configuration={"width": width, "kind": 1}, scores=scores, is_complete=bool(scores), costs=(size,))
        )
    widths = [float(sampler.suggest(history, number=number, seed=seed)["width"]) for seed in range(5)]
    assert max(widths) < 0.58
    if number % 2:
        assert min(widths) > 0.35, "what was refused is not taken for bad"
    few = [one for one in history if not one.scores or one.configuration["width"] < 0.2]
    drawn = [float(sampler.suggest(few, number=number, seed=seed)["width"]) for seed in range(12)]
    assert max(drawn) < 0.58, "also before trees say anything of scores"
    assert max(drawn) - min(drawn) > 0.2, "anywhere else at random"
    trained = [dataclasses.replace(one, scores=(one.configuration["width"],), is_complete=True) for one in history]
    assert float(free.suggest(trained, number=number, seed=0)["width"]) > 0.58


@pytest.mark.parametrize("rule", ["asha", "promote"])
def test_rungs_ask_for_objectives_and_not_for_what_is_constrained_alone(rule: str) -> None:
    spec = constrained("trees").model_copy(
        update={"objectives": ("max val_accuracy",), "stopping": StoppingSpec(rule=rule)}  # type: ignore[arg-type]
    )
    search = Search(spec, {"arm": MANY})
    VirtualClock(search, 2, lambda trial, epoch: int(trial[-2:]) / 100, lambda trial: 1.0).run()
    (recorded,) = search.rungs["arm"].costs.values()
    assert len(recorded) >= 8
    assert set(recorded.values()) == {()}


def test_feasibility_is_how_likely_all_limits_are_kept() -> None:
    costs = np.log([[1e5, 1e7], [1e6, 1e7], [2e6, 1e7]])
    told = front.feasibility(costs, np.full((3, 2), 0.1), (1e6, math.inf))
    assert told == pytest.approx([1.0, 0.5, 0.0], abs=1e-6)
    assert front.feasibility(costs, np.ones((3, 2)), ()).tolist() == [1.0, 1.0, 1.0]


def test_a_limit_of_what_is_no_objective_is_learned_and_not_weighed() -> None:
    spec = parse(STUDY.replace("budget:", "search: {sampler: trees}\nobjectives: [max val_accuracy, min macs]\nbudget:"))
    columns = Columns.of(spec)
    assert (columns.goals, columns.num_weighed) == ((("min", "macs"), ("min", "parameters")), 1)
    assert columns.limits == (5e7, 1e5)
    other = STUDY.replace("budget:", "search: {sampler: tpe}\nbudget:")
    assert Columns.of(parse(other)) == Columns(), "other samplers are told nothing of sizes"
    row = Event(kind=Kind.ATTEMPT_ENDED, parameters=200_000, macs=7)
    assert columns.exceeds(columns.after(row, (), 1))
    assert not columns.exceeds(columns.after(row.replace(parameters=None), (), 1)), "unknown is not too large"


# -------------------------------------------------------------------------------------------------------------- the figure


@pytest.mark.parametrize(("limit", "num_shaded"), [(500_000, 1), (10**9, 0)])
def test_a_constraint_is_shaded_where_it_is_near(limit: int, num_shaded: int) -> None:
    axes = pareto(synthetic.build(limits={"parameters": limit})).axes[0]
    assert len(axes.patches) == num_shaded
    assert (axes.get_xlim()[1] > limit) == bool(num_shaded)
