"""The hosts themselves: each for itself, with a cable that can be pulled, and gone with the process that made them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.system import hosts

ANSWERS = "import socket; s = socket.create_server(('', 8000)); print('ready'); [s.accept() for _ in range(9)]"
ASK = "import socket, sys; socket.create_connection((sys.argv[1], 8000), timeout=2)"

LEFT = """
import os, pathlib, sys
sys.path.insert(0, sys.argv[1])
from tests.system import hosts
with hosts.network(pathlib.Path(sys.argv[2])) as net:
    one = net.host("one")
    sleeping = one.start(["sh", "-c", "setsid sleep 1234 & sleep 1234"])
    print(one._namespaces.pid, sleeping.pid, flush=True)
    input()
"""


def test_hosts_are_machines_of_their_own(net: hosts.Network, tmp_path: Path) -> None:
    head, one = net.host("head"), net.host("one")
    assert one.run(["hostname"]) == (0, "one\n")
    assert one.run(["sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'"])[1].split()[1] <= "6", "it sees its own processes alone"
    answering = head.start([sys.executable, "-c", ANSWERS])
    answering.wait_for("ready", 30)
    ask = [sys.executable, "-c", ASK, "head"]
    assert one.run(ask) == (0, "")
    head.cut()
    code, said = one.run(ask)
    assert code == 1 and "timed out" in said
    head.mend()
    assert one.run(ask) == (0, "")

    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "file").touch()
    one.hide(shared)
    assert one.run(["ls", shared]) == (0, "") and head.run(["ls", shared]) == (0, "file\n")

    head.power_off()
    assert answering.wait(10) == -signal.SIGKILL
    head.boot()
    code, said = one.run(ask)
    assert code == 1 and "refused" in said, "it is back, with nothing running"


def test_nothing_is_left_when_their_maker_is_killed(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    maker = subprocess.Popen([sys.executable, "-c", LEFT, root, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert maker.stdout is not None
    pids = [int(word) for word in maker.stdout.readline().split()]
    assert len(pids) == 2 and all(Path(f"/proc/{pid}").exists() for pid in pids)
    maker.kill()
    maker.wait()
    until = time.monotonic() + 10
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < until, left
        time.sleep(0.05)
    assert "sleep 1234" not in subprocess.run(["ps", "axo", "args"], capture_output=True, text=True).stdout
