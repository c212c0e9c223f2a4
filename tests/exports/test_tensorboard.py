"""Event files, read back by TensorBoard."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from sweeper.cli import export as command
from sweeper.errors import InputError
from sweeper.exports import tensorboard as exported
from sweeper.exports.trials import Study
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event
from sweeper.study.spec import StudySpec
from tests.conftest import Run
from tests.exports.conftest import Upto

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed; make test-exports has it"
)


def read(root: str | Path, trial: str) -> dict[str, list[tuple[int, float]]]:
    """Step and value of every scalar of a run."""
    found = accumulator.EventAccumulator(str(Path(root) / trial)).Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def sizes(root: str | Path) -> dict[str, int]:
    return {str(file): file.stat().st_size for file in sorted(Path(root).rglob("events*"))}


def test_scalars_by_epoch(study: Study, out: str) -> None:
    (root,) = exported.write(study, out)
    assert sorted(run.name for run in Path(root).iterdir()) == [
        "cnn-00000", "cnn-00000-s1", "cnn-00001", "cnn-00002", "cnn-00003", "cnn-00004", "resnet_se-00000",
    ]  # fmt: skip
    done = read(root, "cnn-00000")
    assert done["val_accuracy"] == [(1, pytest.approx(0.6)), (2, pytest.approx(0.7)), (3, pytest.approx(0.8))]
    assert done["trial/parameters"] == [(1, 1234)]
    assert done["trial/train_s"] == [(3, 4.5)], "the sum over its epochs"
    assert read(root, "cnn-00000-s1")["trial/test_accuracy"] == [(1, pytest.approx(0.77))]
    assert "trial/train_s" not in read(root, "cnn-00004"), "it still runs"
    assert "val_loss" not in read(root, "cnn-00003"), "it diverged"


def test_what_the_hparams_tab_shows(study: Study, out: str) -> None:
    metadata = pytest.importorskip("tensorboard.plugins.hparams.metadata")
    (root,) = exported.write(study, out)
    found = accumulator.EventAccumulator(str(Path(root) / "cnn-00000-s1")).Reload()
    content = found.PluginTagToContent("hparams")
    start = metadata.parse_session_start_info_plugin_data(content["_hparams_/session_start_info"])
    assert start.group_name == "cnn-00000", "seeds of one configuration are one group"
    assert start.hparams["arm"].string_value == "cnn"
    assert start.hparams["learning_rate"].number_value == 0.001
    assert start.hparams["batch_norm"].bool_value is True
    end = metadata.parse_session_end_info_plugin_data(content["_hparams_/session_end_info"])
    assert end.status == 1, "STATUS_SUCCESS"
    running = accumulator.EventAccumulator(str(Path(root) / "cnn-00004")).Reload().PluginTagToContent("hparams")
    assert set(running) == {"_hparams_/session_start_info"}


def test_step_by_step_gives_the_same_as_at_once(upto: Upto, events: list[Event], tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    (once,) = exported.write(upto(len(events)), str(tmp_path / "once"))
    for number in range(1, len(events) + 1):
        (steps,) = exported.write(upto(number), str(tmp_path))
    for run in Path(once).iterdir():
        assert read(once, run.name) == read(steps, run.name)
    before = sizes(steps)
    exported.write(upto(len(events)), str(tmp_path))
    assert sizes(steps) == before, "nothing is written twice"
    assert list(before.values()) == list(sizes(once).values())


@pytest.mark.parametrize("lost", [1, 9, 40])
def test_a_record_that_was_cut_off_is_written_again(study: Study, out: str, lost: int) -> None:
    (root,) = exported.write(study, out)
    whole = read(root, "cnn-00000")
    (file,) = (Path(root) / "cnn-00000").iterdir()
    text = file.read_bytes()
    file.write_bytes(text[:-lost])
    exported.write(study, out)
    assert file.read_bytes() == text
    assert read(root, "cnn-00000") == whole


def test_runs_of_another_study_are_not_mixed(study: Study, out: str) -> None:
    exported.write(study, out)
    for other in (dataclasses.replace(study, study_id="another"), dataclasses.replace(study, began=study.began + 9)):
        with pytest.raises(InputError, match="has runs of another study"):
            exported.write(other, out)


def test_live_follows_a_study_from_before_it_exists_until_it_is_finished(
    spec: StudySpec, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.cli.kit import make_study

    monkeypatch.setattr(command, "LOOK_S", 0.05)
    looks: list[frozenset[str]] = []
    names = StudyFolder.part_names

    def counted(files: StudyFolder) -> frozenset[str]:
        looks.append(names(files))
        return looks[-1]

    monkeypatch.setattr(StudyFolder, "part_names", counted)
    made = threading.Timer(1.0, lambda: make_study(tmp_path / "results" / "two", spec))
    made.start()
    code, out, err = run("export", "two", "--to", "tensorboard", "--live", "--out", tmp_path / "events")
    made.join()
    assert code == 0, err
    assert out.strip() == str(tmp_path / "events" / "tensorboard")
    assert err.splitlines()[0].endswith("yet; waiting for it")
    assert f"open it with: tensorboard --logdir {tmp_path}/events/tensorboard" in err
    assert len(read(out.strip(), "cnn-00000")["val_loss"]) == 3
    assert len(list(Path(out.strip()).iterdir())) == 12
