"""Checkpoints on disk: whole, newest first, removed when they are of no use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sweeper.training import checkpoint
from sweeper.training.checkpoint import Checkpoint


def stored(epoch: int, attempt: int = 1) -> Checkpoint:
    return Checkpoint(
        epoch=epoch, attempt=attempt, rows=({"epoch": epoch},), model=[np.full(3, epoch, np.float32)], optimizer=[np.array(epoch)]
    )


def test_the_newest_two_checkpoints_are_kept(tmp_path: Path) -> None:
    for epoch in range(1, 5):
        checkpoint.write(tmp_path / "t", stored(epoch))
    assert sorted(path.name for path in (tmp_path / "t" / "attempt-1").iterdir()) == ["epoch-00003.npz", "epoch-00004.npz"]
    found = checkpoint.newest(tmp_path / "t")
    assert found is not None
    assert (found.epoch, found.rows, float(found.model[0][0])) == (4, ({"epoch": 4},), 4.0)
    checkpoint.remove(tmp_path / "t", keep_newest=True)
    assert checkpoint.newest(tmp_path / "t") is not None
    checkpoint.remove(tmp_path / "t", keep_newest=False)
    assert checkpoint.newest(tmp_path / "t") is None


def test_checkpoints_of_an_attempt_that_had_to_begin_anew_are_kept(tmp_path: Path) -> None:
    for epoch in (4, 5):
        checkpoint.write(tmp_path, stored(epoch))
        checkpoint.path_of(tmp_path, 1, epoch).write_whole(b"", may_replace=True)
    checkpoint.write(tmp_path, stored(1, attempt=2))
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert (found.attempt, found.epoch) == (2, 1)


def test_what_a_killed_worker_left_half_written_goes_with_the_rest(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, stored(1))
    (tmp_path / "attempt-1" / ".epoch-00002.npz.0.tmp").touch()
    checkpoint.remove(tmp_path, keep_newest=True)
    assert [path.name for path in (tmp_path / "attempt-1").iterdir()] == ["epoch-00001.npz"]


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "method", "state", "foreign"])
def test_damage_of_any_kind_leads_to_the_one_before(damage: str, tmp_path: Path) -> None:
    for epoch in (1, 2):
        checkpoint.write(tmp_path, stored(epoch))
    path = Path(checkpoint.path_of(tmp_path, 1, 2))  # type: ignore[arg-type]
    data = bytearray(path.read_bytes())
    if damage == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        np.savez(path, other=np.zeros(3))
    else:
        places = {
            "method": data.index(b"PK\x01\x02") + 10,
            "state": data.index(b'"rows"'),
            "flipped": data.index(b"model_00000") + 150,
        }
        data[places[damage]] ^= 255
        path.write_bytes(bytes(data))
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.epoch == 1


def test_a_checkpoint_that_vanishes_while_it_is_read_is_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker of a dead driver went on, and its newer checkpoint took the place of the one that was found."""
    checkpoint.write(tmp_path, stored(1))
    read = checkpoint.read

    def overtaken(path: Path) -> Checkpoint:
        monkeypatch.setattr(checkpoint, "read", read)
        for epoch in (2, 3, 4):
            checkpoint.write(tmp_path, stored(epoch))
        return read(path)

    monkeypatch.setattr(checkpoint, "read", overtaken)
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.epoch == 4


def test_a_worker_of_a_dead_driver_leaves_its_successors_checkpoints_alone(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, stored(1, attempt=2))
    checkpoint.write(tmp_path, stored(2, attempt=2))
    for epoch in range(1, 5):
        checkpoint.write(tmp_path, stored(epoch, attempt=1))
    found = [(int(path.parent.name[-1]), int(path.name[-5])) for path in checkpoint.stored(tmp_path)]
    assert found == [(2, 2), (2, 1), (1, 4), (1, 3)]


def test_no_pickle_is_read(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, stored(1))
    arrays = dict(np.load(checkpoint.path_of(tmp_path, 1, 1)))
    np.savez(checkpoint.path_of(tmp_path, 1, 1), **{**arrays, "model_00000": np.array([{"a": 1}], dtype=object)})  # type: ignore[arg-type]
    assert checkpoint.newest(tmp_path) is None
