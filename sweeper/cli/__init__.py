"""The command line. Each command imports what it needs when it runs, so ``--help`` and ``list`` load nothing heavy.

Facts go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 the work itself failed, 2 the input is wrong, 130
interrupted with everything saved.
"""

from __future__ import annotations

import gc
import os
import sys

import click

from sweeper import __version__
from sweeper.cli import (
    ablate,
    activations,
    audit,
    benchmark,
    check,
    cluster,
    completion,
    confirm,
    data,
    describe,
    doctor,
    export,
    figures,
    init,
    launch,
    model,
    own,
    predict,
    replay,
    report,
    retrain,
    status,
)
from sweeper.cli._code import WITHOUT, with_code
from sweeper.errors import SweeperError, did_you_mean


class _Group(click.Group):
    """A group that knows what a misspelt command may have meant."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            allowed = self.list_commands(ctx)
            ctx.fail(f"unknown command '{name}'.{did_you_mean(name, allowed)} Allowed: {', '.join(allowed)}.")
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@completion.install_option
@completion.show_option
def cli() -> None:
    """Which image architecture should I choose for my problem, and why?

    A study file names a dataset and contenders; `launch` trains them on Ray, stopping the weak early; `pareto` and `plot` show
    what came out. Every result is in Parquet, and launching again goes on where a study was left.
    """


for command in (
    describe.list_command,
    describe.describe,
    benchmark.benchmark,
    data.describe_data,
    init.init,
    check.schema,
    check.check,
    doctor.doctor,
    launch.launch,
    launch.resume,
    cluster.cluster,
    status.status,
    export.export,
    audit.audit,
    ablate.ablate,
    confirm.confirm,
    confirm.measure,
    retrain.retrain,
    predict.predict,
    activations.activations,
    model.model,
    replay.replay,
    own.new,
    own.check_code,
    figures.pareto,
    figures.plot,
    report.report,
    report.recommend,
):
    cli.add_command(command if command.name in WITHOUT else with_code(command))


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        code = cli.main(standalone_mode=False, complete_var=completion.VARIABLE)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SweeperError as error:
        click.echo(f"error: {error}", err=True)
        for note in getattr(error, "__notes__", ()):
            click.echo(note, err=True)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; everything finished so far is saved.", err=True)
        code = 130
    except BrokenPipeError:
        # The reader of our output is gone, as with `| head`: nobody reads an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    gc.freeze()  # Python would look through all that was loaded once more as it ends, which takes up to a second
    sys.exit(code if isinstance(code, int) else 0)
