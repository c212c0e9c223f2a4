"""A job of Slurm: Ray on the nodes it gets, queued again when it is preempted or out of time."""

from __future__ import annotations

import getpass
import shlex
from pathlib import Path

from cluster._options import count, fits, word
from cluster._shell import address, environment
from sweeper.errors import InputError
from sweeper.submission import Job, Submission, filled, one_line

FIRST_PORT = "$((20000 + SLURM_JOB_ID % 1200 * 10))"
"""The first of four ports, in the shell. Ports from 32768 on are given to whoever asks for any."""


def slurm(
    job: Job,
    *,
    cpus_per_node: int,
    nodes: int = 1,
    gpus_per_node: int = 0,
    memory: str | None = None,
    time: str | None = None,
    partition: str | None = None,
    account: str | None = None,
    qos: str | None = None,
    extra: tuple[str, ...] = (),
    setup: tuple[str, ...] = (),
    logs: str | None = None,
    interface: str | None = None,
    port: int | None = None,
) -> Submission:
    """An sbatch script that runs the study on the nodes of its job, and the commands around it.

    The script does what ``ray symmetric-run`` does, with commands of its own. That one refuses a node on which another Ray runs,
    anybody's; it ends every Ray of its user there when it ends itself; and a signal to it never reaches what it runs.

    Jobs of one study never run together: a later one waits for the earlier ones to end.

    Args:
        job: What is submitted.
        cpus_per_node: CPUs of each node.
        nodes: Nodes.
        gpus_per_node: GPUs of each node.
        memory: Memory of each node as Slurm writes it, for example 32G; None for the cluster's default.
        time: Time limit as Slurm writes it, for example 12:00:00. The study is stopped 90 s before it and queued again.
        partition: Partition; None for the default one.
        account: Account that pays.
        qos: Quality of service.
        extra: Further options of sbatch, for example ``("--constraint=a100",)``.
        setup: Lines of shell that put `sweeper` on the nodes' PATH; without them it is the environment of this command.
        logs: Folder of the job's log that all nodes see; None for the results folder.
        interface: The first node's network interface by which the others reach it, for example ib0; None for that of its name.
        port: The first of four ports; None for ports of the job's own.

    Raises:
        InputError: An option cannot be used.
    """
    folder = _log_folder(job, logs)
    count("nodes", nodes)
    count("cpus_per_node", cpus_per_node)
    count("gpus_per_node", gpus_per_node, least=0)
    fits(job, cpus_per_node, gpus_per_node)
    asked = {
        "nodes": str(nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(cpus_per_node),
        "gpus-per-node": str(gpus_per_node) if gpus_per_node else None,
        "mem": _word("memory", memory, r"\d+[KMGT]?", "32G"),
        "time": _word("time", time, r"[\d:-]+", "12:00:00"),
        "partition": _word("partition", partition, r"[\w.,-]+", "gpu"),
        "account": _word("account", account, r"[\w.:@-]+", "my_lab"),
        "qos": _word("qos", qos, r"[\w.-]+", "normal"),
    }
    log = folder / f"{job.name}.log"
    directives = [
        f"#SBATCH --job-name={job.name}",
        "#SBATCH --dependency=singleton",
        *(f"#SBATCH --{name}={value}" for name, value in asked.items() if value is not None),
        "#SBATCH --requeue",
        "#SBATCH --signal=B:TERM@90",
        "#SBATCH --open-mode=append",
        f"#SBATCH --output={_quoted(log)}",
        *(f"#SBATCH {_option(number, text)}" for number, text in enumerate(extra, start=1)),
    ]
    script = filled(
        Path(__file__).with_suffix(".sbatch"),
        directives="\n".join(directives),
        folder=shlex.quote(str(Path.cwd())),
        setup=environment(setup),
        port=FIRST_PORT if port is None else str(count("port", port, least=1024, most=65532)),
        address=address('"$SLURMD_NODENAME"', interface),
        token=shlex.quote(str(folder / f".{job.name}-token")),
        cpus=str(cpus_per_node),
        gpus=str(gpus_per_node),
        command=shlex.join(job.command()),
    )
    mine = (f"--user={getpass.getuser()}", f"--name={job.name}")
    return Submission(
        files={"job.sbatch": script},
        submit=(("mkdir", "-p", str(folder)), ("sbatch", "job.sbatch")),
        status=(("squeue", *mine, "--states=all", "--format=%.12i %.10T %.10M %.5D %R"),),
        logs=(("tail", "-n", "200", "--", str(log)),),
        down=(("scancel", *mine),),
        notes=(
            f"{nodes} x {cpus_per_node} CPUs and {gpus_per_node} GPUs are held until the study is finished; the log is {log}.",
            "Ray's ports are open to the cluster's network, and ask for a token that is made anew for each run.",
        ),
    )


def _log_folder(job: Job, logs: str | None) -> Path:
    """Folder of the log and of the token: all nodes see it."""
    if logs is None and "://" in job.results:
        raise InputError("logs: with results in a bucket, name a folder for the job's log that all nodes see.")
    return Path(one_line("logs" if logs else "results", job.results if logs is None else logs)).absolute()


def _quoted(path: Path) -> str:
    """A path as an option of sbatch in its script, where a % begins a pattern."""
    text = str(path).replace("%", "%%")
    if '"' in text or "\\" in text:
        raise InputError(f"logs: {text!r} holds a quote or a backslash, which Slurm cannot have in the name of a log.")
    return f'"{text}"'


def _option(number: int, text: str) -> str:
    if not one_line(f"extra, item {number}", text).startswith("-"):
        raise InputError(f"extra, item {number}: {text[:40]!r} is no option of sbatch. Write it as there, such as --exclusive.")
    return text


def _word(name: str, value: str | None, allowed: str, example: str) -> str | None:
    return None if value is None else word(name, value, allowed, example)
