"""The card of a model: what it is, how good, on which data, how it is used and made again, and what it does not say."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sweeper import catalog
from sweeper.analysis.seeds import seeds_table
from sweeper.ledger.records import Stage

if TYPE_CHECKING:
    from sweeper.analysis.results import Results
    from sweeper.models.exporting import Exported

MOST_CLASSES = 20
"""Classes that are listed; more are in the file beside the model."""

ACCURACIES = {"validation accuracy": "val_accuracy", "test accuracy": "test_accuracy"}

FITS = {
    "crop": "of one that is not square the centre is kept",
    "pad": "black is laid beside one that is not square",
    "stretch": "one that is not square is distorted",
}


def card(results: Results, exported: Exported) -> str:
    """The card as Markdown.

    Args:
        results: The results of the study, of all stages.
        exported: The model.
    """
    row = {str(name): value for name, value in results.trials.set_index("trial").loc[exported.trial].items()}
    sections = {
        "Use": _use(exported),
        "How good it is": [*_scores(results, exported, row), "", *_how_measured(results, exported, row)],
        "Data": _data(exported),
        "Network": _network(exported, row),
        "Made again": _reproduce(results, exported, row),
        "What this does not say": _limits(exported),
    }
    lines = [f"# {exported.architecture} of study {results.study}", ""]
    lines += [
        f"It takes images and gives the probability of each of {len(exported.classes)} classes. {_checked(exported)}",
        "",
    ]
    for title, body in sections.items():
        lines += [f"## {title}", "", *body, ""]
    return "\n".join(lines).rstrip() + "\n"


def _checked(exported: Exported) -> str:
    found = f"validation accuracy {exported.val_accuracy:.4f}"
    beside = "as recorded" if exported.is_exact else f"where {exported.recorded:.4f} is recorded, which rounding explains"
    return f"When it was written, it was read back and tried on the {exported.images:,} validation images: {found}, {beside}."


def _use(exported: Exported) -> list[str]:
    _, _, channels = exported.input_shape
    size = "x".join(map(str, exported.input_shape[:2]))
    values = "uint8 from 0 to 255" if exported.image_dtype == "uint8" else "float32 from 0 to 1"
    return [
        f"Images: (number, height, width, {channels}), {values}, {'red, green, blue' if channels == 3 else 'grey'}; any number, "
        f"any height and width. They are brought to {size} inside; {FITS[exported.fit]}. They are standardised inside, too.",
        "",
        "```python",
        *snippet(exported),
        "```",
    ]


def snippet(exported: Exported) -> list[str]:
    """Python that loads the model and predicts one picture; it needs this package nowhere."""
    name = exported.file.name
    imports, load, predict = {
        "keras": (["keras"], [f'model = keras.models.load_model("{name}")'], "model.predict(image[None], verbose=0)[0]"),
        "savedmodel": (
            ["tensorflow as tf"],
            [f'model = tf.saved_model.load("{name}")'],
            "model.serve(image[None]).numpy()[0]",
        ),
        "onnx": (
            ["onnxruntime"],
            [f'model = onnxruntime.InferenceSession("{name}")', "place = model.get_inputs()[0].name"],
            "model.run(None, {place: image[None]})[0][0]",
        ),
        "litert": (
            ["tensorflow as tf"],
            [f'model = tf.lite.Interpreter("{name}")  # or ai_edge_litert.interpreter.Interpreter'],
            'model.get_tensor(model.get_output_details()[0]["index"])[0]',
        ),
    }[exported.kind]
    sizing = [
        'place = model.get_input_details()[0]["index"]',
        "model.resize_tensor_input(place, image[None].shape)",
        "model.allocate_tensors()",
        "model.set_tensor(place, image[None])",
        "model.invoke()",
    ]
    is_color = exported.input_shape[2] == 3
    pixels = f'np.asarray(Image.open("photo.png").convert("{"RGB" if is_color else "L"}"))'
    pixels += "" if is_color else "[..., None]"
    return [
        "import json",
        "",
        *(f"import {module}" for module in sorted([*imports, "numpy as np"])),
        "from PIL import Image",
        "",
        *load,
        f'class_names = json.load(open("{name}.json"))["class_names"]',
        f"image = {pixels}" if exported.image_dtype == "uint8" else f'image = ({pixels} / 255).astype("float32")',
        *(sizing if exported.kind == "litert" else []),
        f"probabilities = {predict}",
        "print(class_names[probabilities.argmax()], probabilities.max())",
    ]


def _scores(results: Results, exported: Exported, row: Mapping[str, Any]) -> list[str]:
    is_confirmed = row["stage"] == Stage.CONFIRM
    columns = ["", "this model", *(["mean over seeds, 95 % interval"] if is_confirmed else [])]
    lines = [_cells(columns), _cells(["---"] * len(columns))]
    for name, column in ACCURACIES.items():
        value = float(row[column]) if row.get(column) is not None else math.nan
        if math.isfinite(value):
            lines.append(_cells([name, f"{value:.4f}", *([_over_seeds(results, row, column)] if is_confirmed else [])]))
    for name, column in (("one image", "latency_ms"), ("32 images", "latency_ms_batch32")):
        value = float(row[column]) if row[column] is not None else math.nan
        if math.isfinite(value):
            lines.append(_cells([f"milliseconds for {name}", f"{value:.2f}", *([""] if is_confirmed else [])]))
    return lines


def _over_seeds(results: Results, row: Mapping[str, Any], column: str) -> str:
    """The mean of a confirmed configuration with its interval and the number of seeds."""
    table = seeds_table(results, stage=Stage.CONFIRM, column=column)
    own = table[table["parent"] == row["parent"]].iloc[0]
    interval = f" [{own['low']:.4f}, {own['high']:.4f}]" if math.isfinite(own["low"]) else ", no interval"
    return f"{own['mean']:.4f}{interval}, {own['n']} seed{'' if own['n'] == 1 else 's'}"


def _how_measured(results: Results, exported: Exported, row: Mapping[str, Any]) -> list[str]:
    told = [f"Validation: {exported.images:,} images that the network was not trained on, after its last epoch."]
    if row["stage"] == Stage.CONFIRM:
        told.append(
            f"The configuration is that of {row['parent']}, trained anew on fresh seeds; of these, this model is one, and the "
            "interval is of the mean over them. What another training of the same configuration reaches varies with its seed."
        )
        told.append(
            "Test images had no part in training and in the search. Confirmed configurations are ranked by their mean over "
            "seeds, on test images where there are some; `best` and the name of an arm then mean the smallest seed, whatever its "
            "score."
        )
    else:
        told.append(
            f"It is one training of {len(results.trials):,}, and what is chosen as the best was lucky as well: expect less on "
            f"new images. Fresh seeds and test images tell how much less: `sweeper confirm {results.named}`."
        )
    if row["latency_ms"] is not None and math.isfinite(float(row["latency_ms"])):
        told.append(
            "Times are of the network alone, a median over forward passes on an otherwise idle machine, without resizing."
        )
    return [" ".join(told)]


def _data(exported: Exported) -> list[str]:
    named = ", ".join(exported.classes[:MOST_CLASSES])
    more = len(exported.classes) - MOST_CLASSES
    return [
        f"- dataset: {exported.dataset}, {catalog.summary('dataset', exported.dataset)[:1].lower()}"
        f"{catalog.summary('dataset', exported.dataset)[1:]}",
        f"- source: {exported.source}",
        f"- licence: {exported.licence}",
        f"- images: {exported.train_images:,} for training, {exported.images:,} for validation, "
        f"{'x'.join(map(str, exported.input_shape))} (height, width, channels)",
        f"- classes: {named}{f' and {more:,} more, see {exported.file.name}.json' if more > 0 else ''}",
    ]


def _network(exported: Exported, row: Mapping[str, Any]) -> list[str]:
    configuration = json.loads(row["configuration"])
    knobs = ", ".join(f"{name} {_plain(value)}" for name, value in configuration.items())
    return [
        f"- architecture: {exported.architecture}: {catalog.summary('architecture', exported.architecture)}",
        f"- from: {catalog.load('architecture', exported.architecture).paper}",
        f"- size: {float(row['parameters']):,.0f} trainable parameters, {float(row['macs']):,.0f} multiply-accumulates an image",
        f"- trained: {row['epoch']:.0f} of {row['max_epochs']:.0f} epochs, from {_beginning(configuration)}",
        f"- configuration: {knobs}",
    ]


def _beginning(configuration: Mapping[str, Any]) -> str:
    weights = configuration.get("weights", "none")
    return "random weights" if weights == "none" else f"weights of {weights}"


def _reproduce(results: Results, exported: Exported, row: Mapping[str, Any]) -> list[str]:
    versions = json.loads(row["versions"]) if row["versions"] else {}
    told = ", ".join(f"{name} {value}" for name, value in versions.items())
    lines = [
        "```bash",
        f"sweeper retrain {results.named} {exported.trial} --keep   # trains it again and compares every epoch",
        f"sweeper model {results.named} {exported.trial} --out {exported.file.name}{_format_option(exported)}",
        "```",
        "",
        f"- study: {results.study}, {row['study_id']}; trial {exported.trial}, seed {row['seed']:.0f}",
        f"- trained on: {row['device']}; {told}",
    ]
    return [*lines, f"- code: commit {row['commit']}"] if row["commit"] else lines


def _format_option(exported: Exported) -> str:
    return " --format savedmodel" if exported.kind == "savedmodel" else ""


def _limits(exported: Exported) -> list[str]:
    return [
        "- The numbers hold for images like those it was tried on. Nothing was measured of other cameras, places, people or "
        "years, nor of how evenly it errs among groups.",
        f"- Every image gets one of the {len(exported.classes)} classes, also one that shows none of them.",
        "- Probabilities are those of the network; `sweeper plot STUDY calibration` shows whether to take them at their word.",
        "- Images of another size are resized as the dataset resizes files, to within one step of 255 a pixel; an image of the "
        "right size stays as it is.",
        "- The licence of the data may bind the model as well. This card does not say what is allowed.",
    ]


def _cells(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
