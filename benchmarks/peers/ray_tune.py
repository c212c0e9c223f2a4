"""Ray Tune as its documentation shows it: a function that trains with Keras and reports every epoch.

    python benchmarks/peers/ray_tune.py STUDY.yaml FIGURES.json [--reuse]

`tune.with_parameters` brings the data, `tune.with_resources` gives each trial one CPU. Given configurations are a grid search; a
search is Tune's `OptunaSearch`, with a search space written as a function because knobs depend on each other. `ASHAScheduler`
stops early. ``--reuse`` sets ``reuse_actors``, which trains one trial after another in the same process.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from workloads import WORKERS, Data, Point, data_of, given, suggested

from sweeper.study.spec import StudySpec, load

METRIC = "val_accuracy"

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    # Before a process is used again, the thread of the trial stopped there has to end; after 2 s, the default, Tune gives the
    # next trial up as failed.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
}
"""Of the workers."""


def train(config: dict[str, Any], data: Data, epochs: int) -> None:
    """What Tune runs for each trial."""
    import keras
    from plain_keras import Clock, fit, set_seed, set_threads

    set_threads(intra=1, inter=1)
    point = Point(**config["point"])
    set_seed(point)
    clock = Clock()

    def report(epoch: int, logs: dict[str, float]) -> None:
        tune.report({METRIC: logs[METRIC], "epochs": clock.epochs, "train_s": clock.train_s, "trial_s": clock.trial_s})

    fit(point, data, epochs, clock, keras.callbacks.LambdaCallback(on_epoch_end=report))


def search_of(spec: StudySpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameter space of the tuner, and what of its configuration says how it is searched."""
    points = given(spec)
    if points is not None:
        return {"point": tune.grid_search([dataclasses.asdict(point) for point in points])}, {}
    # A partial, because Tune saves the state of its searcher and cannot pickle a closure.
    asked = OptunaSearch(functools.partial(define_by_run, spec), metric=METRIC, mode="max")
    return {}, {"search_alg": asked, "num_samples": spec.budget.trials}


def define_by_run(spec: StudySpec, trial: Any) -> dict[str, Any]:
    """The configuration of a trial of a search."""
    return {"point": dataclasses.asdict(suggested(spec, trial))}


def run(spec: StudySpec, storage: str, *, is_reusing: bool) -> dict[str, Any]:
    """Run a workload: its figures."""
    stopping, epochs = spec.stopping, spec.budget.max_epochs
    scheduler = None
    if stopping.rule == "asha":
        options = {"grace_period": stopping.grace_epochs, "reduction_factor": stopping.reduction_factor}
        scheduler = ASHAScheduler(metric=METRIC, mode="max", max_t=epochs, **options)
    parameters, search = search_of(spec)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, data=data_of(spec), epochs=epochs), {"cpu": 1}),
        param_space=parameters,
        tune_config=tune.TuneConfig(scheduler=scheduler, reuse_actors=is_reusing, **search),
        run_config=tune.RunConfig(storage_path=storage, verbose=0),
    )
    results = tuner.fit()
    assert results.num_errors == 0, results.errors
    rows = [result.metrics for result in results]
    counts = {arm: sum(row["epochs"] for row in rows if row["config"]["point"]["arm"] == arm) for arm in spec.arms}
    totals = {name: sum(row[name] for row in rows) for name in ("train_s", "trial_s")}
    return {"trials": len(rows), "epochs": sum(counts.values()), "epochs_by_arm": counts, **totals}


def main() -> None:
    """Run a workload and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("figures", type=Path)
    parser.add_argument("--reuse", action="store_true", help="train one trial after another in the same process")
    arguments = parser.parse_args()
    ray.init(address="local", num_cpus=WORKERS, include_dashboard=False, runtime_env={"env_vars": ENVIRONMENT})
    with tempfile.TemporaryDirectory(prefix="peers-tune-") as storage:
        found = run(load(arguments.study), storage, is_reusing=arguments.reuse)
    ray.shutdown()
    arguments.figures.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
