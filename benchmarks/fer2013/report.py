"""Tables and figures of the measurements on FER2013, from the results folders of the studies beside this file.

    python benchmarks/fer2013/report.py results benchmarks/fer2013

reads ``results/fer2013_own_*``, ``fer2013_seeds`` and ``fer2013_search``, and writes the trials and epochs of all studies as two
CSV files, the figures, and ``tables.md``.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pandas as pd

from sweeper.analysis.markdown import markdown
from sweeper.analysis.results import Results
from sweeper.analysis.seeds import paired_differences, seeds_table
from sweeper.cli._shared import results_of
from sweeper.cli.figures import save_figure
from sweeper.driver.opened import open_study
from sweeper.ledger.ledger import StudyFolder
from sweeper.plots.learning_curves import learning_curves
from sweeper.plots.pareto import pareto
from sweeper.plots.seed_strip import seed_strip

OWN = ("fer2013_own_full", "fer2013_own_cnn", "fer2013_own_large")
CLAIMS = {
    "cnn": ("about 1M", "50-56 %"),
    "resnet": ("about 500K", "52-58 %"),
    "densenet121": ("about 7M", "52-58 %"),
    "efficientnet_b0": ("about 4M", "52-58 %"),
    "cnn_se": ("about 250K", "52-58 %"),
    "vit": ("about 150K", "52-58 %"),
}
"""What the guide says of each network: parameters, and validation accuracy after ten epochs."""

SEARCH = "fer2013_search"
SEEDS = "fer2013_seeds"


RENAMED = {"fer2013_own_full": {"cnn": "cnn_without_norm"}}
"""Trained before the hidden layer of cnn was normalised."""

QUARTER = "fer2013_own_large"
"""On a quarter of the images, which the names of its arms say."""


def read(results: Path, name: str) -> Results:
    """The results of one study, its arms renamed where they are not what their name says."""
    found = results_of(open_study(StudyFolder(results / name)))
    renamed = RENAMED.get(name, {arm: f"{arm}_quarter" for arm in found.trials["arm"]} if name == QUARTER else {})

    def changed(frame: pd.DataFrame) -> pd.DataFrame:
        arm = frame["arm"].replace(renamed)
        return frame.assign(arm=arm, trial=arm + "-" + frame["trial"].str.partition("-")[2])

    return dataclasses.replace(found, trials=changed(found.trials), epochs=changed(found.epochs))


def together(parts: list[Results], name: str) -> Results:
    """Several studies as one."""
    return Results(
        study=name,
        objectives=parts[0].objectives,
        trials=pd.concat([part.trials for part in parts], ignore_index=True),
        epochs=pd.concat([part.epochs for part in parts], ignore_index=True),
    )


def own_table(own: Results) -> pd.DataFrame:
    """What the guide claims of each kind of network beside ours, in order of the time an epoch took per image."""
    rows = []
    for trial in own.trials.to_dict("records"):
        epochs = own.epochs[own.epochs["trial"] == trial["trial"]]
        images = json.loads(trial["dataset"])["train_images"] if isinstance(trial["dataset"], str) else 28_709
        claimed_parameters, claimed_accuracy = CLAIMS.get(trial["arm"].removesuffix("_quarter"), ("", ""))
        rows.append(
            {
                "network": trial["arm"],
                "parameters claimed": claimed_parameters,
                "measured": f"{trial['parameters']:,.0f}",
                "MACs": f"{trial['macs'] / 1e6:.1f}M",
                "training images": f"{images:,}",
                "accuracy claimed": claimed_accuracy,
                "epoch 10": f"{trial['val_accuracy']:.1%}",
                "best epoch": f"{trial['best_val_accuracy']:.1%} ({trial['best_val_accuracy_epoch']:.0f})",
                "train accuracy": f"{trial['train_accuracy']:.1%}",
                "fastest epoch, ms per image": epochs["train_s"].min() / images * 1000,
                "minutes": f"{(trial['train_s'] + trial['evaluate_s'] + trial['build_s']) / 60:.0f}",
            }
        )
    table = pd.DataFrame(rows).sort_values("fastest epoch, ms per image")
    return table.assign(**{"fastest epoch, ms per image": table["fastest epoch, ms per image"].map("{:.2f}".format)})


def search_table(search: Results) -> pd.DataFrame:
    """Every trial of the search, best first within each arm."""
    columns = ["trial", "status", "epoch", "val_accuracy", "val_loss", "parameters", "macs", "train_s"]
    table = search.trials[columns].sort_values(["val_accuracy"], ascending=False)
    return table.assign(
        epoch=table["epoch"].map("{:.0f}".format),
        val_accuracy=table["val_accuracy"].map("{:.1%}".format),
        val_loss=table["val_loss"].map("{:.3f}".format),
        parameters=table["parameters"].map("{:,.0f}".format),
        macs=table["macs"].map(lambda value: f"{value / 1e6:.1f}M"),
        train_s=table["train_s"].map("{:.0f}".format),
    )


def main(results: Path, out: Path) -> None:
    """Write everything."""
    own = together([read(results, name) for name in OWN], "FER2013, our networks under the guide's protocol")
    seeds, search = read(results, SEEDS), read(results, SEARCH)
    figures = out / "figures"
    save_figure(learning_curves(own), figures, "own_learning_curves")
    save_figure(pareto(own), figures, "own_pareto_parameters")
    save_figure(pareto(own, x="macs"), figures, "own_pareto_macs")
    save_figure(learning_curves(search), figures, "search_learning_curves")
    save_figure(pareto(search), figures, "search_pareto_parameters")
    save_figure(seed_strip(seeds, stage="ablation"), figures, "seed_strip")
    for drawing in figures.glob("*.svg"):
        drawing.unlink()
    whole = {name: read(results, name) for name in (*OWN, SEEDS, SEARCH)}
    for table in ("trials", "epochs"):
        frame = pd.concat([getattr(part, table).assign(study=name) for name, part in whole.items()])
        frame.drop(columns=["worker", "dataset", "versions"], errors="ignore").to_csv(out / f"{table}.csv", index=False)
    pairs = paired_differences(seeds)[["first", "second", "n", "difference", "low", "high", "p", "p_holm"]]
    parts = {
        "Our networks under the guide's protocol": own_table(own),
        "Seeds": seeds_table(seeds).drop(columns="unfinished").round(4),
        "Paired differences": pairs.round(4),
        "Search": search_table(search),
    }
    ids = "".join(f"- `{name}`: {open_study(StudyFolder(results / name)).first.study_id}\n" for name in (*OWN, SEEDS, SEARCH))
    text = "\n\n".join(f"## {title}\n\n{markdown(table)}" for title, table in parts.items())
    (out / "tables.md").write_text(f"# Tables\n\nWritten by `report.py`. Studies:\n\n{ids}\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
