"""Who can reach a Ray: whether it asks for a token, and where its processes listen.

Whoever reaches a Ray without a token can run code as the user who started it.
"""

from __future__ import annotations

import dataclasses
import glob
import ipaddress
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sweeper.driver import asking

PROGRAMS = {
    "gcs_server": "GCS",
    "dashboard.py": "dashboard",
    "ray.util.client.server": "client server",
    "raylet": "raylet",
}
"""What is found in the command line of a process of Ray, and what it is; everything else is a worker or an agent."""

WORKERS = "workers and agents"


@dataclasses.dataclass(frozen=True, kw_only=True, order=True)
class Port:
    """Where a process of Ray listens.

    Args:
        program: What it is, of `PROGRAMS`, or `WORKERS`.
        address: Of the interface; ``0.0.0.0`` or ``::`` for all of them.
        port: The port.
    """

    program: str
    address: str
    port: int

    @property
    def is_open(self) -> bool:
        """Whether other machines may reach it."""
        return not is_loopback(self.address)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    if address == "localhost":
        return True
    own = ipaddress.ip_address(address)
    return (getattr(own, "ipv4_mapped", None) or own).is_loopback


def has_tokens() -> bool:
    """Whether this process shows a token to the Ray it is connected to; if not, that one asks for none."""
    from ray._private.authentication.authentication_utils import is_token_auth_enabled

    return bool(is_token_auth_enabled())


def ports(nodes: Sequence[dict[str, Any]]) -> list[tuple[Port, ...] | asking.NoAnswer]:
    """Where the processes of Ray listen on each node."""
    return asking.answers(own_ports, None, nodes)


def without_token() -> str:
    """A warning about the running Ray, if anyone who reaches a node of it can run code there; else ``""``."""
    if has_tokens():
        return ""
    nodes = asking.alive()
    open_ones = [
        f"{words(found)} on {asking.name_of(node)}"
        for node, found in zip(nodes, ports(nodes), strict=True)
        if not isinstance(found, asking.NoAnswer) and any(port.is_open for port in found)
    ]
    if not open_ones:
        return ""
    more = f", and {len(open_ones) - 1} nodes more" if len(open_ones) > 1 else ""
    return (
        f"this cluster asks for no token, and other machines reach {open_ones[0]}{more}: whoever does can run code on it. "
        "Start it with RAY_AUTH_MODE=token on every node; sweeper doctor says more"
    )


def words(found: Sequence[Port]) -> str:
    """The open ones of some ports, by program."""
    by_program: dict[str, list[Port]] = {}
    for port in sorted(found):
        if port.is_open:
            by_program.setdefault(port.program, []).append(port)
    return ", ".join(f"{program} ({', '.join(str(port.port) for port in own)})" for program, own in by_program.items())


# --------------------------------------------------------------------------------------------------------- run on the nodes


def own_ports(subject: None, node: str) -> tuple[Port, ...]:
    """Where the processes of the Ray that runs this worker listen.

    Raises:
        OSError: This system does not tell.
    """
    programs = dict(_programs(os.getppid()))
    sockets = {inode: program for pid, program in programs.items() for inode in _sockets_of(pid)}
    found = {
        Port(program=sockets[inode], address=address, port=port)
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for inode, address, port in _listening(table)
        if inode in sockets
    }
    return tuple(sorted(found))


def _programs(raylet: int) -> Iterator[tuple[int, str]]:
    """The processes of a Ray, given its raylet: those below it, and those whose command line names its session or its GCS."""
    command = _command_of(raylet)
    session, gcs = re.search(r"session_\d[\w-]+", command), re.search(r"--gcs-address=(\S+)", command)
    marks = [*([session[0]] if session else []), *([f"--address={gcs[1]} "] if gcs else [])]
    below = set(_below(raylet))
    for folder in glob.glob("/proc/[0-9]*"):
        pid = int(folder.rpartition("/")[2])
        command = _command_of(pid)
        if pid in below or any(mark in command for mark in marks):
            program = command.split(" --")[0]
            yield pid, next((name for part, name in PROGRAMS.items() if part in program), WORKERS)


def _below(pid: int) -> Iterator[int]:
    yield pid
    for file in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            children = Path(file).read_text().split()
        except OSError:  # it has ended
            continue
        for child in children:
            yield from _below(int(child))


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def _sockets_of(pid: int) -> Iterator[str]:
    """The inodes of a process's sockets; none of one that has ended, or is another user's."""
    for file in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            target = os.readlink(file)
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _listening(table: str) -> Iterator[tuple[str, str, int]]:
    """Inode, address and port of every socket of the table that listens."""
    for line in Path(table).read_text().splitlines()[1:]:
        columns = line.split()
        if columns[3] == "0A":
            address, port = columns[1].split(":")
            yield columns[9], _address(address), int(port, 16)


def _address(text: str) -> str:
    """An address as the kernel writes it: words of 32 bits in the order of this machine's bytes, in hexadecimal digits."""
    words_ = [int(text[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(text), 8)]
    return str(ipaddress.ip_address(b"".join(words_)))
