"""Who could reach a sweep that should not: Ray's ports and token, files that others may read or write, secrets that travel."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeper import secrecy
from sweeper.doctor.findings import Finding, ok, warning
from sweeper.driver import exposure
from sweeper.driver.exposure import Port
from sweeper.owncode import Code
from sweeper.service.words import dashboard_words

WHAT = "security"

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Where Ray tells a process what it was submitted with."""


def ports(told: Mapping[str, Sequence[Port]], has_tokens: bool) -> Iterator[Finding]:
    """Whether Ray asks for a token, and where it can be reached.

    Args:
        told: Where the processes of Ray listen, by node.
        has_tokens: Whether it asks for a token.
    """
    reached = {node: words for node, found in told.items() if (words := exposure.words(found))}
    if told and not reached:
        asks = "asks for a token" if has_tokens else "asks for no token"
        yield ok(WHAT, f"Ray listens on loopback alone, and {asks}")
    elif has_tokens:
        yield ok(WHAT, f"Ray asks for a token; other machines reach {_listed(reached)}")
    for node, words in reached.items() if not has_tokens else ():
        yield warning(
            WHAT,
            f"{node}: Ray asks for no token, and other machines reach {words}: whoever does can run code there",
            "start every node with RAY_AUTH_MODE=token and one token (ray get-auth-token --generate; RAY_AUTH_TOKEN_PATH), and "
            "let a firewall close these ports to all but the nodes",
        )


def dashboard(address: str, head: str) -> Iterator[Finding]:
    """Where Ray's dashboard is, and whether other machines reach it; arguments as of `dashboard_words`."""
    if exposure.is_loopback(address.rpartition(":")[0].strip("[]")):
        yield ok("dashboard", dashboard_words(address, head))
    else:
        yield warning(
            WHAT,
            f"other machines reach the dashboard on {head} ({address}), to which jobs are submitted, too",
            "start the head with --dashboard-host=127.0.0.1, and reach it by ssh -L",
        )


def _listed(reached: Mapping[str, str]) -> str:
    node, words = next(iter(reached.items()))
    return f"{words} on {node}" + (f", and {len(reached) - 1} nodes more" if len(reached) > 1 else "")


def token_file(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether others on this machine may read Ray's token."""
    home = Path(environment.get("HOME") or "~").expanduser()
    path = Path(environment.get("RAY_AUTH_TOKEN_PATH") or home / ".ray" / "auth_token")
    if is_readable_by_others(path):
        yield warning(WHAT, f"others on this machine may read Ray's token in {path}", f"chmod 600 {path}")


def is_readable_by_others(path: Path) -> bool:
    """Whether a file may be read by users who do not own it, and its folders let them get there."""
    try:
        file = path.stat().st_mode
        folders = [folder.stat().st_mode for folder in path.resolve().parents]
    except OSError:
        return False
    return bool(file & (stat.S_IROTH | stat.S_IRGRP)) and all(mode & (stat.S_IXOTH | stat.S_IXGRP) for mode in folders)


def travelling(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the job that this process belongs to was submitted with secrets, which Ray shows to all who see the job."""
    try:
        told: Any = json.loads(environment.get(JOB) or "{}")
        variables = told.get("runtime_env", {}).get("env_vars", {})
    except (ValueError, AttributeError):
        return
    names = [name for name, value in variables.items() if secrecy.is_secret_name(name) or secrecy.found_in(str(value))]
    if names:
        yield warning(
            WHAT,
            f"the job was submitted with {', '.join(sorted(names))} in its runtime_env, which Ray's dashboard shows",
            "start the nodes with these variables, or give them a role, and submit without",
        )


def own_code(code: Code | None) -> Iterator[Finding]:
    """Whether a user's own code, a copy of which is kept with the results, holds a credential."""
    for path, text in () if code is None else code.files.items():
        for number, line in enumerate(text.splitlines(), start=1):
            if what := secrecy.found_in(line):
                yield warning(
                    WHAT,
                    f"{code.origin if code else ''}{path}, line {number} holds {what}; the file is copied to the results",
                    "read it from a variable of the environment (os.environ)",
                )


def folders(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether others may write where this user loads compiled programs from."""
    from sweeper.training.devices import jax_cache

    folder = jax_cache(environment, is_cpu=False)
    if folder is not None and folder.is_dir() and folder.stat().st_mode & stat.S_IWOTH:
        yield warning(
            WHAT, f"everybody may write to {folder}, from which JAX loads machine code", f"rm -r {folder}, or chmod 700 {folder}"
        )


def here(code: Code | None) -> Iterator[Finding]:
    """All that concerns this machine alone."""
    for found in (token_file(os.environ), travelling(os.environ), own_code(code), folders(os.environ)):
        yield from found
