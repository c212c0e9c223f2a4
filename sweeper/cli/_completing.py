"""The names that a shell completes. Nothing heavy is loaded: somebody pressed a key and waits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def named(kind: str) -> Complete:
    """Completes the names of one kind of the catalog, each with its summary."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from sweeper import catalog

        return [
            CompletionItem(name, help=catalog.summary(kind, name)) for name in catalog.names(kind) if name.startswith(incomplete)
        ]

    return complete


def kinds(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the kinds of the catalog."""
    from sweeper import catalog

    return [CompletionItem(kind) for kind in catalog.PACKAGES if kind.startswith(incomplete)]


def studies(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the studies of the folder of results, if that is on this machine; or folders, where a path is being written."""
    results = Path(str(context.params.get("results_folder") or "results"))
    if os.sep in incomplete:
        return [CompletionItem(incomplete, type="dir")]
    try:
        found = sorted(entry.name for entry in os.scandir(results) if os.path.isfile(os.path.join(entry.path, "study.yaml")))
    except OSError:
        return []
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def formats(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes what `export` can write."""
    names = ("csv", "mlflow", "optuna", "parquet", "tensorboard", "wandb")
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
