"""The command ``benchmark``: how fast architectures answer on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._completing import named
from sweeper.cli._networks import input_shape_option, num_classes_option
from sweeper.cli._shared import json_option, out_option

if TYPE_CHECKING:
    from sweeper.owncode import Code
    from sweeper.storage import Place


@click.command(short_help="Inference time, throughput and memory of architectures.")
@click.argument("architectures", nargs=-1, required=True, metavar="ARCHITECTURE...", shell_complete=named("architecture"))
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1, 65536),
    multiple=True,
    default=(1, 32),
    show_default=True,
    help="Images at once; may be repeated.",
)
@input_shape_option
@num_classes_option
@click.option("--runs", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Timed forward passes.")
@out_option("Draw the two-panel figure (PNG and SVG) into this folder.")
@json_option
def benchmark(
    architectures: tuple[str, ...],
    batches: tuple[int, ...],
    input_shape: tuple[int, int, int],
    num_classes: int,
    runs: int,
    out: Place | None,
    as_json: bool,
) -> None:
    """Time the forward pass of each ARCHITECTURE at its defaults, or at a published size: NAME:VARIANT, for example resnet:50."""
    from sweeper.cli._shared import print_json, table

    asked = [_asked(text) for text in dict.fromkeys(architectures)]
    measured: dict[int, list[dict[str, Any]]] = {batch: [] for batch in batches}
    for name, arguments in asked:
        label = ":".join([name, *map(str, arguments.values())])
        for batch, rows in measured.items():
            found = in_a_process(name, arguments, input_shape, num_classes, batch, runs)
            rows.append({**found, "architecture": label})
    files = []
    if out is not None:
        from sweeper.cli.figures import save_figure
        from sweeper.plots._inference import inference

        for batch, rows in measured.items():
            files += save_figure(inference(rows), out, f"inference_batch{batch}")
    if as_json:
        every = [row for rows in measured.values() for row in rows]
        print_json({"input_shape": input_shape, "benchmarks": every, "files": [str(file) for file in files]})
        return
    columns = [
        "architecture",
        "median_ms",
        "low_ms",
        "high_ms",
        "images_per_s",
        "parameters",
        "macs",
        "weights_mb",
        "peak_memory_mb",
    ]
    for batch, rows in measured.items():
        title = f"batch {batch} of {'x'.join(map(str, input_shape))}, {runs} passes, {rows[0]['device']}"
        table(title, columns, [[row[column] for column in columns] for row in rows])
    for file in files:
        click.echo(file)


def _asked(text: str) -> tuple[str, dict[str, Any]]:
    """The architecture and arguments in ``NAME`` or ``NAME:VARIANT``."""
    from sweeper import catalog
    from sweeper.errors import KnobError, UnknownNameError
    from sweeper.study.published import spaces_of

    name, separator, variant = text.partition(":")
    catalog.check("architecture", name)
    options = [str(option) for own in spaces_of(name).values() for option in own]
    if separator and not options:
        raise KnobError(f"{text}: {name} has no published variants; write {name} alone.")
    if separator and variant not in options:
        raise UnknownNameError(f"variant of {name}", variant, options)
    return name, {"variant": variant} if separator else {}


def in_a_process(
    name: str, arguments: dict[str, Any], input_shape: tuple[int, int, int], num_classes: int, batch: int, runs: int
) -> dict[str, Any]:
    """The fields of `Inference` measured in a fresh process: nothing of an architecture measured before is in its memory."""
    import concurrent.futures
    import multiprocessing

    from sweeper import catalog
    from sweeper.cli._networks import prepare_keras
    from sweeper.errors import SweeperError

    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context, initializer=prepare_keras) as pool:
        try:
            return pool.submit(_measure, catalog.current(), name, arguments, input_shape, num_classes, batch, runs).result()
        except concurrent.futures.process.BrokenProcessPool:
            raise SweeperError(
                f"{name}: the process that measured it died, most likely out of memory with a batch of {batch}. "
                "Choose fewer images at once, or a smaller --input-shape."
            ) from None


def _measure(code: Code | None, *arguments: Any) -> dict[str, Any]:
    import dataclasses

    from sweeper import catalog
    from sweeper.cli._networks import quiet

    with catalog.using(code), quiet():
        from sweeper.training.measuring.inference import measure_inference

        return dataclasses.asdict(measure_inference(*arguments))
