"""The storage of Optuna, read back by Optuna."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from sweeper.errors import UnknownNameError
from sweeper.exports import optuna as exported
from sweeper.exports.trials import Study
from sweeper.study.spec import StudySpec


@pytest.fixture(scope="module")
def storage(study: Study, tmp_path_factory: pytest.TempPathFactory) -> str:
    (path,) = exported.write(study, str(tmp_path_factory.mktemp("optuna")))
    return f"sqlite:///{path}"


def test_one_study_of_all_trials_and_one_per_arm(storage: str, study: Study) -> None:
    assert sorted(optuna.get_all_study_names(storage)) == ["two", "two: cnn", "two: resnet_se"]
    whole = optuna.load_study(study_name="two", storage=storage)
    assert [direction.name for direction in whole.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert whole.metric_names == ["val_accuracy", "parameters"]
    assert whole.user_attrs["study_id"] == study.study_id
    assert [trial.user_attrs["trial"] for trial in whole.trials] == [
        "cnn-00000", "cnn-00001", "cnn-00002", "cnn-00003", "cnn-00004", "resnet_se-00000",
    ], "a confirmation is no trial of the search"  # fmt: skip


def test_states_values_and_curves(storage: str) -> None:
    done, stopped, failed, diverged, running = optuna.load_study(study_name="two: cnn", storage=storage).trials
    assert done.state is TrialState.COMPLETE
    assert done.values == [pytest.approx(0.8), 1234]
    assert done.intermediate_values == pytest.approx({1: 0.6, 2: 0.7, 3: 0.8})
    assert done.datetime_complete == datetime.datetime.fromtimestamp(1_700_000_030)
    assert done.datetime_start == datetime.datetime.fromtimestamp(1_700_000_008.5), "an epoch of 1.5 s ended at 10 s"
    assert (stopped.state, stopped.values, stopped.user_attrs["reason"]) == (TrialState.PRUNED, None, "rung")
    assert stopped.intermediate_values == pytest.approx({1: 0.6})
    assert (failed.state, failed.user_attrs["reason"]) == (TrialState.FAIL, "exception")
    assert (diverged.state, diverged.intermediate_values) == (TrialState.FAIL, {})
    assert running.state is TrialState.RUNNING


def test_knobs_have_the_ranges_they_were_searched_in(storage: str, spec: StudySpec) -> None:
    (trial,) = optuna.load_study(study_name="two: resnet_se", storage=storage).trials
    knob = spec.space_of("resnet_se").knobs["learning_rate"]
    assert trial.params["learning_rate"] == 0.001
    assert trial.distributions["learning_rate"] == FloatDistribution(knob.low, knob.high, log=True)  # type: ignore[attr-defined]
    assert trial.user_attrs["knob: attention"] == "se", "it was not searched"
    assert isinstance(trial.distributions["skip"], CategoricalDistribution)
    of_all = optuna.load_study(study_name="two", storage=storage).trials
    assert {one.params["arm"] for one in of_all} == {"cnn", "resnet_se"}
    cnn, resnet = (spec.space_of(arm).knobs for arm in ("cnn", "resnet_se"))
    same = {
        "arm",
        *(name for name in cnn if name in resnet and exported._distribution(cnn[name]) == exported._distribution(resnet[name])),
    }
    assert {"label_smoothing", "optimizer"} < same
    assert all(set(one.params) <= same for one in of_all), "what all arms search in the same way"
    assert all({*one.params} | {name.removeprefix("knob: ") for name in one.user_attrs} > {"width"} for one in of_all)


def test_optuna_goes_on_from_it(storage: str, tmp_path: Path) -> None:
    copy = shutil.copy(storage.removeprefix("sqlite:///"), tmp_path / "copy.db")
    study = optuna.load_study(study_name="two: cnn", storage=f"sqlite:///{copy}", sampler=optuna.samplers.TPESampler(seed=0))
    trial = study.ask(study.trials[0].distributions)
    study.tell(trial, [0.9, 1000])
    assert study.best_trials[0].number == trial.number, "better in both objectives than the only completed trial"


def test_a_space_that_is_gone_and_a_value_outside_of_it(
    study: Study, out: str, monkeypatch: pytest.MonkeyPatch, spec: StudySpec
) -> None:
    def gone(*_: object) -> None:
        raise UnknownNameError("space", "cnn", ())

    monkeypatch.setattr(StudySpec, "space_of", gone)
    (path,) = exported.write(study, out)
    (again,) = exported.write(study, out)
    assert path == again
    assert [file.name for file in Path(out).iterdir()] == ["optuna.db"]
    done = optuna.load_study(study_name="two: cnn", storage=f"sqlite:///{path}").trials[0]
    assert done.params["learning_rate"] == 0.001
    assert done.distributions["learning_rate"] == FloatDistribution(0.001, 0.005), "what its trials had"
    assert not exported._is_in(FloatDistribution(0.1, 1.0), 0.001)
    assert not exported._is_in(CategoricalDistribution((1, 2)), True)
