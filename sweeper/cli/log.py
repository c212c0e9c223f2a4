"""The option ``--log``."""

from __future__ import annotations

import click

from sweeper.service.log import NO_LOG, Log


def _opened(context: click.Context, parameter: click.Parameter, path: str | None) -> Log:
    return NO_LOG if path is None else Log(path)


log_option = click.option(
    "--log",
    metavar="FILE",
    callback=_opened,
    help="Append what happens to a file: a line with its time for each trial that ends.",
)
