"""The lines of DuckDB and polars on docs/other-tools.md, run on the tables of a study."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.tables import write_tables
from sweeper.study.spec import StudySpec, parse
from tests.cli.kit import make_study
from tests.exports.conftest import TWO_ARMS
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "other-tools.md"

EXAMPLES = blocks(PAGE, "python")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("documented")
    for name in ("digits", "other"):
        spec: StudySpec = parse(TWO_ARMS.replace("name: two", f"name: {name}"))
        make_study(made / "results" / name, spec)
        write_tables(made / "results" / name, StudyFolder(made / "results" / name).read())
    return made


def test_both_are_shown() -> None:
    assert [example.split()[1] for example in EXAMPLES] == ["duckdb", "duckdb", "polars", "polars"]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_a_documented_line_runs(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(EXAMPLES[number].split()[1], reason="it is not installed; make test-exports has it")
    monkeypatch.chdir(folder)
    exec(EXAMPLES[number], {})
    shown, trials = capfd.readouterr().out, pd.read_parquet("results/digits/tables/trials.parquet")
    completed = trials[trials["status"] == "completed"]
    best = completed.sort_values("val_accuracy").iloc[-1]
    if number == 0:
        assert best["trial"] in shown and str(best["val_accuracy"]) in shown
    elif number == 1:
        assert all(name in shown for name in ("adam", "digits", "other"))
    elif number == 2:
        assert "val_accuracy" in shown and "resnet_se" in shown
    else:
        assert all(name in shown for name in completed[completed["arm"] == "cnn"]["trial"])
        assert "learning_rate" in shown
