"""Nodes of a running Ray: what they must see, and who can reach them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from sweeper.driver import asking, connection, exposure, nodes
from sweeper.errors import InputError, ResultsFolderError
from sweeper.study.spec import ResourcesSpec


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


@pytest.mark.parametrize(("was_there", "mode"), [(False, 0o600), (True, 0o644)])
def test_a_token_that_ray_makes_for_us_is_closed_to_others(
    was_there: bool, mode: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    if was_there:
        file.write_text("theirs")
        file.chmod(mode)
    with connection._token_for_us_alone():
        file.write_text("made")
    assert file.stat().st_mode & 0o777 == mode
