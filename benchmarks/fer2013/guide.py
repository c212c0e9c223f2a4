"""The guide's text, its author's own run, and ours, network by network: from the results of `studies/fer2013_guide.yaml`.

    python benchmarks/fer2013/guide.py results benchmarks/fer2013

reads ``results/fer2013_guide`` and ``results/fer2013_why``, and writes their trials and epochs as CSV files, the figures, and
``guide.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sweeper.analysis.markdown import markdown
from sweeper.analysis.results import Results
from sweeper.cli._shared import results_of
from sweeper.cli.figures import save_figure
from sweeper.driver.opened import open_study
from sweeper.ledger.ledger import StudyFolder
from sweeper.plots.learning_curves import learning_curves
from sweeper.plots.pareto import pareto

STUDY, WHY = "fer2013_guide", "fer2013_why"


class Told(NamedTuple):
    """A network of the guide: what its text says, and what its author's own run came to.

    Args:
        says_parameters: The text's number.
        says: The text's range of accuracies after ten epochs.
        parameters: Trained parameters by the author's own summary.
        last: The run's accuracy after epoch 10 ...
        best: ... and its best, with the epoch.
        train: Accuracy on training images after epoch 10.
        seconds: The whole run, on a GPU.
    """

    says_parameters: float
    says: tuple[float, float]
    parameters: int
    last: float
    best: tuple[float, int]
    train: float
    seconds: int


TOLD = {
    "cnn": Told(1e6, (0.50, 0.56), 1_142_279, 0.550, (0.563, 7), 0.833, 57),
    "resnet": Told(5e5, (0.52, 0.58), 308_295, 0.517, (0.530, 6), 0.731, 146),
    "densenet": Told(7e6, (0.52, 0.58), 6_954_759, 0.562, (0.562, 10), 0.574, 657),
    "efficientnet": Told(4e6, (0.52, 0.58), 4_015_939, 0.496, (0.503, 9), 0.612, 324),
    "cnn_se": Told(2.5e5, (0.52, 0.58), 20_659, 0.269, (0.272, 8), 0.275, 50),
    "vit": Told(1.5e5, (0.52, 0.58), 173_837, 0.277, (0.277, 10), 0.273, 80),
}
"""Read from the guide's text and from the outputs that its author saved: one seed, Adam at its default rate, batches of 32."""

RIGHT_WITHIN = 0.15
"""Relative difference up to which "about so many parameters" holds."""


def guide_table(results: Results) -> pd.DataFrame:
    """A row for each network in the order of `TOLD`, those that are trained; the last column judges the text's two claims."""
    own = results.trials
    trials = own[(own["stage"] == "search") & (own["number"] == 0)].set_index("arm")
    rows = []
    for arm, told in TOLD.items():
        if arm not in trials.index or pd.isna(trials.loc[arm, "val_accuracy"]):
            continue
        ours = trials.loc[arm]
        rows.append(
            {
                "network": arm,
                "text: parameters, accuracy": f"{_about(told.says_parameters)}, {told.says[0]:.0%}-{told.says[1]:.0%}",
                "its author: parameters": f"{told.parameters:,}",
                "epoch 10": f"{told.last:.1%}",
                "best epoch": f"{told.best[0]:.1%} ({told.best[1]})",
                "train": f"{told.train:.1%}",
                "GPU seconds": told.seconds,
                "ours: parameters": f"{ours['parameters']:,.0f}",
                "epoch 10 ": f"{ours['val_accuracy']:.1%}",
                "best epoch ": f"{ours['best_val_accuracy']:.1%} ({ours['best_val_accuracy_epoch']:.0f})",
                "train ": f"{ours['train_accuracy']:.1%}",
                "difference": f"{100 * (ours['val_accuracy'] - told.last):+.1f} points",
                "the text is": verdict(told, ours["val_accuracy"]),
            }
        )
    return pd.DataFrame(rows)


def verdict(told: Told, ours: float) -> str:
    """Whether the text's number of parameters and its range of accuracies hold, by its author's run and by ours."""
    is_near = abs(told.parameters / told.says_parameters - 1) <= RIGHT_WITHIN
    inside = [told.says[0] <= found <= told.says[1] for found in (told.last, ours)]
    by_run = {(True, True): "right", (False, False): "**wrong**", (True, False): "right by its author's run alone"}
    accuracy = by_run.get((inside[0], inside[1]), "wrong by its author's run, right by ours")
    return f"parameters {'right' if is_near else '**wrong**'}; accuracy {accuracy}"


def _about(number: float) -> str:
    return f"{number / 1e6:g}M" if number >= 1e6 else f"{number / 1e3:g}K"


def why_table(results: Results) -> pd.DataFrame:
    """The same network with one thing changed: accuracies on training and validation images after the last epoch."""
    shown = results.trials.sort_values("trial")
    return pd.DataFrame(
        {
            "network": shown["arm"],
            "epochs": shown["epoch"].map("{:.0f}".format),
            "validation": shown["val_accuracy"].map("{:.1%}".format),
            "training": shown["train_accuracy"].map("{:.1%}".format),
        }
    )


def main(results: Path, out: Path) -> None:
    """Write everything."""
    guide, why = (results_of(open_study(StudyFolder(results / name))) for name in (STUDY, WHY))
    figures = out / "figures"
    save_figure(learning_curves(guide), figures, "guide_learning_curves")
    save_figure(pareto(guide), figures, "guide_pareto_parameters")
    save_figure(learning_curves(why), figures, "why_learning_curves")
    for drawing in figures.glob("*.svg"):
        drawing.unlink()
    for table in ("trials", "epochs"):
        frame = pd.concat([getattr(part, table).assign(study=part.study) for part in (guide, why)])
        frame.drop(columns=["worker", "versions"], errors="ignore").to_csv(out / f"guide_{table}.csv", index=False)
    ids = "".join(f"- `{name}`: {open_study(StudyFolder(results / name)).first.study_id}\n" for name in (STUDY, WHY))
    tables = f"## Text, author, ours\n\n{markdown(guide_table(guide))}\n\n## One thing changed\n\n{markdown(why_table(why))}\n"
    (out / "guide.md").write_text(f"# The guide, held against its text\n\nWritten by `guide.py`. Studies:\n\n{ids}\n{tables}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
