"""What nodes say of themselves, and what is refused because of it before a trial is spent."""

from __future__ import annotations

import socket
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sweeper.driver import asking, nodes
from sweeper.errors import InputError
from sweeper.study.spec import ResourcesSpec, TrainingSpec


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"keras": "3.1", "numpy": "2.0+cpu"}, ""),
        ({"keras": "3.2", "numpy": None}, "keras 3.2 there, 3.1 here; numpy is not installed there"),
    ],
)
def test_versions_that_differ(theirs: dict[str, str | None], said: str) -> None:
    assert nodes.differences(theirs, {"keras": "3.1", "numpy": "2.0"}) == said


def test_a_node_that_dies_while_it_is_asked_is_lived_without(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [{"NodeID": name, "NodeManagerHostname": name, "NodeManagerAddress": "10.0.0.1"} for name in ("cut-off", "dead")]
    monkeypatch.setattr(asking, "alive", lambda: asked[:1])
    silent = asking.NoAnswer(why="no answer")
    assert nodes._named(asked, [silent, silent]) == ["cut-off (10.0.0.1): no answer"]
    assert nodes._named(asked, ["", silent]) == []
    # Ray's list of the living is behind by some seconds.
    assert nodes._named(asked, [asking.NoAnswer(why="no answer", has_died=True), ""]) == []


def test_what_a_machine_says_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771, 143000'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    facts = asking.own_facts(["ray", "no-such-package"], "")
    assert facts.versions == {"ray": metadata.version("ray"), "no-such-package": None}
    assert facts.gpus == (asking.Gpu(name="NVIDIA H200", total_mb=143771, free_mb=143000),) and facts.has_gpu
    assert 0 < facts.available_mb < facts.memory_mb
    command.write_text("#!/bin/sh\nexit 9\n")
    assert asking.gpus() == ()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
class TestFacts:
    def test_nodes_like_this_machine(self) -> None:
        nodes.check_facts(TrainingSpec(), ResourcesSpec())
        [clock] = asking.clocks(asking.alive())
        assert isinstance(clock, asking.Clock) and abs(clock.ahead_s) <= clock.within_s + 0.1

    @pytest.mark.parametrize(
        ("versions", "resources", "said"),
        [
            ({"keras": "3.0.0"}, {}, r"keras 3\.0\.0 there, .* here\nResults would .*numpy=="),
            (
                {},
                {"gpus_per_trial": 1},
                r"gpus_per_trial: 1: .*Ray was told of 2 GPUs, and there is none to be seen.*--num-gpus=0",
            ),
        ],
    )
    def test_a_node_that_differs(
        self, versions: dict[str, str | None], resources: Any, said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def answer(packages: list[str], node: str) -> asking.Facts:
            theirs = asking.versions(packages) | versions
            return asking.Facts(versions=theirs, gpus=(), has_gpu=False, memory_mb=1, available_mb=1)

        monkeypatch.setattr(asking, "own_facts", answer)
        with pytest.raises(InputError, match=f"(?s){said}") as raised:
            nodes.check_facts(TrainingSpec(), ResourcesSpec(**resources))
        assert f"- {socket.gethostname()} (" in str(raised.value)
