"""Who can reach a Ray: whether it asks for a token, and where its processes listen.

Whoever reaches a Ray without a token can run code as the user who started it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Sequence
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
    """Where the processes of the Ray that runs this worker listen. Another user's may be left out, and one that has ended."""
    import psutil  # brought by Ray, in whose worker this runs

    found: set[Port] = set()
    for process, program in _programs(psutil):
        with contextlib.suppress(psutil.Error):
            listening = (one for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN)
            found |= {Port(program=program, address=one.laddr.ip, port=one.laddr.port) for one in listening}
    return tuple(sorted(found))


def _programs(psutil: Any) -> Iterator[tuple[Any, str]]:
    """The processes of a Ray and what each is: those below its raylet, and those whose command names its session or its GCS."""
    raylet = psutil.Process().parent()
    command = " ".join(raylet.cmdline())
    session, gcs = re.search(r"session_\d[\w-]+", command), re.search(r"--gcs-address=(\S+)", command)
    marks = [*([session[0]] if session else []), *([f"--address={gcs[1]} "] if gcs else [])]
    below = {raylet.pid, *(process.pid for process in raylet.children(recursive=True))}
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ()) + " "
        if process.pid in below or any(mark in command for mark in marks):
            program = command.split(" --")[0]
            yield process, next((name for part, name in PROGRAMS.items() if part in program), WORKERS)
