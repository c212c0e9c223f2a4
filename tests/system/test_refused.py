"""What a cluster cannot do for a study is one error before any trial is spent; and who has no token is let in nowhere."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper.driver import asking
from tests.system.clusters import PORT, Cluster

STUDY = """
name: refused
dataset: {name: digits, size: 8}
arms: {cnn: {}}
budget: {trials: 3, max_epochs: 3}
search: {sampler: random}
stopping: {rule: none}
"""


def refused(three: Cluster, folder: Path, study: str = STUDY, **settings: str) -> str:
    """What a launch says that must be refused, and leave nothing."""
    file = folder / "refused.yaml"
    file.write_text(study)
    where = ("--results", three.shared / "refused", "--cluster", "attach", "--address", three.address)
    code, said = three.sweeper("launch", file, *where, **settings)
    assert code == 2, said
    assert said.count("error:") == 1 and "Traceback" not in said
    assert not list((three.shared / "refused").glob("*"))
    return said


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, "none was sent: RAY_AUTH_MODE is disabled"),
        ({"RAY_AUTH_TOKEN": "0" * 64}, "the one that was given is missing or not its own"),
    ],
)
def test_without_the_token(settings: dict[str, str], why: str, three: Cluster, tmp_path: Path) -> None:
    said = refused(three, tmp_path, **settings)
    assert f"asks for a token, and {why}" in said and "Set RAY_AUTH_MODE=token" in said


def test_a_results_folder_that_one_host_has_not(three: Cluster, tmp_path: Path) -> None:
    two = three.net.hosts["two"]
    two.hide(three.shared)
    try:
        said = refused(three, tmp_path)
    finally:
        two.show(three.shared)
    assert f"- two ({two.address}): it cannot write to the results folder: No such file or directory" in said
    assert "- one" not in said and "it must lie on a file system that all nodes mount at this path" in said


@pytest.fixture
def other_keras(three: Cluster) -> Iterator[dict[str, str]]:
    """Two hosts have Keras in versions of their own."""
    installed = {"one": "3.1.0", "two": "4.0.0"}
    for host, version in installed.items():
        folder = three.packages_of(host) / f"keras-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: keras\nVersion: {version}\n")
    yield installed
    for host, version in installed.items():
        shutil.rmtree(three.packages_of(host) / f"keras-{version}.dist-info")


def test_other_versions_of_keras(three: Cluster, other_keras: dict[str, str], tmp_path: Path) -> None:
    said = refused(three, tmp_path)
    for host, version in other_keras.items():
        assert f"- {host} ({three.net.hosts[host].address}): keras {version} there, " in said
    assert "- head" not in said and "Install on every node: keras==" in said
    code, said = three.sweeper("doctor", tmp_path / "refused.yaml", "--cluster", "attach", "--address", three.address)
    assert code == 1, said
    assert all(f"keras {version} there, " in said for version in other_keras.values()), said


@pytest.mark.skipif(asking.own_facts([], "").has_gpu, reason="this machine has a GPU")
def test_no_gpu_where_one_is_asked(three: Cluster, tmp_path: Path) -> None:
    said = refused(three, tmp_path, f"{STUDY}resources: {{cpus_per_trial: 1, gpus_per_trial: 1}}\n")
    assert f"- two ({three.net.hosts['two'].address}): Ray was told of 1 GPUs, and there is none to be seen" in said


# -------------------------------------------------------------------------------------------------------- without a token

ASK = """
import json, socket, sys, urllib.error, urllib.request

def asked(port, **headers):
    request = urllib.request.Request(f"http://{sys.argv[1]}:{port}/", headers=headers)
    try:
        return urllib.request.urlopen(request, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code
    except Exception as error:
        return type(error).__name__

print(json.dumps({port: [asked(port), asked(port, Authorization="Bearer " + "0" * 64)] for port in sys.argv[2:]}))
"""
"""What the HTTP of each port answers without a token, and with a wrong one."""

ASK_GCS = """
import sys
from ray._raylet import GcsClient
print(GcsClient(address=sys.argv[1]).get_all_node_info())
"""


def test_a_stranger_on_the_network_is_let_in_nowhere(three: Cluster) -> None:
    stranger = three.net.host("stranger")
    assert three.head is not None
    code, listening = three.head.run(["ss", "--listening", "--tcp", "--numeric", "--processes", "--no-header"])
    assert code == 0
    ports: dict[str, str] = {}
    for _, _, _, where, _, process in (line.split(maxsplit=5) for line in listening.splitlines()):
        if not where.startswith(("127.", "[::1]", "[::ffff:127.")):
            ports[where.rpartition(":")[2]] = process
    code, said = stranger.run([sys.executable, "-c", ASK, three.head.address, *ports])
    assert code == 0, said
    answers = json.loads(said)
    # HTTP says 401 without a token, 403 with a wrong one; what speaks gRPC does not understand the question.
    spoken = {port: answer for port, answer in answers.items() if answer != ["BadStatusLine", "BadStatusLine"]}
    assert list(spoken.values()) == [[401, 403]], (answers, ports)
    assert str(PORT) in ports and "8265" not in ports, "no dashboard runs, unless ray[default] is installed"
    for settings in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
        code, said = stranger.run([sys.executable, "-c", ASK_GCS, three.address], **settings)
        assert code != 0 and "InvalidAuthToken" in said, said
    code, said = stranger.run([sys.executable, "-c", ASK_GCS, three.address], **three.token)
    assert code == 0, said
