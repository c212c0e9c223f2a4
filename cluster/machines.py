"""Machines that are reached by ssh: Ray is started on each of them, and the study on the first."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from cluster._options import count, word
from cluster._shell import address, environment
from sweeper.errors import InputError
from sweeper.submission import Job, Submission, filled, one_line

HOST = r"[A-Za-z0-9._:%-]+"
"""A name or an address of a machine, or the name of one in ssh's own configuration."""


def machines(
    job: Job,
    *,
    hosts: tuple[str, ...],
    user: str | None = None,
    key: str | None = None,
    ssh_port: int | None = None,
    ssh_config: str | None = None,
    setup: tuple[str, ...] = (),
    folder: str | None = None,
    cpus_per_host: int | None = None,
    gpus_per_host: int | None = None,
    interface: str | None = None,
    port: int | None = None,
) -> Submission:
    """A script that drives machines by ssh: it starts Ray on each, and the study on the first, where it goes on without us.

    Plain ssh, and not ``ray up``: that one copies the key to the first machine, and its commands end every Ray there. Here a
    process is ended by its number, once its arguments show that it is of this study.

    Args:
        job: What is submitted.
        hosts: The machines, the first of which runs the study.
        user: User on the machines; None for that of ssh.
        key: File of the private key; None for those of ssh. It stays here.
        ssh_port: Port of ssh; None for that of ssh.
        ssh_config: A configuration file of ssh, in the place of its usual ones.
        setup: Lines of shell that put `sweeper` on the machines' PATH; without them it is the path of this command.
        folder: Folder on the first machine in which the study is run, for data with relative paths; None for the home.
        cpus_per_host: CPUs of each machine to use; None for all.
        gpus_per_host: GPUs of each machine to use; None for all.
        interface: The first machine's network interface by which the others reach it, for example eth1; None for that of its
            name.
        port: The first of four ports; None for ports by the study's name.

    Raises:
        InputError: An option cannot be used.
    """
    if not hosts:
        raise InputError("hosts: it is empty. Name at least one machine, for example hosts: [lab1, lab2].")
    if repeated := sorted({host for host in hosts if hosts.count(host) > 1}):
        raise InputError(f"hosts: {', '.join(repeated)} is named more than once.")
    for host in hosts:
        word("hosts", host, HOST, "lab1.example.org")
    digest = hashlib.sha256(job.name.encode()).hexdigest()[:8]
    there = f"/tmp/sweeper-$(id -u)-{digest}"
    has_code = job.code is not None and "://" not in job.code
    command = job.command(study_file="$FOLDER/study.yaml", code="$FOLDER/code" if has_code else None)
    resources = {
        "num-cpus": cpus_per_host if cpus_per_host is None else count("cpus_per_host", cpus_per_host),
        "num-gpus": gpus_per_host if gpus_per_host is None else count("gpus_per_host", gpus_per_host, least=0),
    }
    first = 20_000 + int(digest, 16) % 1200 * 10 if port is None else count("port", port, least=1024, most=65532)
    script = filled(
        Path(__file__).with_suffix(".sh"),
        hosts=" ".join(f"{user}@{host}" if user else host for host in hosts),
        ssh=_ssh(user, key, ssh_port, ssh_config),
        digest=digest,
        setup=environment(setup),
        send_code=f'tar -C {shlex.quote(job.code)} --exclude=__pycache__ -czf - . | on "${{hosts[0]}}" '
        '\'rm -rf "$folder/code"; mkdir "$folder/code"; tar -xzf - -C "$folder/code"\' || exit 1'
        if has_code and job.code
        else ":",
        address=address(shlex.quote(hosts[0]), interface),
        port=str(first),
        resources=" ".join(f"--{name}={value}" for name, value in resources.items() if value is not None),
        enter="cd || exit" if folder is None else f"cd {shlex.quote(one_line('folder', folder))} || exit",
        command=" ".join(_argument(argument) for argument in command),
    )
    submit, status, logs, down = ((("bash", "machines.sh", name),) for name in ("submit", "status", "logs", "down"))
    return Submission(
        files={"machines.sh": script, "study.yaml": job.study_file.read_text(encoding="utf-8")},
        submit=submit,
        status=status,
        logs=logs,
        down=down,
        notes=(
            f"the study runs on {hosts[0]}, in {there}; it goes on when this machine is switched off.",
            f"Ray's ports, {first} and others, are open to the machines' network, and ask for a token.",
        ),
    )


def _ssh(user: str | None, key: str | None, ssh_port: int | None, ssh_config: str | None) -> str:
    """The beginning of a command on a machine. It asks nothing: a key that is not known, and a password, end it."""
    if user is not None:
        word("user", user, r"[A-Za-z_][A-Za-z0-9._-]*", "ubuntu")
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]
    if key is not None:
        options += ["-o", "IdentitiesOnly=yes", "-i", str(Path(one_line("key", key)).expanduser().absolute())]
    if ssh_port is not None:
        options += ["-p", str(count("ssh_port", ssh_port, most=65535))]
    if ssh_config is not None:
        options += ["-F", str(Path(one_line("ssh_config", ssh_config)).expanduser().absolute())]
    return shlex.join(["ssh", *options])


def _argument(argument: str) -> str:
    """An argument for the shell, in which files that were sent along lie in the shell's own folder."""
    if argument.startswith("$FOLDER/"):
        return f'"$folder/{argument.removeprefix("$FOLDER/")}"'
    return shlex.quote(argument)
