"""Completion in a shell: ``sweeper --install-completion`` and ``--show-completion``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from click.shell_completion import get_completion_class

from sweeper.errors import InputError, did_you_mean

VARIABLE = "_SWEEPER_COMPLETE"
"""Environment variable by which a shell's script asks for completions."""

SHELLS = ("bash", "fish", "zsh")

AUTO = "auto"
"""Stands for the shell that the user has."""

LOADED = {
    "bash": "[ -f {path} ] && . {path}  # completion of sweeper",
    "zsh": "[ -f {path} ] && {{ autoload -Uz compinit && compinit; . {path}; }}  # completion of sweeper",
}
"""The line of a startup file that loads the script; fish finds its own."""

Callback = Callable[[click.Context, click.Parameter, str | None], None]

Command = TypeVar("Command", bound=Callable[..., object])


def script(shell: str) -> str:
    """The script that a shell loads."""
    made = get_completion_class(shell)
    assert made is not None
    return made(click.Group("sweeper"), {}, "sweeper", VARIABLE).source()


def _shell(name: str) -> str:
    """The shell meant.

    Raises:
        InputError: No such shell, or the user's is none of those.
    """
    given = Path(os.environ.get("SHELL", "")).name if name == AUTO else name
    if given not in SHELLS:
        found = f"your shell is '{given}', which is not supported" if name == AUTO else f"unknown shell '{given}'"
        raise InputError(f"{found}.{did_you_mean(given, SHELLS)} Allowed: {', '.join(SHELLS)}.")
    return given


def _install(shell: str) -> None:
    """Write the script and have the shell load it; called again it writes the same."""
    home = Path.home()
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    path = configuration / "fish/completions/sweeper.fish" if shell == "fish" else configuration / f"sweeper/complete.{shell}"
    undo = f"rm {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script(shell))
        click.echo(f"wrote {path}")
        if shell in LOADED:
            startup = Path(os.environ.get("ZDOTDIR") or home) / ".zshrc" if shell == "zsh" else home / ".bashrc"
            line = LOADED[shell].format(path=f"'{path}'")
            text = startup.read_text() if startup.exists() else ""
            if line in text.splitlines():
                click.echo(f"{startup} loads it already")
            else:
                startup.write_text(f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n")
                click.echo(f"added to {startup}: {line}")
            undo += f", and remove that line from {startup}"
    except OSError as error:
        text = f"{error.filename} cannot be written ({error.strerror}). Write it yourself: sweeper --show-completion {shell}"
        raise InputError(text) from None
    click.echo(f"it works in the next {shell} that you start. To undo: {undo}")


def _showing(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value and not context.resilient_parsing:
        click.echo(script(_shell(value)))
        context.exit()


def _installing(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value and not context.resilient_parsing:
        _install(_shell(value))
        context.exit()


def _option(name: str, callback: Callback, text: str) -> Callable[[Command], Command]:
    return click.option(
        name,
        is_flag=False,
        flag_value=AUTO,
        metavar="[SHELL]",
        expose_value=False,
        is_eager=True,
        callback=callback,
        help=text,
    )


install_option = _option("--install-completion", _installing, "Complete commands and names in bash, fish or zsh.")
show_option = _option("--show-completion", _showing, "Print the script that does so.")
