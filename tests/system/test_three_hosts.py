"""Three hosts that each run `ray start`: a sweep uses all of them, and its rows are those of one machine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import EPOCH_COLUMNS, TRIAL_COLUMNS, Kind
from sweeper.ledger.tables import tables
from tests.system.clusters import Cluster

STUDY = """
name: spread
dataset: {name: digits, size: 8}
arms:
  cnn: {fixed: {num_blocks: 2, width: 16, convolutions_per_block: 1, dense_units: 64, batch_size: 64, attention: none,
                head: flatten, kernel_size: 3, batch_norm: true, dropout: 0.1, dense_dropout: 0.1, optimizer: adam,
                label_smoothing: 0.0}}
budget: {trials: 6, max_epochs: 6}
search: {sampler: random}
stopping: {rule: none}
"""

OF_THE_RUN = {
    "import_s", "build_s", "train_s", "evaluate_s", "checkpoint_s", "wait_s", "peak_memory_mb", "worker", "is_program_reused",
    "time",
}  # fmt: skip
"""Columns that tell how a row came about; all others are the same wherever a trial runs."""


def rows_of(folder: Path) -> dict[str, dict[tuple[object, ...], dict[str, object]]]:
    """The rows of both tables by trial and epoch, without what tells of the run."""
    found = {}
    for name, table, columns in zip(
        ("trials", "epochs"), tables(StudyFolder(folder).read()), (TRIAL_COLUMNS, EPOCH_COLUMNS), strict=True
    ):
        kept = [column for column in columns if column not in OF_THE_RUN]
        found[name] = {(row["trial"], row["epoch"]): {column: row[column] for column in kept} for row in table.to_pylist()}
    return found


def test_a_sweep_over_three_hosts_gives_the_rows_of_one_machine(three: Cluster, tmp_path: Path) -> None:
    study = tmp_path / "spread.yaml"
    study.write_text(STUDY)
    spread, alone = three.shared / "results", three.shared / "alone"
    code, said = three.sweeper("launch", study, "--results", spread, "--cluster", "attach", "--address", three.address)
    assert code == 0, said
    assert "6 completed" in said and "with 3 workers" in said
    code, said = three.sweeper("launch", study, "--results", alone, "--num-cpus", "1")
    assert code == 0, said

    events = [event for event in StudyFolder(spread / "spread").read() if event.kind is Kind.EPOCH]
    trained = Counter((event.worker or "").split(":")[0] for event in events)
    assert set(trained) == {"head", "one", "two"}, trained
    ours, theirs = rows_of(spread / "spread"), rows_of(alone / "spread")
    assert len(ours["trials"]) == 6 and len(ours["epochs"]) == 36
    assert ours == theirs
    code, said = three.sweeper("audit", spread / "spread")
    assert code == 0, said
