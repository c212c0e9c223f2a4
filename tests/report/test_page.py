"""The page and the Markdown: no text of a user is read as markup, and bad or incomplete results are told as such."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sweeper.analysis.results import Results
from sweeper.cli._shared import plain_data
from sweeper.report.build import facts, report
from sweeper.report.page import page
from sweeper.report.parts import plain
from sweeper.report.text import markdown
from sweeper.study.spec import parse
from tests import synthetic
from tests.cli.kit import STUDY, make_study
from tests.conftest import Run
from tests.report import kit

CELL = re.compile(r"(?<!\\)\|")
"""What ends a cell of a table in Markdown."""

EVIL = "<script>alert(1)</script>\"'&|`]("


class _Tags(HTMLParser):
    """The tags of a page, its text, and every address in it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src"):
                self.links.append(str(value))
            if name.startswith("on") or name == "style":
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> _Tags:
    tags = _Tags()
    tags.feed(html)
    tags.close()
    return tags


def test_the_page_needs_nothing_else_and_its_links_lead_somewhere() -> None:
    html = page(report(kit.rich()))
    tags = read(html)
    assert "http://" not in html
    assert "https://" not in html
    assert tags.handlers == []
    assert len(tags.ids) == len(set(tags.ids))
    assert {link for link in tags.links if not link.startswith("#")} == {"data:,"}
    assert {link[1:] for link in tags.links if link.startswith("#")} <= set(tags.ids)
    assert sum(1 for link in tags.links if link.startswith("#n")) > 100


def test_what_users_write_is_text() -> None:
    results = dataclasses.replace(kit.rich(), study=EVIL, class_names=(EVIL, "b"))
    trials = results.trials.copy()
    trials["detail"] = trials["detail"].where(trials["status"] != "failed", EVIL)
    trials["configuration"] = json.dumps({EVIL: EVIL})
    trials["device"] = EVIL
    told = report(dataclasses.replace(results, trials=trials))
    tags = read(page(told))
    expected = read(page(report(kit.rich())))
    # One script, and the data of the figure.
    assert tags.tags.count("script") == expected.tags.count("script") == 2
    assert set(tags.tags) == set(expected.tags)
    assert tags.handlers == []
    assert EVIL in tags.text
    text = markdown(told)
    assert "<script>" not in text
    lines = text.splitlines()
    for first, second in itertools.pairwise(line for line in lines if not line.strip() or line.startswith("|")):
        if first.startswith("|") and second.startswith("|"):
            assert len(CELL.findall(first)) == len(CELL.findall(second)), second


def test_every_figure_of_the_page_says_what_it_is() -> None:
    html = page(report(kit.rich()))
    assert html.count("<figure") == html.count("<figcaption>") == 5
    assert html.count('role="img"') + html.count('role="group" tabindex="0"') == 5


def _unfinished(results: Results) -> Results:
    trials = results.trials.copy()
    trials.loc[trials["arm"] == "vit", "status"] = "running"
    return dataclasses.replace(results, trials=trials)


def _failed(results: Results) -> Results:
    trials = results.trials.assign(status="failed", reason="nan", detail="no <luck>", val_accuracy=float("nan"))
    return dataclasses.replace(results, trials=trials)


def _short(results: Results) -> Results:
    return dataclasses.replace(results, epochs=results.epochs[results.epochs["arm"] != "cnn"])


