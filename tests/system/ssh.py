"""A real sshd on hosts of `tests.system.hosts`, and the configuration of an ssh that reaches them by name."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.system import hosts

NEEDED = {"/usr/sbin/sshd": "openssh-server", "ssh": "openssh-client"}
"""Commands, and the Debian packages that have them."""


def problem() -> str | None:
    """Why no sshd can be started here; None when one can."""
    if missing := sorted({package for command, package in NEEDED.items() if shutil.which(command) is None}):
        return f"Debian packages are missing: {' '.join(missing)}"
    return hosts.problem()


def serve(servers: Sequence[hosts.Host], folder: Path) -> Path:
    """Start an sshd on each host; gives a configuration file for ``ssh -F``, with a key that they accept.

    Args:
        servers: The hosts.
        folder: An empty folder, for the keys.
    """
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it
    for name in ("server", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    settings = {
        "HostKey": folder / "server",
        "AuthorizedKeysFile": folder / "user.pub",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "UsePAM": "no",
        "PidFile": "none",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    key = (folder / "server.pub").read_text()
    (folder / "known_hosts").write_text("".join(f"{server.name} {key}" for server in servers))
    for server in servers:
        server.start(["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"]).wait_for("Server listening", 20)
    configuration = folder / "ssh_config"
    configuration.write_text(
        f"Host *\n  User root\n  IdentityFile {folder / 'user'}\n  UserKnownHostsFile {folder / 'known_hosts'}\n"
    )
    return configuration
