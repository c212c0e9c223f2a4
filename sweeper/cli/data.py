"""The command about data: ``describe-data``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._completing import named
from sweeper.cli._shared import cache_option, json_option

if TYPE_CHECKING:
    from sweeper.datasets import Dataset
    from sweeper.datasets._audit import Audit
    from sweeper.datasets._sizes import OwnSizes

_FEWEST_SHOWN = 30
"""Classes up to which each has a row of the table; of more, the largest and smallest are shown."""


@click.command("describe-data", short_help="Counts per class and split of a dataset, and an audit of it.")
@click.argument("name", shell_complete=named("dataset"))
@click.option("--path", metavar="P", help="Where the data are; the option path of the dataset.")
@click.option("--set", "settings", metavar="OPTION=VALUE", multiple=True, help="Another option of the dataset; may be repeated.")
@cache_option
@json_option
def describe_data(name: str, path: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Counts per class and split, shape and balance of the dataset NAME, and an audit: repeats, contradictions, flat images.

    This command does read the test split, to count it and to compare it with the others; a search never does.
    """
    from sweeper import catalog
    from sweeper.cli._shared import print_json
    from sweeper.datasets import _named
    from sweeper.datasets._audit import audit
    from sweeper.datasets._sizes import own_sizes

    catalog.check("dataset", name)
    options = _options(name, path, settings)
    data = _named.read(name, options)
    found, own = audit(data), own_sizes(name, options)
    if as_json:
        print_json(_facts(data, found, options) | {"own_sizes": None if own is None else dataclasses.asdict(own)})
    else:
        _show(data, found, own)


def _options(name: str, path: str | None, settings: tuple[str, ...]) -> dict[str, Any]:
    """All options of the dataset: those in ``--path`` and ``--set``, read by their types, and the defaults of the others."""
    from sweeper import catalog
    from sweeper.cli._shared import read_settings
    from sweeper.errors import DatasetError

    known = catalog.parameters("dataset", name)
    if path == "":
        raise DatasetError("--path: it is empty; allowed: the path of a file or a folder.")
    if path is not None and "path" not in known:
        raise DatasetError(f"--path {path}: dataset {name} has no path; leave it out.")
    given = read_settings((*([] if path is None else [f"path={path}"]), *settings), known, "option", f"dataset {name}")
    for key, option_of in known.items():
        if key not in given and option_of.default == catalog.Parameter.REQUIRED:
            how = "--path P" if key == "path" else f"--set {key}=VALUE"
            raise DatasetError(f"dataset {name} needs its option {key}. Add {how}.")
    return {key: given.get(key, option_of.default) for key, option_of in known.items()}


def _facts(data: Dataset, audit: Audit, options: dict[str, Any]) -> dict[str, Any]:
    """Everything that is known of a dataset, as JSON has it; what needs a test split is null without one."""
    from sweeper import catalog

    function = catalog.load("dataset", data.name)
    return {
        "dataset": data.name,
        "options": options,
        "source": function.source,
        "licence": function.licence,
        "shape": data.input_shape,
        "dtype": str(data.train.images.dtype),
        "num_classes": data.num_classes,
        "class_names": data.class_names,
        "counts": {split: dict(zip(data.class_names, counts, strict=True)) for split, counts in audit.counts.items()},
        "balance": {split: _balance(data.class_names, counts) for split, counts in audit.counts.items()},
        "audit": {
            "shared_train_validation": audit.shared_train_validation,
            "shared_train_test": audit.shared_train_test,
            "shared_validation_test": audit.shared_validation_test,
            "conflicting_groups": audit.conflicting_groups,
            "flat_images": audit.flat_images,
        },
        "unreadable": audit.unreadable,
        "notes": data.notes,
    }


def _balance(class_names: tuple[str, ...], counts: tuple[int, ...]) -> dict[str, Any]:
    """How even the classes of one split are.

    ``ratio`` is the largest class over the smallest, null when the smallest is empty; ``largest_share`` is also the accuracy of
    always answering the largest class.
    """
    largest, smallest = max(counts), min(counts)
    return {
        "largest": class_names[counts.index(largest)],
        "smallest": class_names[counts.index(smallest)],
        "ratio": largest / smallest if smallest else None,
        "largest_share": largest / sum(counts),
    }


