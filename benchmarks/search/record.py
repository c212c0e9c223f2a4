"""Learning curves of our own networks, recorded for replays: half drawn from the whole space, half near the defaults.

    python benchmarks/search/record.py studies FOLDER
    sweeper launch FOLDER/own_uniform.yaml
    sweeper launch FOLDER/own_prior.yaml
    python benchmarks/search/record.py table results/own_uniform results/own_prior --out benchmarks/search/own_curves.parquet

Three arms, 120 configurations each, nine epochs, none stopped, on the digits enlarged to 16x16: 898 images to train on, 809 to
validate. The first study draws at random, its first trial of each arm is the default; the second trains draws of
`sweeper.search.prior` as `points`. The table has the format of docs/replay.md, a task for each arm.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sweeper import catalog
from sweeper.cli._shared import results_of
from sweeper.driver.opened import open_study
from sweeper.ledger.ledger import StudyFolder
from sweeper.search.distinct import key_of
from sweeper.search.prior import Prior
from sweeper.streams import seed_of
from sweeper.study import strict_yaml
from sweeper.study.space import Choice, Float, Knob
from sweeper.study.spec import StudySpec

ARMS = ("cnn", "lenet", "vit")
EACH, EPOCHS = 60, 9


def studies(folder: Path) -> None:
    """Write both study files."""
    shared: dict[str, Any] = {
        "dataset": {"name": "digits", "size": 16, "validation_fraction": 0.45, "test_fraction": 0.05},
        "objectives": ["max val_accuracy"],
        "search": {"sampler": "random", "seed": 0},
        "stopping": {"rule": "none"},
    }
    budget = {"trials": EACH * len(ARMS), "max_epochs": EPOCHS}
    uniform = {"name": "own_uniform", **shared, "arms": {arm: {} for arm in ARMS}, "budget": budget}
    arms: dict[str, Any] = {}
    for arm in ARMS:
        space = catalog.load("space", arm)
        prior, drawn = Prior(space, {}), {key_of(space.default()): space.default()}
        for number in range(10 * EACH):
            if len(drawn) <= EACH:
                configuration = prior.draw(seed_of("own curves", arm, number))
                drawn.setdefault(key_of(configuration), configuration)
        arms[arm] = {"points": list(drawn.values())[1:]}
    budget = {"trials": (EACH + 1) * len(ARMS), "max_epochs": EPOCHS}
    near = {"name": "own_prior", **shared, "arms": arms, "budget": budget}
    for study in (uniform, near):
        (folder / f"{study['name']}.yaml").write_text(strict_yaml.write(study))


def table(folders: list[Path], out: Path) -> None:
    """Write the table and what its columns mean; a configuration counts once, where it was trained first."""
    rows: list[dict[str, Any]] = []
    for folder in folders:
        study = open_study(StudyFolder(folder))
        found = _curves(study.spec, results_of(study).trials, results_of(study).epochs)
        known = {(row["task"], key_of(row["configuration"])) for row in rows}
        rows += [row for row in found if (row["task"], key_of(row["configuration"])) not in known]
    spaces = {arm: catalog.load("space", arm).knobs for arm in ARMS}
    columns: dict[str, list[Any]] = {
        "task": [row["task"] for row in rows],
        "config_id": list(range(len(rows))),
        "values": [row["values"] for row in rows],
        "time_s": [row["time_s"] for row in rows],
        "objective_parameters": [row["parameters"] for row in rows],
    }
    for name in dict.fromkeys(name for knobs in spaces.values() for name in knobs):
        is_text = any(isinstance(knobs[name], Choice) for knobs in spaces.values() if name in knobs)
        values = [row["configuration"].get(name) for row in rows]
        columns[f"hp_{name}"] = [str(value) if is_text and value is not None else value for value in values]
    pq.write_table(pa.table(columns), out, compression="zstd")
    told = {arm: {f"hp_{name}": _knob(knob) for name, knob in knobs.items()} for arm, knobs in spaces.items()}
    union = {name: knob for arm in reversed(ARMS) for name, knob in told[arm].items()}
    about = {
        "name": "own_curves",
        "format": "sweep-curves/1",
        "metric": "validation accuracy",
        "epochs": EPOCHS,
        "unit": "epoch",
        "time": "seconds of building, training and validating, on one CPU core",
        "tasks": list(ARMS),
        "space": union,
        "spaces": told,
    }
    out.with_name(out.name.removesuffix(".parquet") + ".space.yaml").write_text(strict_yaml.write(about))


def _curves(study: StudySpec, trials: pd.DataFrame, epochs: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for trial in trials.sort_values(["arm", "number"]).to_dict("records"):
        own = epochs[epochs["trial"] == trial["trial"]].sort_values("epoch")
        if own.empty:  # the network refused the draw
            continue
        seconds = own[["build_s", "train_s", "evaluate_s"]].fillna(0.0).sum(axis=1).cumsum()
        found.append(
            {
                "task": trial["arm"],
                "configuration": json.loads(trial["configuration"]),
                "values": own["val_accuracy"].tolist(),
                "time_s": [round(second, 3) for second in seconds],
                "parameters": float(trial["parameters"]),
            }
        )
    return found


def _knob(knob: Knob) -> dict[str, Any]:
    if isinstance(knob, Choice):
        told: dict[str, Any] = {"type": "categorical", "choices": list(knob.options)}
    else:
        kind = "float" if isinstance(knob, Float) else "int"
        told = {"type": kind, **{name: getattr(knob, name) for name in ("low", "high", "log")}}
    told["default"] = knob.default
    if knob.condition is not None:
        told["condition"] = {f"hp_{knob.condition[0]}": list(knob.condition[1])}
    return told


def main() -> None:
    """As the docstring of the file says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("studies", "table"))
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/search/own_curves.parquet"))
    arguments = parser.parse_args()
    if arguments.step == "studies":
        studies(arguments.folders[0])
    else:
        table(arguments.folders, arguments.out)


if __name__ == "__main__":
    main()
