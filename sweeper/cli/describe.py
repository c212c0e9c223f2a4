"""Commands about what can be swept: ``list`` and ``describe``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sweeper.cli._completing import kinds, named
from sweeper.cli._networks import input_shape_option, num_classes_option
from sweeper.cli._shared import json_option
from sweeper.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Command = TypeVar("Command", bound=Callable[..., object])


@click.command("list", short_help="What can be swept: architectures, datasets, clusters, plots.")
@click.argument("kind", required=False, shell_complete=kinds)
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
    found = {kind: {name: _summary(kind, name) for name in catalog.names(kind)} for kind in kinds}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for kind_name, entries in found.items():
        click.echo(f"{kind_name}:")
        width = max(map(len, entries), default=0)
        for name, text in entries.items():
            click.echo(f"  {name:<{width}}  {text}")


def _summary(kind: str, name: str) -> str:
    """What it is, and where it comes from unless it is built in."""
    from sweeper import catalog

    text, origin = catalog.summary(kind, name), catalog.origin(kind, name)
    return text if origin == catalog.BUILT_IN else f"{text or 'no description'} ({origin})"


def _picture(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix.lower() not in (".png", ".svg"):
        raise click.BadParameter(f"'{value}' ends neither in .png nor in .svg; write for example cnn.png.")
    return value


def _picture_option(name: str, text: str) -> Callable[[Command], Command]:
    """An option that names a picture to be drawn."""
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option(name, type=kind, callback=_picture, metavar="FILE.png|svg", help=text)


@click.command(short_help="Parameters, multiply-accumulates, memory of an architecture.")
@click.argument("architecture", shell_complete=named("architecture"))
@click.option("--set", "settings", metavar="KNOB=VALUE", multiple=True, help="An argument of the architecture; may be repeated.")
@input_shape_option
@num_classes_option
@_picture_option("--diagram", "Draw the network into this file.")
@_picture_option("--parameters", "Draw into this file where the parameters sit.")
@_picture_option("--gradient-flow", "Draw into this file how large the gradient of each layer is, with and without skips.")
@click.option(
    "--activations",
    type=click.Path(path_type=Path),
    metavar="IMAGE",
    help="Of a confirmed STUDY, named in place of ARCHITECTURE: draw what its best model makes of this image; see activations.",
)
@click.option("--latency", is_flag=True, help="Time the forward pass of 1 and of 32 images on this machine.")
@json_option
def describe(
    architecture: str,
    settings: tuple[str, ...],
    input_shape: tuple[int, int, int],
    num_classes: int,
    diagram: Path | None,
    parameters: Path | None,
    gradient_flow: Path | None,
    activations: Path | None,
    latency: bool,
    as_json: bool,
) -> None:
    """Parameters, multiply-accumulates, memory and layers of an ARCHITECTURE, built but not trained."""
    if activations is not None:
        from sweeper.cli.activations import activations as look_inside

        click.get_current_context().invoke(look_inside, study=architecture, image=activations, as_json=as_json)
        return
    from sweeper import catalog
    from sweeper.cli._networks import build, prepare_keras
    from sweeper.cli._shared import print_json, read_settings, shown

    pictures = [file.resolve() for file in (diagram, parameters, gradient_flow) if file is not None]
    if len({*pictures}) < len(pictures):
        raise InputError("two pictures cannot have one name; give --diagram, --parameters and --gradient-flow a file each.")
    catalog.check("architecture", architecture)
    arguments = read_settings(settings, catalog.parameters("architecture", architecture), "knob", architecture)
    prepare_keras()
    model = build(architecture, input_shape, num_classes, arguments)
    from sweeper.training.measuring.measure import describe_model, inference_network
    from sweeper.training.measuring.memory import memory_of
    from sweeper.training.measuring.shares import parameter_shares

    network = inference_network(model)
    facts, shares = {**describe_model(model), **memory_of(network)}, parameter_shares(network)
    knobs = ", ".join(f"{name}={shown(value) if isinstance(value, bool) else value}" for name, value in arguments.items())
    title = f"{architecture} ({knobs})" if knobs else architecture
    files = _drawn(title, network, input_shape, diagram, parameters)
    gradients: dict[str, object] = {}
    if gradient_flow is not None:
        from sweeper.cli._gradients import measured_gradients

        gradients, picture = measured_gradients(title, architecture, arguments, input_shape, num_classes)
        files.append(_saved(picture, gradient_flow, "--gradient-flow"))
    times = _latency(architecture, arguments, input_shape, num_classes) if latency else {}
    if as_json:
        asked = {"architecture": architecture, "arguments": arguments, "input_shape": input_shape}
        print_json({**asked, **facts, **times, "parameter_shares": shares, **gradients, "files": files})
        return
    click.echo(f"{architecture}: {catalog.summary('architecture', architecture)}")
    click.echo(f"input {'x'.join(map(str, input_shape))}, {num_classes} classes")
    _print_knobs(architecture, arguments)
    _print_sizes(facts, times)
    for file in files:
        click.echo(file)


def _drawn(
    title: str, network: Any, input_shape: tuple[int, int, int], diagram: Path | None, parameters: Path | None
) -> list[str]:
    """The files with the pictures of a network's structure that are asked for."""
    from sweeper.training.measuring.blocks import blocks
    from sweeper.training.measuring.shares import parameter_shares

    files = []
    if diagram is not None:
        from sweeper.plots._diagram import diagram as drawn

        files.append(_saved(drawn(title, blocks(network), input_shape=input_shape), diagram, "--diagram"))
    if parameters is not None:
        from sweeper.plots._parameters import parameters as drawn_parameters

        files.append(_saved(drawn_parameters(title, parameter_shares(network)), parameters, "--parameters"))
    return files


