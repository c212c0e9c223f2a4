"""The command ``model``: a trained model as a file that needs nothing of this package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import cache_option, json_option, open_named, print_json, results_of, results_option, study_argument

if TYPE_CHECKING:
    from sweeper.models.exporting import Exported


@click.command(short_help="A trained model as a file with a card, for use without sweeper.")
@study_argument
@click.argument("model", metavar="TRIAL|ARM|best")
@click.option("--out", "file", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Where to write the model.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["keras", "savedmodel", "onnx", "litert"]),
    help="Default: what FILE ends in: .keras, .onnx or .tflite.",
)
@click.option("--force", is_flag=True, help="Replace an older model of that name.")
@results_option
@cache_option
@json_option
def model(study: str, model: str, file: Path, kind: str | None, force: bool, results_folder: Any, as_json: bool) -> None:
    """Write the model of a trial of STUDY, of the best one of an arm, or of the best of all: raw images in, probabilities out.

    Beside FILE, FILE.json has the names of the classes, and FILE.md says what the model is, how good, and how to use it. First
    the model is read back and tried on the validation images: it is written only if it gives what is recorded.
    """
    from sweeper.cli._networks import quiet
    from sweeper.models.writing import write_model

    opened = open_named(results_folder, study)
    results = results_of(opened)
    with quiet():
        exported = write_model(opened, results, model, file, kind=kind, force=force)
    if as_json:
        print_json(_facts(results.study, exported))
        return
    click.echo(f"{exported.file}  {exported.trial}, {exported.kind}")
    click.echo(f"{exported.file}.json  names of the {len(exported.classes)} classes")
    click.echo(f"{exported.file}.md  what it is, how good, how to use it")
    click.echo(_closing(exported))


def _closing(exported: Exported) -> str:
    """What the check found."""
    accuracy = f"validation accuracy {exported.val_accuracy:.4f}"
    told = f"{accuracy}, as recorded"
    if not exported.is_exact:
        told = f"{accuracy}, {exported.recorded:.4f} recorded: that is rounding, on {exported.images:,} images"
    if exported.prediction_difference is not None:
        told += f"; probabilities as kept, to {exported.prediction_difference:.1g}"
    if exported.other_difference is not None:
        told += f"; as {exported.kind} the same, to {exported.other_difference:.1g}"
    elif exported.kind != "keras":
        told += f"; as {exported.kind} not tried: nothing here runs it"
    return told


def _facts(study: str, exported: Exported) -> dict[str, Any]:
    from sweeper.models.exporting import sidecar

    return {
        "study": study,
        "trial": exported.trial,
        "files": [str(exported.file), f"{exported.file}.json", f"{exported.file}.md"],
        **sidecar(exported),
        "recorded_val_accuracy": exported.recorded,
        "as_recorded": exported.is_exact,
        "validation_images": exported.images,
        "largest_difference_to_predictions": exported.prediction_difference,
        "largest_difference_to_keras": exported.other_difference,
    }
