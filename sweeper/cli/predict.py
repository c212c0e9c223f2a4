"""The command ``predict``: what the models of a study say of one's own images."""

from __future__ import annotations

import dataclasses
import functools
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._models import chosen_models, read_images
from sweeper.cli._networks import quiet
from sweeper.cli._shared import json_option, open_named, print_json, results_of, results_option, study_argument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sweeper.analysis.results import Results
    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.trial import Trial

ENSEMBLE = "ensemble"
"""What the mean of all models is called."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tested:
    """What is known of the accuracy of a model.

    Args:
        weights: The trials whose weights predict.
        mean: Test accuracy, mean over the seeds of its configuration, a fraction; NaN without a test split.
        low: That of the worst seed.
        high: That of the best seed.
        seeds: How many there are.
    """

    weights: list[str]
    mean: float
    low: float
    high: float
    seeds: int

    @property
    def words(self) -> str:
        """For a person."""
        if self.mean != self.mean:
            return "not tested"
        mean = f"{100 * self.mean:.1f} %"
        return mean if self.seeds < 2 else f"{mean} ({100 * self.low:.1f} to {100 * self.high:.1f} over {self.seeds} seeds)"


def _tested(data: Results, trial: Trial) -> Tested:
    """The test accuracy of a confirmed trial's configuration."""
    of_seeds = data.trials[(data.trials["parent"] == trial.parent) & (data.trials["stage"] == trial.stage)]
    values = of_seeds["test_accuracy"].astype(float).dropna()
    return Tested(weights=[trial.trial], mean=values.mean(), low=values.min(), high=values.max(), seeds=len(values))


@click.command(short_help="What the models of a study say of your own images.")
@study_argument
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="'best', an arm, or a trial; may be repeated.  [default: one of each confirmed arm, and their ensemble]",
)
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True, help="Likeliest classes to show.")
@results_option
@json_option
def predict(study: str, images: tuple[Path, ...], models: tuple[str, ...], top: int, results_folder: Any, as_json: bool) -> None:
    """Classify each IMAGE with the confirmed models of STUDY, side by side, and with the mean of their probabilities.

    Images of any size and colour are brought to the size and colour of the study's own. The model of an arm is that of the
    smallest seed of its best configuration; the test accuracy beside it is the mean over all seeds, with the lowest and highest.
    The study's data must be there: its training images say how a model's input is scaled.
    """
    opened = open_named(results_folder, study)
    data = results_of(opened, with_predictions=True)
    chosen = chosen_models(opened, data, models)
    class_names, found = _predicted(opened, chosen, images, data.named)
    names = {trial.trial: trial.arm if [one.arm for one in chosen].count(trial.arm) == 1 else trial.trial for trial in chosen}
    said = {names[trial]: own for trial, own in found.items()}
    accuracies = {names[trial.trial]: _tested(data, trial) for trial in chosen}
    if len(chosen) > 1:
        from sweeper.analysis.ensemble import ensemble_accuracy

        said[ENSEMBLE] = functools.reduce(operator.add, said.values()) / len(said)
        own = ensemble_accuracy(data, list(found))
        accuracies[ENSEMBLE] = Tested(weights=list(found), mean=own, low=own, high=own, seeds=1)
    if as_json:
        print_json(_facts(data.study, images, class_names, said, accuracies))
        return
    _print(images, class_names, said, accuracies, top)


def _predicted(
    opened: OpenedStudy, trials: Sequence[Trial], files: Sequence[Path], typed: str
) -> tuple[tuple[str, ...], dict[str, NDArray[Any]]]:
    """The names of the classes, and the probabilities that each trial's model gives, (images, classes)."""
    from sweeper.models.choosing import weights_of
    from sweeper.models.restoring import keras_of, restored

    dataset, images = read_images(opened, files)
    stored = {trial.trial: weights_of(opened, trial, typed) for trial in trials}
    found = {}
    with quiet(), keras_of(opened.spec):
        from sweeper.training.predicting import probabilities

        for trial in trials:
            model = restored(opened, trial, stored[trial.trial], dataset).model
            found[trial.trial] = probabilities(model, images, dataset.num_classes)
    return dataset.class_names, found


def _facts(
    study: str, files: Sequence[Path], class_names: Sequence[str], said: dict[str, NDArray[Any]], accuracies: dict[str, Tested]
) -> dict[str, Any]:
    return {
        "study": study,
        "test_accuracy": {name: tested.mean for name, tested in accuracies.items()},
        "test_accuracy_of": {name: dataclasses.asdict(tested) for name, tested in accuracies.items()},
        "images": [
            {
                "image": str(file),
                "models": {
                    name: dict(zip(class_names, map(float, probabilities[place]), strict=True))
                    for name, probabilities in said.items()
                },
            }
            for place, file in enumerate(files)
        ],
    }


def _print(
    files: Sequence[Path], class_names: Sequence[str], said: dict[str, NDArray[Any]], accuracies: dict[str, Tested], top: int
) -> None:
    from sweeper.cli._shared import table

    rows: list[list[object]] = []
    for place, file in enumerate(files):
        for name, probabilities in said.items():
            order = probabilities[place].argsort()[::-1][:top]
            likeliest = ", ".join(f"{class_names[label]} {100 * probabilities[place][label]:.0f} %" for label in order)
            rows.append([str(file), name, likeliest, accuracies[name].words])
    table("", ["image", "model", "likeliest classes", "test accuracy"], rows)
    for name, tested in accuracies.items():
        if name != ENSEMBLE:
            click.echo(f"{name} predicts with the weights of {tested.weights[0]}")