def _show(data: Dataset, audit: Audit, own: OwnSizes | None) -> None:
    from sweeper import catalog
    from sweeper.cli._shared import table

    function = catalog.load("dataset", data.name)
    click.echo(f"{data.name}: {catalog.summary('dataset', data.name)}")
    click.echo(f"source: {function.source}")
    click.echo(f"licence: {function.licence}")
    size = "x".join(map(str, data.input_shape))
    values = "0 to 255" if str(data.train.images.dtype) == "uint8" else "0 to 1"
    click.echo(f"images: {size} (height, width, channels), {data.train.images.dtype} from {values}, {data.num_classes} classes")
    if own is not None:
        click.echo(own.words)
    for note in data.notes:
        click.echo(f"note: {note}")
    click.echo()
    rows: list[list[object]] = [
        [label, name, *(counts[label] for counts in audit.counts.values())] for label, name in enumerate(data.class_names)
    ]
    if len(rows) > _FEWEST_SHOWN:
        rows.sort(key=lambda row: -int(str(row[2])))
        half = _FEWEST_SHOWN // 2
        rows = rows[:half] + rows[-half:]
        click.echo(f"The {half} largest and {half} smallest of {data.num_classes} classes; --json has all.")
    totals: list[object] = [None, "all", *(sum(counts) for counts in audit.counts.values())]
    table("images per class and split", ["label", "class", *audit.counts], [*rows, totals])
    click.echo()
    for split, counts in audit.counts.items():
        click.echo(_balance_line(split, data.class_names, counts))
    click.echo()
    click.echo("audit")
    can_leave_out = "leave_out_shared" in catalog.parameters("dataset", data.name)
    for line in _audit_lines(audit, can_leave_out=can_leave_out):
        click.echo(f"  {line}")


def _balance_line(split: str, class_names: tuple[str, ...], counts: tuple[int, ...]) -> str:
    found = _balance(class_names, counts)
    if found["ratio"] == 1:
        return f"balance of {split}: every class has {max(counts):,} images."
    if found["ratio"] is None:
        text = f"{found['smallest']} has no image"
    else:
        text = f"{found['largest']} has {found['ratio']:.1f} times the images of {found['smallest']}"
    return f"balance of {split}: {text}; always answering {found['largest']} is right in {found['largest_share']:.1%}."


def _audit_lines(audit: Audit, *, can_leave_out: bool) -> list[str]:
    """One line for each number, saying what it counts, and what it means unless it is 0."""
    num_validation, num_test = (sum(audit.counts.get(split, ())) for split in ("validation", "test"))
    of_validation, of_test = f"of {num_validation:,} validation images, those", f"of {num_test:,} test images, those"
    occur = "whose pixels also occur in"
    texts = {
        "shared_train_validation": (f"{of_validation} {occur} train.", "Validation accuracy rewards remembering them."),
        "shared_train_test": (f"{of_test} {occur} train.", "Test accuracy rewards remembering them."),
        "shared_validation_test": (f"{of_test} {occur} validation.", "What is chosen by validation has seen them."),
        "conflicting_groups": (
            "groups of images with the same pixels and different labels, over all splits.",
            "No model can be right about all of them.",
        ),
        "flat_images": ("images of a single colour, over all splits.", "There is nothing on them to learn from."),
    }
    lines = []
    for name, (what, meaning) in texts.items():
        count = getattr(audit, name)
        if count is None:
            lines.append(f"{name}: there is no test split.")
        else:
            lines.append(f"{name} {count:,}: {what}{f' {meaning}' if count else ''}")
    if num_unreadable := sum(audit.unreadable.values()):
        told = ", ".join(f"{count:,} of {split}" for split, count in audit.unreadable.items() if count)
        lines.append(f"unreadable {num_unreadable:,}: files that cannot be used and were left out: {told}.")
    if can_leave_out and (audit.shared_train_validation or audit.shared_train_test):
        lines.append("The option leave_out_shared: true leaves the shared images out of training.")
    return lines
