"""Tables and figures of the sweep on Fashion-MNIST, from its results folder.

    python benchmarks/fashion_mnist/report.py results/fashion_mnist benchmarks/fashion_mnist

writes ``trials.csv``, ``epochs.csv``, the figures, and ``tables.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from sweeper.analysis.markdown import markdown
from sweeper.analysis.results import Results, best_trials
from sweeper.cli._shared import results_of
from sweeper.cli.figures import save_figure
from sweeper.driver.opened import open_study
from sweeper.ledger.ledger import StudyFolder
from sweeper.plots.accuracy_per_arm import accuracy_per_arm
from sweeper.plots.learning_curves import learning_curves
from sweeper.plots.pareto import pareto
from sweeper.storage import place


def arms_table(results: Results) -> pd.DataFrame:
    """The best completed trial of each arm, best arm first, with what it costs."""
    rows = []
    for trial in best_trials(results).to_dict("records"):
        epochs = results.epochs[results.epochs["trial"] == trial["trial"]]
        default = results.trials[results.trials["trial"] == f"{trial['arm']}-00000"].iloc[0]
        rows.append(
            {
                "arm": trial["arm"],
                "best trial": trial["trial"],
                "validation accuracy": trial["val_accuracy"],
                "of its default": f"{default['val_accuracy']:.1%}",
                "train accuracy": f"{trial['train_accuracy']:.1%}",
                "parameters": f"{trial['parameters']:,.0f}",
                "MACs": f"{trial['macs'] / 1e6:.2f}M",
                "fastest epoch, s": f"{epochs['train_s'].min():.1f}",
                "epochs of the arm": int((results.epochs["arm"] == trial["arm"]).sum()),
            }
        )
    table = pd.DataFrame(rows).sort_values("validation accuracy", ascending=False)
    return table.assign(**{"validation accuracy": table["validation accuracy"].map("{:.1%}".format)})


def main(study: Path, out: Path) -> None:
    """Write everything."""
    results = results_of(open_study(StudyFolder(study)))
    figures = {
        "pareto_parameters": pareto(results),
        "pareto_macs": pareto(results, x="macs"),
        "accuracy_per_arm": accuracy_per_arm(results),
        "learning_curves": learning_curves(results),
    }
    for name, figure in figures.items():
        save_figure(figure, place(out / "figures"), name)
        (out / "figures" / f"{name}.svg").unlink()
    for name, frame in (("trials", results.trials), ("epochs", results.epochs)):
        frame.drop(columns=["worker", "dataset", "versions"], errors="ignore").to_csv(out / f"{name}.csv", index=False)
    (out / "tables.md").write_text(f"## The best trial of each arm\n\n{markdown(arms_table(results))}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
