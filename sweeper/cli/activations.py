"""The command ``activations``: what a model makes of one image, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._models import chosen_models, read_images
from sweeper.cli._networks import quiet
from sweeper.cli._shared import json_option, open_named, out_option, print_json, results_of, results_option, study_argument
from sweeper.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.trial import Trial
    from sweeper.storage import Place
    from sweeper.training.activations import Activations

KINDS = ("feature_maps", "attention", "gates")
"""Figures there may be, and how their files begin."""


@click.command(short_help="What a model makes of an image, layer by layer.")
@study_argument
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--model", default="best", show_default=True, metavar="MODEL", help="'best', an arm, or a trial.")
@results_option
@out_option("Where to write; default: figures/ in the study's folder.")
@json_option
def activations(study: str, image: Path, model: str, results_folder: Place, out: Place | None, as_json: bool) -> None:
    """Draw what a model of STUDY makes of IMAGE: feature maps, attention, and gates of squeeze-and-excitation.

    A figure for each of the three that the network has: the strongest channels of each block; how much attention each place of
    the image gets in each layer; how open the gates over channels are. An image of any size and colour is brought to the size and
    colour of the study's own. The study's data must be there: its training images say how a model's input is scaled.
    """
    from sweeper.cli.figures import save_figure

    opened = open_named(results_folder, study)
    data = results_of(opened)
    (trial,) = chosen_models(opened, data, [model])
    class_names, pixels, seen = _seen(opened, trial, image, data.named)
    order = seen.probabilities.argsort()[::-1]
    likeliest = ", ".join(f"{class_names[label]} {100 * seen.probabilities[label]:.0f} %" for label in order[:3])
    figures = _figures(f"{trial.trial} on {image.name}", pixels, seen)
    if not figures:
        raise InputError(
            f"{trial.trial} has no feature map, no attention and no gate to show: none of its layers keeps the image's places."
        )
    files = []
    for kind, figure in figures.items():
        files += save_figure(figure, out or opened.folder / "figures", f"{kind}_{trial.trial}_{image.stem}")
    if as_json:
        print_json(
            {"study": opened.first.name, "trial": trial.trial, "arm": trial.arm, "image": str(image)}
            | _facts(class_names, seen)
            | {"files": [str(file) for file in files]}
        )
        return
    click.echo(f"{trial.trial} ({trial.arm}): {likeliest}")
    for file in files:
        click.echo(file)
    for kind in KINDS:
        if kind not in figures:
            click.echo(f"not drawn: {kind.replace('_', ' ')}: the network has none", err=True)


def _seen(opened: OpenedStudy, trial: Trial, image: Path, typed: str) -> tuple[tuple[str, ...], NDArray[Any], Activations]:
    """The names of the classes, the image as the model gets it, and what the model makes of it."""
    from sweeper.models.choosing import weights_of
    from sweeper.models.restoring import keras_of, restored

    dataset, images = read_images(opened, [image])
    stored = weights_of(opened, trial, typed)
    with quiet(), keras_of(opened.spec):
        from sweeper.training.activations import activations

        model = restored(opened, trial, stored, dataset).model
        return dataset.class_names, images[0], activations(model, images[0])


def _figures(name: str, pixels: NDArray[Any], seen: Activations) -> dict[str, Figure]:
    """The figures there are something for, by kind."""
    from sweeper.plots import _activations as drawn

    figures = {}
    if seen.feature_maps:
        figures["feature_maps"] = drawn.feature_maps(name, pixels, seen.feature_maps)
    if seen.attention:
        figures["attention"] = drawn.attention(name, pixels, seen.attention)
    if seen.gates:
        figures["gates"] = drawn.gates(name, seen.gates)
    return figures


def _facts(class_names: tuple[str, ...], seen: Activations) -> dict[str, Any]:
    """The numbers behind the figures."""
    from sweeper.plots._activations import attention_frame, channel_frame, gate_frame

    return {
        "probabilities": dict(zip(class_names, seen.probabilities, strict=True)),
        "feature_maps": channel_frame(seen.feature_maps).to_dict("records"),
        "attention": attention_frame(seen.attention).to_dict("records"),
        "gates": gate_frame(seen.gates).to_dict("records"),
    }
