"""Commands about what can be swept: ``list`` and ``describe``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeper.cli._shared import json_option

if TYPE_CHECKING:
    import keras

    from sweeper.storage import Place


@click.command("list", short_help="What can be swept: architectures, datasets, clusters, plots.")
@click.argument("kind", required=False)
@json_option
def list_command(kind: str | None, as_json: bool) -> None:
    """Architectures, search spaces, datasets, cluster kinds and plots, or only those of one KIND."""
    import json

    from sweeper import catalog
    from sweeper.errors import UnknownNameError

    singular = None if kind is None else kind if kind in catalog.PACKAGES else kind.removesuffix("s")
    if singular is not None and singular not in catalog.PACKAGES:
        raise UnknownNameError("kind", str(kind), catalog.PACKAGES)
    kinds = [singular] if singular else list(catalog.PACKAGES)
    found = {kind: {name: catalog.summary(kind, name) for name in catalog.names(kind)} for kind in kinds}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for kind_name, entries in found.items():
        click.echo(f"{kind_name}:")
        width = max(map(len, entries), default=0)
        for name, text in entries.items():
            click.echo(f"  {name:<{width}}  {text}")


def _shape(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    parts = value.split(",")
    if len(parts) != 3 or not all(re.fullmatch(r" *[0-9]{1,5} *", part) and int(part) > 0 for part in parts):
        raise click.BadParameter(f"'{value}' is no shape; write height,width,channels, for example 48,48,1.")
    return tuple(int(part) for part in parts)


input_shape_option = click.option(
    "--input-shape", callback=_shape, metavar="H,W,C", default="32,32,3", show_default=True, help="Height, width and channels."
)
num_classes_option = click.option(
    "--num-classes", type=click.IntRange(2, 1_000_000), default=10, show_default=True, help="Number of classes."
)


def _picture(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix.lower() not in (".png", ".svg"):
        raise click.BadParameter(f"'{value}' ends neither in .png nor in .svg; write for example cnn.png.")
    return value


@click.command(short_help="Parameters, multiply-accumulates, layers of an architecture.")
@click.argument("architecture")
@click.option("--set", "settings", metavar="KNOB=VALUE", multiple=True, help="An argument of the architecture; may be repeated.")
@input_shape_option
@num_classes_option
@click.option(
    "--diagram",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_picture,
    metavar="FILE.png|svg",
    help="Draw the network into this file.",
)
@json_option
def describe(
    architecture: str,
    settings: tuple[str, ...],
    input_shape: tuple[int, int, int],
    num_classes: int,
    diagram: Path | None,
    as_json: bool,
) -> None:
    """Parameters, multiply-accumulates and layers of an ARCHITECTURE, built but not trained."""
    from sweeper import catalog
    from sweeper.cli._shared import build, prepare_keras, print_json, read_settings, shown, table

    catalog.check("architecture", architecture)
    arguments = read_settings(settings, catalog.parameters("architecture", architecture), "knob", architecture)
    prepare_keras()
    model = build(architecture, input_shape, num_classes, arguments)
    from sweeper.training.measure import describe_model, inference_network

    facts = describe_model(model)
    files = [] if diagram is None else [str(_draw(inference_network(model), architecture, arguments, input_shape, diagram))]
    if as_json:
        told = {"architecture": architecture, "arguments": arguments, "input_shape": input_shape, **facts, "files": files}
        print_json(told)
        return
    click.echo(f"{architecture}: {catalog.summary('architecture', architecture)}")
    click.echo(f"input {'x'.join(map(str, input_shape))}, {num_classes} classes")
    is_published = arguments.get("variant") is not None
    if is_published:
        click.echo("  every knob not listed as published for this variant")
    for name, knob in catalog.parameters("architecture", architecture).items():
        if is_published and name not in arguments:
            continue
        value = arguments.get(name, knob.default)
        click.echo(f"  {name} = {'none' if value is None else shown(value) if isinstance(value, bool) else value}")
    click.echo(f"trainable parameters {facts['trainable_parameters']:,} (of {facts['total_parameters']:,})")
    if facts["auxiliary_parameters"]:
        click.echo(f"  and {facts['auxiliary_parameters']:,} in auxiliary heads, which only training uses: counted nowhere else")
    click.echo(f"multiply-accumulates {facts['macs']:,} (FLOPs {facts['flops']:,})")
    rows = [[layer["kind"], layer["count"], layer["parameters"], f"{layer['share']:.1%}"] for layer in facts["layers"]]
    table("layers", ["kind", "count", "parameters", "share"], rows)
    for file in files:
        click.echo(file)


def _draw(
    model: keras.Model, architecture: str, arguments: Mapping[str, object], input_shape: tuple[int, int, int], file: Path
) -> Place:
    """The file with the diagram of a model.

    Raises:
        InputError: It cannot be written.
    """
    from sweeper.cli._shared import shown
    from sweeper.errors import InputError
    from sweeper.plots._diagram import diagram
    from sweeper.plots._style import save_as
    from sweeper.training.blocks import blocks

    knobs = ", ".join(f"{name}={shown(value) if isinstance(value, bool) else value}" for name, value in arguments.items())
    title = f"{architecture} ({knobs})" if knobs else architecture
    picture = diagram(title, blocks(model), input_shape=input_shape)
    try:
        return save_as(picture, file)
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror}). Give another file with --diagram.") from None
