"""A Ray cluster whose nodes are hosts of a network, which asks for a token, and commands on its head."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from tests.system import hosts

ROOT = Path(__file__).parents[2]
LAYER = ROOT / ".venv-cluster" / "bin" / "python"
"""The environment of the tests with `ray[default]` above it."""

BENCHMARKS = ROOT / "benchmarks"
PORT = 6379

STARTS_WITHIN_S = 120.0
"""Time limit for a node to start or to join."""


class Cluster:
    """Ray on hosts; the first one is the head, where commands run.

    Args:
        net: The network; its folder gets the token, and the folder that all hosts share.
        num_cpus: CPUs that each host offers.
        python: The Python of the nodes.
        node_settings: Environment variables of all nodes, beside what they need.
    """

    def __init__(self, net: hosts.Network, *, num_cpus: int = 1, python: str | Path = sys.executable, **node_settings: str):
        self.net = net
        self.python = python
        self.num_cpus = num_cpus
        self.shared = net.folder / "shared"
        self.shared.mkdir()
        token = net.folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        self.settings = {"RAY_memory_monitor_refresh_ms": "0", **node_settings}
        self.nodes: dict[str, hosts.Process] = {}
        self._options: dict[str, tuple[str, ...]] = {}
        self.head: hosts.Host | None = None

    @property
    def address(self) -> str:
        """The address of the cluster."""
        assert self.head is not None
        return f"{self.head.address}:{PORT}"

    def start(self, name: str, *options: str) -> None:
        """Start Ray on a host, which is made if it is new: the first one is the head, and runs at the end of this call.

        Args:
            name: Name of the host.
            options: More options of `ray start`.
        """
        host = self.net.hosts.get(name) or self.net.host(name)
        is_head = self.head is None
        self.head = self.head or host
        role = ("--head", f"--port={PORT}") if is_head else (f"--address={self.address}",)
        self._options[name] = (*role, *options)
        self.restart(name)
        if is_head:
            self.ready()

    def restart(self, name: str) -> None:
        """Start Ray anew on a host, as it was started before; whatever runs there is killed."""
        self.net.hosts[name].kill_all()
        self.nodes[name] = self._begin(self.net.hosts[name], self._options[name])

    def ready(self) -> None:
        """Wait until all nodes that were started belong to the cluster."""
        for name in self._options:
            for last in (False, False, True):
                try:
                    self.nodes[name].wait_for("Ray runtime started", STARTS_WITHIN_S)
                    break
                except AssertionError:  # Ray gives up after 30 s, which a busy machine may take
                    if last:
                        raise
                    self.restart(name)

    def packages_of(self, name: str) -> Path:
        """A folder whose packages this host has beside the installed ones, and before them."""
        folder = self.net.folder / f"packages-of-{name}"
        folder.mkdir(exist_ok=True)
        return folder

    def _begin(self, host: hosts.Host, options: tuple[str, ...]) -> hosts.Process:
        plain = [f"--num-cpus={self.num_cpus}", "--object-store-memory=100000000", "--disable-usage-stats"]
        command = [self.python, "-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={host.address}"]
        path = f"{self.packages_of(host.name)}:{BENCHMARKS}"  # stub workers lie in the latter; our own code is shipped
        return host.start([*command, *plain, *options], PYTHONPATH=path, **self.token, **self.settings)

    def sweeper(self, *arguments: str | Path, **settings: str) -> tuple[int, str]:
        """Run a command of ours on the head, with the token: its exit code, and what it printed."""
        assert self.head is not None
        given = {"PYTHONPATH": str(ROOT), **self.token, **settings}
        return self.head.run([sys.executable, "-m", "sweeper", *arguments], timeout=300, **given)

    def launch(self, study: Path, results: Path, *options: str) -> hosts.Process:
        """Start the launch of a study on the head; the first options are those of `benchmarks/kills/ray_driver.py`."""
        assert self.head is not None
        driver = [sys.executable, BENCHMARKS / "kills" / "ray_driver.py", *options]
        where = ["--results", results, "--cluster", "attach", "--address", self.address]
        return self.head.start([*driver, study, *where], PYTHONPATH=str(ROOT), **self.token)
