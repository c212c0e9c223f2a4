"""The answer and the sections, by value: every sentence here is worked out by hand from a few rows."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sweeper.analysis.results import Results
from sweeper.errors import NoDataError, UnknownNameError
from sweeper.report.build import facts, report
from sweeper.report.parts import Command, difference_text, interval_text, listing, plain, said, value_text
from sweeper.report.recommend import recommend
from tests import synthetic
from tests.report import kit

SURE = {"resnet": [0.90, 0.91, 0.92], "cnn": [0.850, 0.862, 0.868], "vit": [0.905, 0.90, 0.919]}
"""resnet - cnn: 5.0, 4.8, 5.2 points; resnet - vit: -0.5, 1.0, 0.1 points."""


def answer_of(results: Results) -> str:
    return " ".join(plain(sentence) for sentence in report(results).answer)


def section_of(results: Results, key: str) -> str:
    section = next(section for section in report(results).sections if section.key == key)
    return " ".join(plain(sentence) for sentence in section.sentences)


def test_the_answer_says_what_why_what_below_and_what_is_open() -> None:
    # 4.303 * 1.0 / sqrt(3) = 2.5 points; resnet - cnn has sd 0.2 points.
    answer = answer_of(kit.small(SURE))
    assert answer.startswith(
        "Choose resnet (resnet-00000, 180k trainable parameters): its test accuracy of 91.0 % (mean of 3 seeds, "
        "95 % interval 88.5 to 93.5 %) is the highest of 3 confirmed configurations. It is better than cnn by 5.0 points ("
    )
    assert "vit cannot be told apart from it: the difference is 0.2 points (" in answer
    assert "more seeds would settle it." in answer
    assert "Below 90k trainable parameters choose vit (vit-00000): 90.8 %, 0.2 points less, with 90k (2.0 times fewer)." in answer
    assert "Below 45k trainable parameters choose cnn (cnn-00000): 86.0 %, 5.0 points less, with 30k (6.0 times fewer)." in answer


def test_an_equivalent_one_and_a_latency() -> None:
    even = {"resnet": [0.9000, 0.9100, 0.9200, 0.9050], "cnn": [0.8999, 0.9101, 0.9199, 0.9048]}
    answer = answer_of(kit.small(even, latency_ms={"resnet": 4.0, "cnn": 1.0}))
    assert "Equally good, within 0.5 points: cnn less than 0.1 points behind (0.0 to 0.0)." in answer
    assert "Below 90k trainable parameters or 2 ms an image choose cnn (cnn-00000): 90.9 %, less than 0.1 points less, " in answer
    assert "with 30k (6.0 times fewer) and 1 ms (4.0 times faster)." in answer


def test_one_that_is_ahead_on_the_seeds_that_both_completed_is_told() -> None:
    # a - b: -1.0 and -1.1 points; b alone completed a third seed, and badly.
    answer = answer_of(kit.small({"a": [0.90, 0.91, None], "b": [0.91, 0.921, 0.5]}))
    assert answer.startswith("Choose a (a-00000, 50k trainable parameters): its test accuracy of 90.5 % (mean of 2 seeds")
    assert "Over the seeds that both completed, b is better, by 1.1 points (0.4 to 1.7)." in answer


def test_pairs_that_share_no_seed_and_intervals_beyond_what_an_accuracy_can_be() -> None:
    answer = answer_of(kit.small({"a": [0.99, 0.90, None, None], "b": [None, None, 0.80, 0.81]}))
    assert "(mean of 2 seeds, 95 % interval 37.3 to 100.0 %)" in answer
    assert "b shares no completed seed of the same length with it, so the two are not compared." in answer
    assert "nan" not in answer


def test_json_has_the_choice_and_every_pair() -> None:
    data = facts(report(kit.small(SURE)))
    assert data["choice"]["trial"] == "resnet-00000"
    assert data["choice"]["score"] == pytest.approx(0.91)
    assert data["choice"]["is_confirmed"] is True
    pairs = {(pair["a"], pair["b"]): pair for pair in data["pairs"]}
    sure = pairs["resnet-00000", "cnn-00000"]
    assert (sure["verdict"], sure["seeds_needed"], sure["seeds"]) == ("better", None, 3)
    assert sure["difference"] == pytest.approx(0.05)
    assert sure["interval"][0] < 0.05 < sure["interval"][1]
    open_one = pairs["resnet-00000", "vit-00000"]
    assert open_one["verdict"] == "undecided"
    assert open_one["seeds_needed"] > 3


def test_every_number_of_a_single_row_is_that_of_the_row_and_every_mean_that_of_the_seeds() -> None:
    results = kit.rich()
    trials = results.trials.set_index("trial")
    tests = results.trials[results.trials["stage"] == "confirm"].set_index("parent")["test_accuracy"]
    checked = {"value": 0, "mean": 0, "count": 0}

    def check(number: dict[str, Any]) -> None:
        column, rows, value = number["column"], number["rows"], number["value"]
        if number["table"] == "trials" and rows in trials.index and column in trials and number["how"] == "value" and value:
            assert value == pytest.approx(float(trials.loc[rows, column])), number
            checked["value"] += 1
        elif number["how"].startswith("mean of") and column == "test_accuracy":
            means = [tests.loc[parent].mean() for parent in rows.split("parent = ")[1].split(" and ")]
            assert value == pytest.approx(means[0] - (means[1] if len(means) > 1 else 0.0)), number
            checked["mean"] += 1
        elif number["how"] == "count" and rows.startswith("arm = ") and number["column"] == "status":
            arm, status = (part.split(" = ")[1] for part in rows.split(", "))
            if status in ("completed", "stopped"):
                own = results.trials[(results.trials["arm"] == arm) & (results.trials["status"] == status)]
                assert value == len(own), number
                checked["count"] += 1

    def walk(data: Any) -> None:
        if isinstance(data, dict):
            if {"said", "rows", "column"} <= data.keys():
                check(data)
            for one in data.values():
                walk(one)
        elif isinstance(data, list):
            for one in data:
                walk(one)

    walk(facts(report(results)))
    assert checked["value"] > 10
    assert checked["mean"] > 3
    assert checked["count"] == 6


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_every_number_that_is_said_has_its_rows(is_confirmed: bool) -> None:
    told = report(kit.rich() if is_confirmed else synthetic.build())
    cells = [cell for section in told.sections if section.table for row in section.table.rows for cell in row]
    sentences = [*told.answer, *told.caveats, *(sentence for section in told.sections for sentence in section.sentences), *cells]
    parts = [part for sentence in sentences for part in (sentence if isinstance(sentence, tuple) else (sentence,))]
    texts = [part for part in parts if isinstance(part, str) and not isinstance(part, Command)]
    without_names = [re.sub(r"\b\w+-\d{5}(-s\d+)?|\w+=\S+", "", text) for text in texts]
    # What is left are the numbers of rules, and what a user's error message says.
    rules = {"5", "95 %", "5,000", "4", "0", "3"}
    said = {number.strip() for text in without_names for number in re.findall(r"\d[\d,.]*(?: %)?", text)}
    assert said <= rules


def test_questions_are_answered_from_the_rows() -> None:
    results = kit.small(SURE)
    assert section_of(results, "macs") == (
        "resnet, the best, takes 6.0 times the multiply-accumulates of cnn (1.8M against 300k) for 5.0 points more "
        "(1.9 points for each doubling)."
    )
    assert section_of(results, "time").startswith(
        "resnet, the best, takes 6.0 times the training time of cnn (18 s against 3.0 s)"
    )
    assert section_of(results, "overfitting") == (
        "Nobody: the largest gap is 2.0 points, of resnet. Validation accuracy ended below its own best epoch: "
        "resnet by 1.0 points, vit by 1.0 points and cnn by 1.0 points."
    )
    # 96 % of the final accuracy is there after the second of four epochs.
    assert section_of(results, "convergence") == (
        "cnn, vit and resnet are first at 95 % of the final accuracy, after 2 epochs. In seconds cnn is first: 1.5 s."
    )
    assert section_of(results, "parameters") == (
        "The rows cannot tell. It takes 5 completed trials of known, different sizes; of known size are 3."
    )
    assert section_of(results, "failures") == "No trial failed."


def test_who_overfits() -> None:
    known = kit.small(SURE, train_accuracy={"resnet": 0.99, "cnn": 0.93, "vit": 0.8})
    assert section_of(known, "overfitting").startswith(
        "By more than 5 points: resnet by 9.0 points. Validation accuracy ended below"
    )
    told = next(section for section in report(known).sections if section.key == "overfitting")
    assert told.table is not None
    assert [plain(row[3]) for row in told.table.rows] == ["9.0 points", "3.0 points", "−10.0 points"]
    none = section_of(kit.small(SURE, train_accuracy=0.7), "overfitting")
    assert none.startswith("Nobody: no training accuracy is above its validation accuracy.")


def test_what_costs_more_and_is_worse_is_not_worth_it() -> None:
    text = section_of(kit.small({"cnn": [0.92, 0.93, 0.91], "vit": [0.80, 0.82, 0.81]}), "macs")
    assert text == (
        "No: cnn has the best score with the least multiply-accumulates (300k). Not worth it: vit (3.0 times the "
        "multiply-accumulates of cnn, 11.0 points less)."
    )


def test_a_difference_that_may_be_chance_is_said_to_be_one() -> None:
    text = section_of(kit.small({"resnet": [0.90, 0.91, 0.92], "cnn": [0.91, 0.90, 0.91]}), "macs")
    # With one training each, 400 images tell 10 points apart, and 2 points not.
    unsure, sure = ({"resnet": 0.92, "cnn": cnn} for cnn in (0.90, 0.82))
    assert section_of(kit.small(searched=unsure), "macs").endswith("which may be chance.")
    assert "chance" not in section_of(kit.small(searched=sure), "macs")
    assert "for 0.3 points more (0.1 points for each doubling), which may be chance." in text


def test_same_images() -> None:
    # Wrong for both: 2 of the 5 that either gets wrong. Sure voters tie where one is wrong: the first class wins, which is right
    # for even images.
    results = kit.small({"resnet": [0.9, 0.91], "cnn": [0.8, 0.82]})
    wrong = {"resnet-00000-s1001": {0, 1, 2}, "cnn-00000-s1001": {0, 1, 4, 6}}
    assert section_of(kit.with_predictions(results, wrong, 100), "same_images") == (
        "Of 100 test images 2.0 % are wrong for both models, 5.0 % for at least one. Of the images that resnet or cnn "
        "gets wrong, 40.0 % are wrong for both. Averaging their probabilities gives 98.0 % test accuracy; the best of these "
        "models alone, resnet, 97.0 %."
    )
    # 1 of 4; and resnet with itself: 2 of 4. Means over both seeds: 32.5 %, 2.0 and 4.5 %.
    more = wrong | {"resnet-00000-s1002": {1, 2, 3}, "cnn-00000-s1002": {3, 4}}
    told = section_of(kit.with_predictions(results, more, 100), "same_images")
    assert told.startswith("Of 100 test images 1.5 % are wrong for both models, 4.5 % for at least one.")
    assert "gets wrong, 32.5 % are wrong for both. Two trainings of resnet alone share 50.0 %." in told


def test_scenarios_take_their_limits_from_the_rows() -> None:
    told = report(kit.rich())
    section = next(section for section in told.sections if section.key == "scenarios")
    assert section.table is not None
    rows = {plain(row[0]): [plain(cell) for cell in row[1:]] for row in section.table.rows}
    sizes = synthetic.build(confirm_seeds=5).trials.query("stage == 'search' and status == 'completed'")["parameters"]
    assert rows["mobile"][0].startswith(f"trainable parameters at most {value_text('parameters', sorted(sizes)[4])}, ")
    assert rows["large budget"][1] == "resnet (resnet-00004)"
    assert rows["small data"][0] == "this study trains on 1,000 images; small is at most 5,000"


def test_words() -> None:
    assert value_text("val_accuracy", 0.9876) == "98.8 %"
    assert value_text("train_s", 5400.0) == "1.5 h"
    assert value_text("latency_ms", float("nan")) == "–"
    assert difference_text("val_accuracy", -0.0123) == "−1.2 points"
    assert difference_text("val_accuracy", 0.0004) == "less than 0.1 points"
    assert difference_text("val_loss", 0.0312) == "0.0312 nats"
    assert interval_text("test_accuracy", -0.004, 0.008, is_difference=True) == "−0.4 to 0.8"
    assert plain(listing(["a", "b", "c"])) == "a, b and c"
    assert plain(listing([*"abcdefg"])) == "a, b, c, d and 3 others"
    assert plain(said("{} is {}", "{}", "x")) == "{} is x"


def test_a_recommendation_has_three_lines() -> None:
    results = kit.small(SURE)
    choice, sure, then = (plain(line) for line in recommend(results, {}).lines)
    assert choice.startswith("Choose resnet (resnet-00000, 180k trainable parameters)")
    assert sure.startswith("It is better than cnn by 5.0 points")
    assert "seeds in all would settle the rest: sweeper confirm made --seeds" in then
    limited = recommend(results, {"parameters": 1e5})
    assert plain(limited.lines[0]).startswith("Choose vit (vit-00000, 90k trainable parameters)")
    assert "of 2 confirmed configurations within the limits" in plain(limited.lines[0])
    assert [pair["b"] for pair in limited.facts["pairs"]] == ["cnn-00000"]
    alone = recommend(results, {"parameters": 4e4})
    assert [plain(line) for line in alone.lines[1:]] == [
        "Nothing to compare it with is within the limits.",
        "Train it again: sweeper retrain made cnn-00000",
    ]


def test_a_recommendation_of_what_is_not_confirmed_says_so() -> None:
    lines = [plain(line) for line in recommend(kit.small(searched={"cnn": 0.9, "vit": 0.8}), {}).lines]
    assert lines[0] == (
        "For now choose cnn (cnn-00000, 30k trainable parameters): 90.0 % validation accuracy, the best of 2 completed trials."
    )
    assert lines[2] == "Not confirmed, one training each. Confirm: sweeper confirm made"


def test_limits_that_leave_nothing() -> None:
    results = kit.small(SURE)
    with pytest.raises(NoDataError, match=r"has parameters <= 1000; the closest is cnn-00000 with 30k \(parameters\)"):
        recommend(results, {"parameters": 1000.0})
    with pytest.raises(NoDataError, match=r"has a value of latency_ms\. Measure it with: sweeper measure made"):
        recommend(results, {"latency_ms": 5.0})
    with pytest.raises(UnknownNameError, match="Did you mean 'parameters'"):
        recommend(results, {"paramters": 5.0})
    with pytest.raises(NoDataError, match="Nothing was trained yet"):
        recommend(synthetic.empty(), {})


def test_intervals_over_seeds_say_what_the_number_of_test_images_adds() -> None:
    told = report(kit.rich())
    section = next(section for section in told.sections if section.key == "contenders")
    assert section.note.startswith(
        "Intervals are over seeds. That there are 400 test images makes an accuracy uncertain by about "
    )
