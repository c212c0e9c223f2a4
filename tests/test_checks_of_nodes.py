"""Nodes of a running Ray: what fits them, what they must see, and who can reach them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from sweeper.driver import asking, exposure, nodes
from sweeper.driver.places import Offer, plan
from sweeper.errors import InputError, ResultsFolderError
from sweeper.study.spec import ResourcesSpec, parse

STUDY = """
name: large
dataset: {name: digits}
arms: {cnn: {}}
budget: {trials: 2, max_epochs: 2}
resources: {cpus_per_trial: 4}
"""


def test_a_trial_runs_on_one_node(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = [{"CPU": 3.0, "GPU": 1.0, "memory": 8e9, "accelerator_type:T4": 1.0}, {"CPU": 3.0}, {}]
    host = {"NodeManagerHostname": "host", "NodeManagerAddress": "10.0.0.1", "NodeID": "1"}
    monkeypatch.setattr(asking, "alive", lambda: [{"Resources": each, **host} for each in offered])
    for shape, count in [
        (ResourcesSpec(), 6),
        (ResourcesSpec(cpus_per_trial=2), 2),
        (ResourcesSpec(gpus_per_trial=0.5), 2),
        (ResourcesSpec(gpus_per_trial=0.3), 3),
        (ResourcesSpec(memory_gb=3), 2),
        (ResourcesSpec(gpus_per_trial=0.1, accelerator_type="T4"), 3),
        (ResourcesSpec(gpus_per_trial=0.1, accelerator_type="A100"), 0),
    ]:
        assert plan(nodes.offers(), {shape: 1}) == {shape: count}


def test_an_arm_that_fits_no_node_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    offers = [Offer(name="host", cpus=3, gpus=1, memory_gb=2, accelerator_types=frozenset(["T4"])), Offer(name="b", cpus=3)]
    with pytest.raises(InputError, match=r"the study asks for cpus_per_trial: 4, host has 3 CPUs and 1 GPUs \(T4\); b"):
        nodes.check_fit(offers, parse(STUDY), ["cnn"])
    small, large = "cnn: {}", "vit: {resources: {gpus_per_trial: 1, accelerator_type: A100, memory_gb: 1.5}}"
    mixed = parse(f"name: m\ndataset: {{name: digits}}\nbudget: {{trials: 4, max_epochs: 2}}\narms:\n  {small}\n  {large}\n")
    with pytest.raises(InputError, match=r"arm 'vit' asks for .*gpus_per_trial: 1.0, memory_gb: 1.5, acc.*2.0 GB of"):
        nodes.check_fit(offers, mixed, mixed.arms)
    nodes.check_fit(offers, mixed, ["cnn"])


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
class TestResultsFolder:
    def test_a_folder_that_every_node_sees(self, tmp_path: Path) -> None:
        nodes.check_results(tmp_path / "results", ResourcesSpec())
        assert list((tmp_path / "results").iterdir()) == []

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (lambda marker, node: "", "is not seen here"),
            (lambda marker, node: "cannot write", "cannot write"),
            (lambda marker, node: 1 / 0, "no worker of ours starts there: ZeroDivisionError"),
        ],
    )
    def test_a_node_that_does_not(self, answer: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nodes, "leave_answer", answer)
        with pytest.raises(ResultsFolderError, match=rf"(?s){socket.gethostname()}.*{said}.*--results"):
            nodes.check_results(tmp_path / "results", ResourcesSpec())
        assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("address", "has_tokens", "is_warned"),
    [("::", False, True), ("::", True, False), ("127.0.0.1", False, False)],
)
def test_a_cluster_that_takes_work_from_anyone(
    address: str, has_tokens: bool, is_warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = {"NodeManagerHostname": "head", "NodeManagerAddress": "10.0.0.1"}
    port = exposure.Port(program="GCS", address=address, port=6379)
    monkeypatch.setattr(asking, "alive", lambda: [node, node])
    monkeypatch.setattr(exposure, "ports", lambda nodes: [(port,), asking.NoAnswer(why="busy")])
    monkeypatch.setattr(exposure, "has_tokens", lambda: has_tokens)
    said = exposure.without_token()
    assert (
        said.startswith("this cluster asks for no token, and other machines reach GCS (6379) on head (10.0.0.1): ") == is_warned
    )
    assert bool(said) == is_warned


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_every_node_must_see_the_decoded_images(tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(b"")
    nodes.check_images([], ResourcesSpec())
    nodes.check_images([str(tmp_path / "images")], ResourcesSpec())
    with pytest.raises(InputError, match=rf"(?s){socket.gethostname()} \(.*\): there is no {tmp_path}/gone\n.*--cache"):
        nodes.check_images([str(tmp_path / "images"), str(tmp_path / "gone")], ResourcesSpec())
