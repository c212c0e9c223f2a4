"""Optuna as its documentation shows it: an objective that trains with Keras, reports every epoch and may be pruned.

    python benchmarks/peers/optuna_peer.py STUDY.yaml FIGURES.json [--processes]

Two trials run at once: in two threads of one process (``n_jobs=2``), or with ``--processes`` in two processes that share a
journal file, which is what the documentation of ``n_jobs`` recommends for an objective that computes. Given configurations are
enqueued; a search is `TPESampler`. `SuccessiveHalvingPruner` stops early. Garbage is collected after each trial, as Optuna's FAQ
advises.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState
from workloads import WORKERS, data_of, given, suggested

from sweeper.study.spec import StudySpec, load

METRIC = "val_accuracy"
NAME = "peers"
BEGUN = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


def objective_of(spec: StudySpec) -> Any:
    """The objective: validation accuracy of the last epoch."""
    import keras
    from plain_keras import Clock, fit, set_seed

    data, points, epochs = data_of(spec), given(spec), spec.budget.max_epochs

    class Pruning(keras.callbacks.Callback):  # type: ignore[misc]
        """What optuna-integration has as TFKerasPruningCallback, with steps that count epochs from 1."""

        def __init__(self, trial: optuna.Trial):
            super().__init__()
            self._trial = trial

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self._trial.report(logs[METRIC], step=epoch + 1)
            if self._trial.should_prune():
                raise optuna.TrialPruned

    def objective(trial: optuna.Trial) -> float:
        point = suggested(spec, trial) if points is None else points[trial.suggest_int("point", 0, len(points) - 1)]
        set_seed(point)
        clock = Clock()
        try:
            return fit(point, data, epochs, clock, Pruning(trial))
        finally:
            facts = {"arm": point.arm, "epochs": clock.epochs, "train_s": clock.train_s, "trial_s": clock.trial_s}
            trial.set_user_attr("facts", facts)

    return objective


def create(spec: StudySpec, storage: Any) -> optuna.Study:
    """The study, with what shall be tried enqueued."""
    study = optuna.create_study(storage=storage, study_name=NAME, direction="maximize", **components(spec))
    for number in range(len(given(spec) or ())):
        study.enqueue_trial({"point": number})
    return study


def components(spec: StudySpec) -> dict[str, Any]:
    """Sampler and pruner."""
    stopping = spec.stopping
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if stopping.rule == "asha":
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=stopping.grace_epochs, reduction_factor=stopping.reduction_factor
        )
    return {"sampler": optuna.samplers.TPESampler(), "pruner": pruner}


def in_threads(spec: StudySpec) -> optuna.Study:
    """Run a workload in two threads of this process."""
    from plain_keras import set_threads

    set_threads(intra=1, inter=WORKERS)
    study = create(spec, InMemoryStorage())
    study.optimize(objective_of(spec), n_trials=spec.budget.trials, n_jobs=WORKERS, gc_after_trial=True)
    return study


def in_processes(spec: StudySpec, journal: Path) -> optuna.Study:
    """Run a workload in two processes that share a journal."""
    study = create(spec, _storage(journal))
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(spec, journal)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    return study


def _work(spec: StudySpec, journal: Path) -> None:
    from plain_keras import set_threads

    set_threads(intra=1, inter=1)
    study = optuna.load_study(study_name=NAME, storage=_storage(journal), **components(spec))
    enough = MaxTrialsCallback(spec.budget.trials, states=BEGUN)
    study.optimize(objective_of(spec), callbacks=[enough], gc_after_trial=True)


def _storage(journal: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(journal)))


def figures(study: optuna.Study, spec: StudySpec) -> dict[str, Any]:
    """What a run came to."""
    trials = study.trials
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    facts = [trial.user_attrs["facts"] for trial in trials]
    counts = {arm: sum(fact["epochs"] for fact in facts if fact["arm"] == arm) for arm in spec.arms}
    totals = {name: sum(fact[name] for fact in facts) for name in ("train_s", "trial_s")}
    return {"trials": len(trials), "epochs": sum(counts.values()), "epochs_by_arm": counts, **totals}


def main() -> None:
    """Run a workload and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("figures", type=Path)
    parser.add_argument("--processes", action="store_true", help="two processes in place of two threads")
    arguments = parser.parse_args()
    spec = load(arguments.study)
    with tempfile.TemporaryDirectory(prefix="peers-optuna-") as folder:
        study = in_processes(spec, Path(folder) / "journal.log") if arguments.processes else in_threads(spec)
        found = figures(study, spec)
    arguments.figures.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