BAD: dict[str, tuple[Callable[[], Results], list[str]]] = {
    "nothing": (synthetic.empty, ["Nothing was trained yet, so there is nothing to choose."]),
    "not confirmed": (
        lambda: kit.small(searched={"cnn": 0.9, "vit": 0.8}),
        [
            "For now choose cnn",
            # Wilson's interval of 360 of 400: 89.6 ± 2.95 %.
            "Nothing is confirmed: a score is of one training, on the validation split that also chose it. "
            "400 images alone leave ±3.0 points",
            "sweeper confirm made",
        ],
    ),
    "unfinished": (lambda: _unfinished(kit.small(searched={"cnn": 0.9, "vit": 0.8})), ["1 trial has not ended."]),
    "one seed": (
        lambda: kit.small({"cnn": [0.9], "vit": [0.8]}),
        [
            "(1 seed, so without an interval)",
            "no interval and no verdict for cnn and vit. More seeds: sweeper confirm made --seeds 5",
        ],
    ),
    "one arm": (
        lambda: kit.small({"cnn": [0.9, 0.91]}),
        ["is that of the only confirmed configuration", "The study has one arm, cnn: there is no other architecture"],
    ),
    "all failed": (
        lambda: _failed(kit.small(searched={"cnn": 0.9, "vit": 0.8})),
        ["No trial is completed, so there is nothing to choose: 2 failed.", "2 trials failed: 2 (nan).", "no <luck>"],
    ),
    "no test split": (
        lambda: dataclasses.replace(synthetic.build(confirm_seeds=3)),
        ["its validation accuracy of", "No test split was evaluated"],
    ),
    "a seed that failed": (
        lambda: kit.small({"cnn": [0.9, None, 0.91], "vit": [0.8, 0.81, 0.83]}),
        ["1 trial failed: 1 (nan).", "The configurations completed 2 to 3 seeds"],
    ),
    "half the rows": (
        lambda: _short(kit.small(searched={"cnn": 0.9, "vit": 0.8})),
        ["Part of the results is missing: rows of 1 trial."],
    ),
    "seen data": (
        lambda: kit.small(searched={"cnn": 0.9}, dataset=json.dumps({"name": "x", "validation_includes_test": True})),
        ["The validation split includes the test images"],
    ),
    "a loss": (
        lambda: dataclasses.replace(kit.small(searched={"cnn": 0.9}, val_loss=0.25), objectives=(("min", "val_loss"),)),
        ["For now choose cnn (cnn-00000, 30k trainable parameters): 0.25 nats validation loss"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_results_that_are_bad_or_incomplete_are_told_as_such(case: str) -> None:
    make, said = BAD[case]
    told = report(make())
    text = " ".join(" ".join(map(plain, sentences)) for sentences in (told.answer, told.caveats))
    text += " ".join(plain(sentence) for section in told.sections for sentence in section.sentences)
    assert [words for words in said if words not in text] == [], text
    assert json.loads(json.dumps(plain_data(facts(told)), allow_nan=False))["study"] == told.study
    assert read(page(told)).tags[-1] == "script"
    assert markdown(told).startswith(f"# {told.study}: which architecture?")


def test_the_commands(finished: Path, run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", "made", "--results", str(finished), "--out", str(tmp_path / "told"))
    assert (code, err) == (0, "")
    assert out.startswith("For now choose ")
    assert "note: Nothing is confirmed" in out
    assert sorted(file.name for file in (tmp_path / "told").iterdir()) == ["report.html", "report.json", "report.md"]
    data = json.loads((tmp_path / "told" / "report.json").read_text())
    assert " ".join(sentence["text"] for sentence in data["answer"]) == out.splitlines()[0]
    code, out, err = run("recommend", "made", "--results", str(finished), "--max", "parameters=5e4", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["choice"]["parameters"] <= 5e4


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (["parameters"], "--max parameters: write COLUMN=NUMBER, for example --max parameters=1e6"),
        (["parameters=many"], "'many' is not a number from 0 on"),
        (["parameters=-1"], "'-1' is not a number from 0 on"),
        (["parameters=1e6", "parameters=1e5"], "'parameters' is limited twice"),
        (["size=1e6"], "unknown column to limit 'size'. Allowed: latency_ms, "),
        (["parameters=1"], "has parameters <= 1; the closest is "),
    ],
)
def test_limits_that_are_wrong(limits: list[str], said: str, finished: Path, run: Run) -> None:
    options = [part for limit in limits for part in ("--max", limit)]
    code, out, err = run("recommend", "made", "--results", str(finished), *options)
    assert (code, out) == (2, "")
    assert said in err


def test_half_a_results_folder_and_an_older_one(run: Run, tmp_path: Path) -> None:
    make_study(tmp_path / "results" / "made", parse(STUDY))
    parts = sorted((tmp_path / "results" / "made" / "ledger").iterdir())
    assert parts
    for part in parts:
        part.unlink()
    code, out, _ = run("report", "made", "--results", str(tmp_path / "results"))
    assert code == 0
    assert "Nothing was trained yet" in out
    assert "The ledger of the study holds nothing" in out
    old = Path(__file__).parents[1] / "fixtures" / "ledger-v1"
    code, out, err = run("report", str(old), "--out", str(tmp_path / "old"))
    assert (code, err) == (0, "")
    assert out.startswith("For now choose resnet (resnet-00001): 90.8 % validation accuracy")
