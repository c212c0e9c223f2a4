"""A study as a job of a real Ray of two nodes, with dashboard and token: submitted, stopped, submitted again, finished."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.system import hosts
from tests.system.clusters import LAYER
from tests.system.submitted import ENVIRONMENT, Submitted, until

pytestmark = pytest.mark.skipif(not LAYER.exists(), reason="ray[default] is not there; `make test-system` installs it")


def test_a_stopped_job_goes_on_when_it_is_submitted_again(net: hosts.Network, tmp_path: Path) -> None:
    head, one = net.host("head"), net.host("one")
    (tmp_path / "token").write_text(secrets.token_hex(16))
    tokens = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    kind = {"kind": "jobs", "address": "http://127.0.0.1:8265", "python": str(LAYER)}
    # The nodes do not know our code; it is sent there.
    apart = (
        {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}
        | tokens
        | {"RAY_memory_monitor_refresh_ms": "0"}
    )
    starts = "from ray.scripts.scripts import main; main()"
    start = [LAYER, "-c", starts, "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    head.start([*start, "--head", f"--node-ip-address={head.address}"], **apart).wait_for("Ray runtime started", 180)
    one.start([*start, f"--address={head.address}:6379"], **apart).wait_for("Ray runtime started", 180)
    study = Submitted(head, tmp_path, kind, tokens, LAYER)

    def said() -> str:
        return study.cluster("status") + study.cluster("logs")

    assert "submitted sweeper-tiny-20" in study.launch()
    until(lambda: study.num_epochs() > 3, 450, said)
    assert "it runs already" in study.cluster("submit")
    assert "STOPPED" in study.cluster("down")
    assert "everything is saved" in study.cluster("logs")
    study.cluster("submit")
    study.await_end(said)
    until(lambda: "SUCCEEDED" in study.cluster("status"), 60, said)
    study.check()
    assert study.hosts() == {"head", "one"}
    assert Path(tmp_path / "token").read_text() not in study.cluster("logs")
