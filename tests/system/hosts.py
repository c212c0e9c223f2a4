"""Hosts of a network of their own on this machine, made of Linux namespaces: what a cluster meets, without a cluster.

    with hosts.network(folder) as net:
        head, one = net.host("head"), net.host("one")
        print(one.run(["ping", "-c1", "head"]).stdout)

Each host has its own address (10.77.0.0/24), host name, /etc/hosts, /tmp/ray, process ids and mounts; files are those of this
machine. So what runs on a host sees the processes of that host alone, and commands that kill by name reach no further. Nothing of
it shows in the network of this machine.

**Nothing is ever left.** A host lives as long as its first process, which ends when the pipe from this process closes, however
this process ended; the kernel then ends all that runs on the host, and takes away its network, mounts and addresses.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

NEEDED = {"ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux", "mount": "mount"}
"""Commands, and the Debian packages that have them."""

FIRST_PROCESS = """
import os, signal

def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass

signal.signal(signal.SIGCHLD, reap)
os.write(1, b"ready")
while os.read(0, 1):
    pass
"""
"""The first process of a host: it reaps what others leave, and ends with the pipe that it reads from."""

SUBNET = "10.77.0"


def problem() -> str | None:
    """Why no hosts can be made here; None when they can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if missing := sorted({package for command, package in NEEDED.items() if shutil.which(command) is None}):
        return f"Debian packages are missing: {' '.join(missing)}"
    tried = subprocess.run(["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "true"], capture_output=True, text=True)
    return f"this system makes no namespaces: {tried.stderr.strip()}" if tried.returncode else None


class Namespaces:
    """Namespaces of one host, or of the switch, kept by a process.

    Args:
        name: Its host name.
    """

    def __init__(self, name: str):
        kinds = ["--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._keeper = subprocess.Popen(
            ["unshare", *kinds, sys.executable, "-IS", "-c", FIRST_PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # unshare complains when its process ends by a signal
        )
        assert self._keeper.stdout is not None
        if self._keeper.stdout.read(5) != b"ready":
            raise RuntimeError(f"no namespaces for {name}: unshare ended with {self._keeper.wait()}")
        self.pid = child_of(self._keeper.pid)
        self.do("hostname", name)
        self.do("ip", "link", "set", "lo", "up")

    def entering(self) -> list[str]:
        """The beginning of a command that runs in them."""
        return ["nsenter", f"--target={self.pid}", "--net", "--uts", "--mount", "--pid"]

    def do(self, *command: str) -> None:
        """Run a command of the system in them that must succeed."""
        done = subprocess.run([*self.entering(), *command], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")

    def end(self) -> None:
        """End every process in them at once; the kernel takes the rest away."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        for pipe in (self._keeper.stdin, self._keeper.stdout):
            assert pipe is not None
            pipe.close()
        self._keeper.wait()


class Process:
    """A process on a host.

    Args:
        entered: The process that entered the host and waits for it.
        log: Gets what it prints.
    """

    def __init__(self, entered: subprocess.Popen[bytes], log: Path):
        self._entered = entered
        self._log = log
        self.pid = child_of(entered.pid)
        """As this machine sees it; 0 when it has ended already."""

    @property
    def printed(self) -> str:
        """What it has printed so far, errors too."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        return self._entered.poll()

    def wait(self, timeout: float) -> int:
        """Wait for its end: the exit code, or minus the signal.

        Raises:
            AssertionError: It has not ended in time, and is killed.
        """
        try:
            return self._entered.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end within {timeout:.0f} s: {self.printed[-3000:]}") from None

    def wait_for(self, text: str, timeout: float) -> None:
        """Wait until it has printed a text.

        Raises:
            AssertionError: It has not in time, or has ended.
        """
        until = time.monotonic() + timeout
        while text not in self.printed:
            assert self.poll() is None, f"ended with {self.poll()}: {self.printed[-3000:]}"
            assert time.monotonic() < until, f"no '{text}' within {timeout:.0f} s: {self.printed[-3000:]}"
            time.sleep(0.1)

    def send(self, number: int) -> None:
        """Send a signal to it alone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and what it started, but for what left its process group, with SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._entered.pid, signal.SIGKILL)
        self._entered.wait()


class Host:
    """A machine of the network; see `Network.host`.

    Args:
        network: What it belongs to.
        name: Its host name.
        address: Its IP address.
    """

    def __init__(self, network: Network, name: str, address: str):
        self._network = network
        self.name = name
        self.address = address
        self.folder = network.folder / name
        """Its own files: home, /tmp/ray, what its processes print."""
        self._num_logs = 0
        self.boot()

    def boot(self) -> None:
        """Switch it on, with empty mounts and no processes; its files are those from before."""
        for folder in (self.folder / "home", self.folder / "ray", Path("/tmp/ray")):
            folder.mkdir(parents=True, exist_ok=True)
        self._namespaces = Namespaces(self.name)
        self._network.plug(self.name, self._namespaces.pid, number=int(self.address.rpartition(".")[2]))
        self._namespaces.do("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self._namespaces.do("ip", "link", "set", "eth0", "up")
        self._namespaces.do("ip", "route", "add", "default", "via", f"{SUBNET}.254")
        self.mount(self._network.names, Path("/etc/hosts"))
        self.mount(self.folder / "ray", Path("/tmp/ray"))

    def power_off(self) -> None:
        """Let it vanish: from the network first, so that nobody hears of the end of its processes."""
        self.cut()
        self._namespaces.end()
        self._network.unplug(self.name)

    def kill_all(self) -> None:
        """End every process on it with SIGKILL; the machine stays, and says so to those that talked to them."""
        subprocess.run([*self._namespaces.entering(), "kill", "-KILL", "-1"], capture_output=True)

    def cut(self) -> None:
        """Pull its cable; both sides wait for words that do not come."""
        self._network.switch.do("ip", "link", "set", self.name, "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        self._network.switch.do("ip", "link", "set", self.name, "up")

    def mount(self, source: Path, target: Path) -> None:
        """Show a file or folder at the place of another one, on this host alone, until it boots anew."""
        self._namespaces.do("mount", "--bind", str(source), str(target))

    def hide(self, folder: Path) -> None:
        """Show an empty folder in its place, on this host alone, until `show` or until it boots anew."""
        self._namespaces.do("mount", "-t", "tmpfs", "tmpfs", str(folder))

    def show(self, folder: Path) -> None:
        """Show a folder again that was hidden."""
        self._namespaces.do("umount", "--lazy", str(folder))

    def start(self, command: Sequence[str | Path], *, folder: Path | None = None, **settings: str) -> Process:
        """Start a command.

        Args:
            command: The command and its arguments.
            folder: Where it starts; None for the host's home.
            settings: Environment variables, beside a plain few.
        """
        self._num_logs += 1
        log = self.folder / f"{self._num_logs:02d}-{Path(command[0]).name}.log"
        home = self.folder / "home"
        inside = ["sh", "-c", 'cd "$0" && exec "$@"', str(folder or home)]
        plain = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        with log.open("wb") as output:
            entered = subprocess.Popen(
                [*self._namespaces.entering(), *inside, *map(str, command)],
                env=plain | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Process(entered, log)

    def run(
        self, command: Sequence[str | Path], *, timeout: float = 120.0, folder: Path | None = None, **settings: str
    ) -> tuple[int, str]:
        """Run a command to its end, as `start`: its exit code, and what it printed."""
        process = self.start(command, folder=folder, **settings)
        return process.wait(timeout), process.printed


class Network:
    """A switch with hosts on it; see `network`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.hosts: dict[str, Host] = {}
        self.names = folder / "hosts"
        self.names.write_text("127.0.0.1 localhost\n")
        self.switch = Namespaces("switch")
        self.switch.do("ip", "link", "add", "bridge", "type", "bridge")
        self.switch.do("ip", "address", "add", f"{SUBNET}.254/24", "dev", "bridge")  # the way out of hosts, which leads nowhere
        self.switch.do("ip", "link", "set", "bridge", "up")

    def host(self, name: str) -> Host:
        """A new host, switched on; others know its name. At most ten letters and digits."""
        address = f"{SUBNET}.{len(self.hosts) + 1}"
        with self.names.open("a") as names:
            names.write(f"{address} {name}\n")
        self.hosts[name] = Host(self, name, address)
        return self.hosts[name]

    def plug(self, name: str, pid: int, *, number: int) -> None:
        """Lay a cable from the switch to a host's first process; its card is known by a number, also after it boots anew."""
        # `ip` looks for the process among those that it sees, so it enters the switch's network alone.
        card = ["address", f"02:77:00:00:00:{number:02x}"]
        in_switch = ["nsenter", f"--target={self.switch.pid}", "--net", "ip", "link", "add", name]
        subprocess.run([*in_switch, "type", "veth", "peer", "name", "eth0", *card, "netns", str(pid)], check=True)
        self.switch.do("ip", "link", "set", name, "master", "bridge", "up")

    def unplug(self, name: str) -> None:
        """Take the cable of a host that ended away; the kernel would do so a moment later."""
        with contextlib.suppress(RuntimeError):  # it has done so
            self.switch.do("ip", "link", "delete", name)

    def end(self) -> None:
        """End all hosts and the switch."""
        for host in self.hosts.values():
            host._namespaces.end()
        self.switch.end()


@contextlib.contextmanager
def network(folder: Path) -> Iterator[Network]:
    """A network, ended with all that runs on its hosts at the end of the block.

    Args:
        folder: Gets a folder for each host; it exists.
    """
    made = Network(folder)
    try:
        yield made
    finally:
        made.end()


def child_of(pid: int) -> int:
    """The only child of a process that is about to start it; 0 when that has ended already."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if found := children.read_text().split():
                return int(found[0])
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return 0
        time.sleep(0.005)
    return 0
