"""Commands for a user's own code: ``new`` and ``check-code``."""

from __future__ import annotations

import keyword
import sys
from pathlib import Path

import click

from sweeper.cli._networks import shape_of
from sweeper.cli._shared import counted, json_option, print_json
from sweeper.errors import InputError

FOLDER = "my_code/"
"""Where own code goes unless another folder is named."""

ARCHITECTURE = '''\
"""NAME: two convolutions and a dense layer, to begin with."""

from __future__ import annotations

from typing import Annotated, Literal

import keras

from sweeper import Float, Int


def NAME(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    # What is searched says a range or its options, and has a default.
    width: Annotated[int, Int(low=8, high=64, log=True)] = 16,
    dropout: Annotated[float, Float(low=0.0, high=0.5)] = 0.2,
    pooling: Literal["max", "average"] = "max",
    batch_norm: bool = True,
    # What says no range is not searched. A study may fix it: arms: {NAME: {fixed: {kernel_size: 5}}}
    kernel_size: int = 3,
) -> keras.Model:
    """A network that ends in logits, one number per class: no softmax. Images come standardised, so nothing rescales them."""
    pool = keras.layers.MaxPooling2D if pooling == "max" else keras.layers.AveragePooling2D
    image = keras.Input(input_shape)
    x = image
    for filters in (width, 2 * width):
        x = keras.layers.Conv2D(filters, kernel_size, padding="same", use_bias=not batch_norm)(x)
        if batch_norm:
            x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Activation("relu")(x)
        x = pool(2, padding="same")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x)
    logits = keras.layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(image, logits, name="NAME")
'''
"""What ``new architecture`` writes."""


@click.command(short_help="Write a first file of your own code.")
@click.argument("kind", type=click.Choice(["architecture"]))
@click.argument("name")
@click.option("--code", "folder", metavar="FOLDER", default=FOLDER, show_default=True, help="The folder of your own code.")
def new(kind: str, name: str, folder: str) -> None:
    """Write a commented file for an architecture NAME of your own, which runs as it is, and say how to go on.

    A file that is there is never written over.
    """
    from sweeper import catalog
    from sweeper.errors import ResultsFolderError

    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise InputError(f"'{name}' cannot be the name of a function. Use letters, digits and '_', and a letter first.")
    if name in catalog.names(kind):
        raise InputError(
            f"the {kind} '{name}' exists already ({catalog.origin(kind, name)}). Choose another name, for example my_{name}."
        )
    root = f"{folder.rstrip('/')}/"
    file = Path(root, "architectures", f"{name}.py")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(ARCHITECTURE.replace("NAME", name))
    except FileExistsError:
        raise InputError(f"{file} exists already, and is not written over. Choose another name, or edit it.") from None
    except OSError as error:
        raise ResultsFolderError(f"{file} cannot be written: {error.strerror}. Choose another folder with --code.") from None
    click.echo(f"{file}: edit it, then")
    click.echo(f"  sweeper check-code {root}")
    click.echo(f"  sweeper launch STUDY.yaml --code {root}    # with: arms: {{{name}: {{}}}}")


@click.command("check-code", short_help="Check your own architectures, spaces, datasets and plots.")
@click.argument("folder")
@click.option("--backend", default="tensorflow", show_default=True, help="Backend of Keras: tensorflow, jax or torch.")
@click.option(
    "--input-shape",
    callback=shape_of,
    metavar="H,W,C",
    help="Height, width and channels of your images; default: four sizes in turn.",
)
@json_option
def check_code(folder: str, backend: str, input_shape: tuple[int, int, int] | None, as_json: bool) -> None:
    """Check all that is in FOLDER; each finding is a sentence, and with one the exit code is 1.

    Networks must build on images of several sizes and at the ends of their knobs, give one float32 logit per class, have a
    gradient at every weight, follow from the seed, be restored from their weights alone, and run in mixed precision, too. Search
    spaces must fit their architectures. Datasets are read with the defaults of their options; plots are loaded, not drawn.
    """
    from sweeper import catalog
    from sweeper.cli._code import read_code
    from sweeper.cli._networks import prepare_keras, quiet

    code = read_code(folder)
    prepare_keras(backend)
    with catalog.using(code), quiet():
        from sweeper.training import conformance

        found = conformance.of_code(code, conformance.SHAPES if input_shape is None else (input_shape,))
    num_findings = sum(len(look.findings) for look in found.values())
    if as_json:
        findings, told = ({path: [*getattr(look, what)] for path, look in found.items()} for what in ("findings", "told"))
        print_json({"folder": code.origin, "backend": backend, "notes": code.notes, "findings": findings, "told": told})
    else:
        for note in code.notes:
            click.echo(f"note: {note}")
        for path, look in found.items():
            click.echo(f"{code.origin}{path}: {counted(len(look.findings), 'finding') if look.findings else 'no finding'}")
            for sentence in look.findings:
                click.echo(f"  - {sentence}")
            for sentence in look.told:
                click.echo(f"    note: {sentence}")
    if num_findings:
        sys.exit(1)