def _print_knobs(architecture: str, arguments: Mapping[str, Any]) -> None:
    """Every knob with its value, and which of them differ from the variant's."""
    from sweeper import catalog
    from sweeper.cli._shared import shown

    defaults = {name: knob.default for name, knob in catalog.parameters("architecture", architecture).items()}
    variant = arguments.get("variant")
    usual = defaults | getattr(catalog.load("architecture", architecture), "sizes", {}).get(variant, {})
    for name, value in (usual | arguments).items():
        click.echo(f"  {name} = {'none' if value is None else shown(value) if isinstance(value, bool) else value}")
    changed = [name for name, value in arguments.items() if name != "variant" and value != usual[name]]
    if variant is not None and changed:
        click.echo(f"  other than in variant {variant}: {', '.join(changed)}")


def _print_sizes(facts: Mapping[str, Any], times: Mapping[str, float]) -> None:
    """Parameters, multiply-accumulates, memory, times and layers."""
    from sweeper.cli._shared import table

    click.echo(f"trainable parameters {facts['trainable_parameters']:,} (of {facts['total_parameters']:,})")
    if facts["auxiliary_parameters"]:
        click.echo(f"  and {facts['auxiliary_parameters']:,} in auxiliary heads, which only training uses: counted nowhere else")
    click.echo(f"multiply-accumulates {facts['macs']:,} (FLOPs {facts['flops']:,})")
    click.echo(f"weights {facts['weights_mb']:.3g} MB")
    click.echo(f"activations of one image {facts['activation_mb']:.3g} MB, at most {facts['peak_activation_mb']:.3g} MB at once")
    for key, value in times.items():
        click.echo(f"{key} {value:.3g}")
    rows = [[layer["kind"], layer["count"], layer["parameters"], f"{layer['share']:.1%}"] for layer in facts["layers"]]
    table("layers", ["kind", "count", "parameters", "share"], rows)


def _saved(picture: Figure, file: Path, option: str) -> str:
    """The file with a picture in it.

    Raises:
        InputError: It cannot be written.
    """
    from sweeper.plots._style import save_as

    try:
        return str(save_as(picture, file))
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror}). Give another file with {option}.") from None


def _latency(
    architecture: str, arguments: Mapping[str, object], input_shape: tuple[int, int, int], num_classes: int
) -> dict[str, float]:
    """Medians of 50 forward passes of 1 and of 32 images, each measured in a process of its own, in ms."""
    from sweeper.cli.benchmark import in_a_process

    batches = {"latency_ms": 1, "latency_ms_batch32": 32}
    return {
        key: in_a_process(architecture, dict(arguments), input_shape, num_classes, batch, runs=50)["median_ms"]
        for key, batch in batches.items()
    }
