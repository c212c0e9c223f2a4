"""What is asked of a stored study from Python, on one that was made without Ray."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

import sweeper
from sweeper.driver import launch
from sweeper.errors import InputError, NoDataError, UnknownNameError
from sweeper.service import notebook, progress
from sweeper.study.spec import parse
from tests.api.cells import run
from tests.cli.test_ablation import STUDY, make
from tests.cli.test_confirm import confirmed
from tests.conftest import Run


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sweeper.StudyResults:
    """A confirmed study."""
    monkeypatch.chdir(tmp_path)
    confirmed(tmp_path / "results" / "made")
    monkeypatch.setattr(mpl, "rcParams", mpl.rcParams.copy())
    return sweeper.open("results/made")


class Shell:
    """The IPython of a notebook, as far as it is asked for: what it shows, by place."""

    def __init__(self) -> None:
        self.kernel = object()
        self.areas: list[list[str]] = []

    def display(self, thing: str, display_id: bool) -> Any:
        area = [thing]
        self.areas.append(area)
        return SimpleNamespace(update=area.append)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    made = Shell()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: made))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(HTML=str, display=made.display))  # type: ignore[arg-type]
    return made


def test_tables(made: sweeper.StudyResults, run: Run) -> None:
    assert len(made.trials) == 12 and set(made.trials["stage"]) == {"search", "confirm"}
    assert len(made.epochs) == 48
    assert list(made.seeds["parent"]) == ["vit-00001", "cnn-00002"] and made.seeds["mean"][0] == pytest.approx(0.62)
    assert list(made.pareto()["trial"]) == list(made.pareto().sort_values("parameters")["trial"])
    best = made.best()
    assert best.name == best["trial"] == "vit-00001" and isinstance(best["configuration"], dict)
    assert made.best("cnn")["arm"] == "cnn"
    assert made.status()["best"]["trial"] == "vit-00001"
    json.dumps(made.status())
    by_name = sweeper.open("made", results=made.folder.parent)
    pd.testing.assert_frame_equal(by_name.trials, made.trials)


@pytest.mark.long
def test_answers_are_those_of_the_commands(made: sweeper.StudyResults, run: Run) -> None:
    _, out, _ = run("recommend", "made", "--max", "parameters=2000")
    assert repr(made.recommend(parameters=2000)) == out.strip()
    _, out, _ = run("pareto", "made", "--json")
    assert [row["trial"] for row in json.loads(out)["front"]] == list(made.pareto()["trial"])
    page = made.report()
    _, out, _ = run("report", "made", "--out", "other")
    assert out.splitlines()[0] == page.answer and str(page).startswith(page.answer)
    assert page.path.read_bytes() == Path("other/report.html").read_bytes()
    assert page.path.name == "report.html" and "&lt;!doctype html&gt;" in page._repr_html_()
    assert page.facts["study"] == "made"


def test_a_study_shows_itself(made: sweeper.StudyResults) -> None:
    assert "finished: 6 completed; best vit-00001" in repr(made)
    assert "<td>cnn</td>" in made._repr_html_()
    figure = made.plot("seed_strip", stage="confirm")
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_new_rows_are_seen_and_nothing_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "results" / "made", max_events=9)
    found = sweeper.open("made")
    assert found.best is not None and "not finished" in repr(found)
    first = found._now()
    assert found._now() is first
    assert found.seeds.empty
    with pytest.raises(InputError, match="of its search left"):
        found.confirm()
    with pytest.raises(InputError, match="search"):
        found.ablate()


def test_what_is_not_there(made: sweeper.StudyResults) -> None:
    with pytest.raises(UnknownNameError, match="unknown arm 'x'"):
        made.best("x")
    with pytest.raises(UnknownNameError, match="unknown plot 'paretto'"):
        made.plot("paretto")
    with pytest.raises(InputError, match="unknown option of pareto 'w'"):
        made.plot("pareto", w=1)
    with pytest.raises(NoDataError):
        made.plot("confusion")
    with pytest.raises(UnknownNameError, match="unknown column to limit"):
        made.recommend(val_accuracy=1)
    with pytest.raises(UnknownNameError, match=r"unknown study 'mad' in results\. Did you mean 'made'"):
        sweeper.open("mad")
    with pytest.raises(UnknownNameError, match="unknown option 'cpus'"):
        made.ablate(cpus=1)  # type: ignore[call-arg]


@pytest.mark.long
def test_what_trains_more_asks_the_driver_for_it(
    made: sweeper.StudyResults, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    asked: list[Any] = []

    def launched(spec: Any, folder: Any, *, repeat: Any, opened: Any, **options: Any) -> Any:
        asked.append((folder, [(one.parent, one.seed) for one in repeat(opened.search)], options))
        return SimpleNamespace(is_interrupted=True)

    monkeypatch.setattr(launch, "launch", launched)
    table = made.confirm(seeds=4, num_cpus=1, checkpoint_minutes=2)
    assert list(table["n"]) == [3, 3]
    folder, repeated, options = asked[0]
    assert folder.resolve() == made.folder.parent.resolve()
    assert repeated == [("cnn-00002", 1004), ("vit-00001", 1004)]
    assert options["num_cpus"] == 1 and options["checkpoint_every_s"] == 120 and options["keep_best"] == 3
    said = capsys.readouterr().err
    assert (
        "repeating cnn-00002, vit-00001: 2 trials" in said and "interrupted, everything is saved; call it again to go on" in said
    )
    made.ablate("vit-00000", seeds=2, quiet=True)
    assert asked[1][1] == [("vit-00000", 1), ("vit-00000", 2)]
    assert "repeating" not in capsys.readouterr().err
    assert made.confirm(seeds=3).equals(made.seeds) and len(asked) == 2, "nothing new is asked for, so nothing is run"


def test_a_second_run_extends_and_an_early_interrupt_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    text = STUDY.replace("name: made", "name: new")

    def stopped(*given: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "launch", stopped)
    with pytest.raises(KeyboardInterrupt):
        sweeper.Study.from_yaml(text).run()
    assert "interrupted before anything was trained" in capsys.readouterr().err
    make(tmp_path / "results" / "made")
    budget = parse(STUDY).budget
    more = STUDY.replace(f"trials: {budget.trials}", f"trials: {budget.trials + 2}")
    assert more != STUDY
    assert len(sweeper.Study.from_yaml(more).run().trials) == budget.trials
    said = capsys.readouterr().err
    assert "trials 6 -> 8" in said.splitlines()[0] and "call it again to go on" in said


class TestInANotebook:
    def test_the_live_table_stays_in_its_place(self, shell: Shell, made: sweeper.StudyResults) -> None:
        search = made._now().search
        with progress.progress("made", quiet=False) as watch:
            watch(search, None)
            watch(search, None)
        (shown,) = shell.areas
        assert len(shown) == 1, "four times a second at most"
        assert '<td style="text-align:left">cnn</td>' in shown[0] and "made: 24 epochs" not in shown[0]

    def test_it_is_updated(self, shell: Shell) -> None:
        show = notebook.area()
        assert show is not None
        show(notebook.table("a < b", ["arm", "n"], [["cnn", "1"]]))
        show("second")
        assert shell.areas == [[notebook.table("a < b", ["arm", "n"], [["cnn", "1"]]), "second"]]
        assert "a &lt; b" in shell.areas[0][0] and '<td style="text-align:right">1</td>' in shell.areas[0][0]

    def test_a_terminal_with_ipython_is_none(self, shell: Shell) -> None:
        del shell.kernel
        assert notebook.area() is None

    def test_functions_of_cells(self) -> None:
        made = run("def mine(input_shape, num_classes):\n    return 1\n")["mine"]
        assert sweeper.Study(name="x", dataset="digits", arms={"a": made}, trials=1, max_epochs=1).code is not None
