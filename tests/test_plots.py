"""Plots: frames by value, drawings by smoke, and text measured: inside the figure, and never on other text."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from sweeper import catalog
from sweeper.analysis import pareto as analysis_pareto
from sweeper.analysis import progress
from sweeper.analysis.results import Results, arm_labels, at_stage
from sweeper.errors import InputError, NoDataError, UnknownNameError
from sweeper.plots import _labels, _quantities, _style
from sweeper.plots import accuracy_per_arm as arms_module
from sweeper.plots import best_so_far as best_module
from sweeper.plots import learning_curves as curves_module
from sweeper.plots import pareto as pareto_module
from sweeper.plots import seed_strip as strip_module
from tests import synthetic

MODULES = {
    "accuracy_per_arm": arms_module,
    "best_so_far": best_module,
    "learning_curves": curves_module,
    "pareto": pareto_module,
}
"""Plots of the search; those of repetitions have tests of their own."""

SIZES: dict[str, dict[str, Any]] = {
    "small": {},
    "one trial": {"num_arms": 1, "trials_per_arm": 1},
    "one arm": {"num_arms": 1},
    "one epoch": {"max_epochs": 1},
    "crowded": {"num_arms": 8, "trials_per_arm": 60, "max_epochs": 27},
    "many arms": {"num_arms": 16, "trials_per_arm": 20},
}


def drawn(name: str, results: Results, **options: Any) -> Figure:
    figure = getattr((MODULES | {"seed_strip": strip_module})[name], name)(results, **options)
    assert isinstance(figure, Figure)
    return figure


def without_completed(results: Results) -> Results:
    trials = results.trials.assign(status=results.trials["status"].replace("completed", "running"))
    return dataclasses.replace(results, trials=trials)


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")


def visible_texts(figure: Figure) -> Iterator[tuple[Text, Bbox]]:
    for text in figure.findobj(Text):
        # Axes keep empty and unused texts, tick labels among them, that nobody sees.
        if text.get_text().strip() and text.get_visible():
            yield text, text.get_window_extent()


def overlap(one: Bbox, other: Bbox) -> bool:
    return bool(one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1)


@pytest.mark.long
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MODULES)
def test_text_stays_inside_the_figure_and_off_other_text(name: str, size: str) -> None:
    check_text(drawn(name, synthetic.build(**SIZES[size])))


def check_text(figure: Figure) -> None:
    """Every text is inside the figure and off every other one."""
    figure.draw_without_rendering()
    ticks = {tick for axes in figure.axes for tick in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    fixed = [(text, box) for text, box in visible_texts(figure) if not any(text is tick for tick in ticks)]
    for text, box in fixed:
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, text
    for (one, first), (other, second) in itertools.combinations(fixed, 2):
        assert not overlap(first, second), (one, other)


@pytest.mark.parametrize("name", MODULES)
def test_the_legend_is_outside_the_data_and_the_caption_counts(name: str) -> None:
    figure = drawn(name, synthetic.build())
    (legend,) = figure.legends
    assert all(not overlap(legend.get_window_extent(), axes.get_window_extent()) for axes in figure.axes)
    assert figure.get_suptitle().startswith("digits: ")
    caption = figure.get_supxlabel()
    assert all(count in caption for count in ("17 completed", "6 stopped early", "1 failed"))
    assert any("(%)" in axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes)


@pytest.mark.parametrize("name", [*MODULES, "seed_strip"])
def test_nothing_global_is_left_behind(name: str) -> None:
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    drawn(name, synthetic.build(ablation_seeds=2))
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", [*MODULES, "seed_strip"])
def test_the_catalog_finds_the_plot(name: str) -> None:
    assert name in catalog.names("plot")
    assert catalog.load("plot", name).__name__ == name
    assert "stage" in catalog.parameters("plot", name)
    assert catalog.summary("plot", name)


@pytest.mark.parametrize("name", MODULES)
def test_without_a_completed_trial_the_figure_says_so(name: str) -> None:
    figure = drawn(name, without_completed(synthetic.build()))
    assert "0 completed" in figure.get_supxlabel()
    if name != "best_so_far":  # every epoch counts there, whatever became of its trial
        assert "no completed trial yet" in figure.get_suptitle().replace("\n", " ")


@pytest.mark.parametrize("name", MODULES)
def test_without_any_value_the_error_says_what_to_do(name: str) -> None:
    with pytest.raises(InputError, match=r"study 'digits' has no values of .*Columns with data: none"):
        drawn(name, synthetic.empty())
    with pytest.raises(UnknownNameError, match="unknown stage 'serch'"):
        drawn(name, synthetic.build(), stage="serch")


def test_a_column_that_was_not_measured() -> None:
    results = synthetic.build()
    empty = dataclasses.replace(results, trials=results.trials.assign(macs=None))
    with pytest.raises(InputError, match=r"no values of macs .*Columns with data: val_accuracy, .*parameters"):
        drawn("pareto", empty, x="macs")
    assert drawn("pareto", empty, x="parameters")


def test_frames_are_those_of_the_analysis() -> None:
    results = synthetic.build(confirm_seeds=2)
    search, confirm = at_stage(results, "search"), at_stage(results, "confirm")
    expected = {
        "pareto": (analysis_pareto.trials_front(search), analysis_pareto.trials_front(confirm)),
        "learning_curves": (progress.learning_curves(search), progress.learning_curves(confirm)),
        "best_so_far": (progress.best_so_far(search), progress.best_so_far(confirm)),
        "accuracy_per_arm": (progress.last_values(search), progress.last_values(confirm)),
    }
    for name, module in MODULES.items():
        frame: Any = module.frame  # type: ignore[attr-defined]
        pd.testing.assert_frame_equal(frame(results), expected[name][0])
        pd.testing.assert_frame_equal(frame(results, stage="confirm"), expected[name][1])


@pytest.mark.long
@pytest.mark.parametrize("name", MODULES)
def test_repetitions_leave_a_picture_of_the_search_as_it_was(name: str) -> None:
    without, repeated = synthetic.build(), synthetic.build(ablation_seeds=4, confirm_seeds=2)
    frame: Any = MODULES[name].frame  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(frame(repeated), frame(without))
    pictures = [np.asarray(picture_of(drawn(name, results))) for results in (without, repeated)]
    np.testing.assert_array_equal(*pictures)


def picture_of(figure: Figure) -> Any:
    """Its pixels."""
    figure.canvas.draw()
    return figure.canvas.buffer_rgba()  # type: ignore[attr-defined]


@pytest.mark.long
@pytest.mark.parametrize("seeds", [1, 2, 3, 8, 10])
@pytest.mark.parametrize("arms", [1, 2, 3, 6, 8])
def test_text_of_a_seed_strip_stays_inside_and_off_other_text(arms: int, seeds: int) -> None:
    check_text(drawn("seed_strip", synthetic.build(num_arms=arms, ablation_seeds=seeds)))


def test_a_seed_strip_shows_every_seed_its_mean_and_what_is_missing() -> None:
    results = synthetic.build(ablation_seeds=4)
    figure = drawn("seed_strip", results)
    frame = strip_module.frame(results)
    assert len(frame) == 12 and frame["value"].notna().sum() == 11
    (axes,) = figure.axes
    dots = [
        (line.get_marker(), *line.get_xdata()) for line in axes.lines if line.get_marker() in "os^D" and line.get_zorder() == 3
    ]
    assert len(dots) == 11
    markers = dict(zip((1, 2, 3, 4), "os^D", strict=True))
    expected = [(markers[seed], value) for seed, value in zip(frame["seed"], frame["value"], strict=True) if np.isfinite(value)]
    assert sorted(dots) == sorted(expected)
    joined = [line for line in axes.lines if len(line.get_xdata()) in (2, 3) and line.get_zorder() == 1.5]
    assert sorted(len(line.get_xdata()) for line in joined) == [2, 3, 3, 3], "a line per seed, the failed one left out"
    names = {label.get_text().replace("\n", " ") for label in axes.get_yticklabels()}
    assert names == {"cnn cnn-00000 n = 3, 1 failed", "resnet resnet-00000 n = 4", "vit vit-00000 n = 4"}
    assert figure.get_suptitle().startswith("digits: resnet-00000 has the best mean validation accuracy")
    caption = figure.get_supxlabel().replace("\n", " ")
    assert "11 completed, 0 stopped early, 1 failed (not shown)" in caption
    assert "Over the 3 seeds both completed, resnet-00000 is ahead of cnn-00000 by " in caption
    assert "(%)" in axes.get_xlabel()


def test_many_rows_are_not_joined_and_many_seeds_are_all_dots() -> None:
    (axes,) = drawn("seed_strip", synthetic.build(num_arms=strip_module.MOST_JOINED + 1, ablation_seeds=2)).axes
    assert not any(line.get_zorder() == 1.5 for line in axes.lines)
    (axes,) = drawn("seed_strip", synthetic.build(num_arms=2, ablation_seeds=9)).axes
    assert {line.get_marker() for line in axes.lines if line.get_zorder() == 3} == {"o"}
    heights = {line.get_ydata()[0] for line in axes.lines if line.get_zorder() == 3}
    assert len(heights) == 17, "two seeds of a row never cover each other"


def test_the_interval_of_two_seeds_leaves_the_axis_instead_of_flattening_the_dots() -> None:
    results = synthetic.build(ablation_seeds=2)
    caption = drawn("seed_strip", results).get_supxlabel().replace("\n", " ")
    assert "Intervals that leave the axis end in arrows" in caption
    assert "so these seeds do not tell them apart" in caption
    assert "An interval needs two seeds." in drawn("seed_strip", synthetic.build(ablation_seeds=1)).get_supxlabel()


def test_a_seed_strip_of_losses_and_of_confirmations() -> None:
    results = synthetic.build(confirm_seeds=3)
    figure = drawn("seed_strip", results, stage="confirm", column="val_loss")
    assert "(nats)" in words(figure) and "9 completed" in figure.get_supxlabel()
    means = [
        np.mean(rows["value"]) for _, rows in strip_module.frame(results, stage="confirm", column="val_loss").groupby("parent")
    ]
    assert f" {min(means):.3g} over 3 seeds" in figure.get_suptitle(), "the lowest loss is the best one"


def test_without_repetitions_the_seed_strip_says_how_to_get_them() -> None:
    with pytest.raises(NoDataError, match=r"study 'digits' has no values .*sweeper ablate digits --seeds 3$"):
        drawn("seed_strip", synthetic.build())
    results = synthetic.build(ablation_seeds=2)
    trials = results.trials.assign(status=results.trials["status"].where(results.trials["stage"] == "search", "running"))
    with pytest.raises(NoDataError, match=r"repetitions at this stage: 6 unfinished.*let more repetitions finish"):
        drawn("seed_strip", dataclasses.replace(results, trials=trials))
    with pytest.raises(UnknownNameError, match=r"unknown stage of repetitions 'search'.*Allowed: ablation, confirm"):
        drawn("seed_strip", results, stage="search")


@pytest.mark.parametrize("name", ["accuracy_per_arm", "best_so_far", "learning_curves"])
def test_losses_can_be_drawn_too(name: str) -> None:
    assert "(nats)" in words(drawn(name, synthetic.build(), metric="val_loss"))


def test_trials_far_below_are_counted_at_the_edge_or_shown_in_full() -> None:
    zoomed, full = drawn("pareto", synthetic.build()), drawn("pareto", synthetic.build(), is_zoomed=False)
    assert "6 trials beyond the vertical axis" in zoomed.get_supxlabel().replace("\n", " ")
    assert "beyond" not in full.get_supxlabel()
    assert full.axes[0].get_ylim()[0] < 0.33 < zoomed.axes[0].get_ylim()[0]


@pytest.mark.parametrize("results", [synthetic.build(num_arms=8, trials_per_arm=60), synthetic.build(num_arms=16)])
def test_every_trial_of_the_front_is_labelled_inside_the_axes(results: Results) -> None:
    figure = drawn("pareto", results)
    (axes,) = figure.axes
    front = analysis_pareto.trials_front(results).query("is_on_front")["trial"]
    boxes = {text.get_text(): box for text, box in visible_texts(figure) if text.get_text() in set(front)}
    assert set(boxes) == set(front) and len(front) > 5
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes.values())


@pytest.mark.long
@pytest.mark.parametrize("spread", [1.0, 0.1, 0.0])
def test_labels_of_a_crowd_do_not_overlap(spread: float) -> None:
    stream = np.random.default_rng(0)
    points = 0.5 + spread * (stream.random((30, 2)) - 0.5)
    figure = _style.figure(width=7, height=5)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.scatter(*points.T)
    _style.finish(figure, title="crowd", caption="")
    placed = _labels.place(axes, points, [f"resnet-{number:05d}" for number in range(30)])
    assert placed.skipped == () and len(placed.annotations) == 30
    frame, boxes = axes.get_window_extent(), [label.get_window_extent() for label in placed.annotations]
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)
    assert not any(overlap(one, other) for one, other in itertools.combinations(boxes, 2))


def test_a_label_alone_among_obstacles_moves_and_is_led_back() -> None:
    figure = _style.figure(width=6, height=4)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    _style.finish(figure, title="obstacles", caption="")
    around = np.stack(np.meshgrid(np.linspace(0.4, 0.6, 30), np.linspace(0.4, 0.6, 30)), axis=2).reshape(-1, 2)
    num_before = len(axes.texts)
    placed = _labels.place(axes, [(0.5, 0.5)], ["resnet-00000"], obstacles=around)
    box = placed.annotations[0].get_window_extent()
    assert not any(box.contains(*position) for position in axes.transData.transform(around))
    assert len(axes.texts) == num_before + 2  # the label and its line


def test_labels_without_any_room_are_reported() -> None:
    figure = _style.figure(width=2, height=1.2)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    texts = [f"a-long-name-{number:05d}" for number in range(20)]
    placed = _labels.place(axes, np.full((20, 2), 0.5), texts)
    assert placed.skipped and placed.annotations
    assert sorted([*placed.skipped, *(label.get_text() for label in placed.annotations)]) == texts
    assert _labels.place(axes, [], []).annotations == ()


def test_saving_twice_gives_the_same_files(tmp_path: Path) -> None:
    contents = []
    for folder in ("one", "two"):
        paths = _style.save(drawn("pareto", synthetic.build()), tmp_path / folder / "figures", "pareto")
        assert [path.name for path in paths] == ["pareto.png", "pareto.svg"]
        assert sorted(paths[0].parent.names()) == ["pareto.png", "pareto.svg"]
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    assert b"<dc:date>" not in contents[0][1]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pareto.png").write_text("old")

    def fail(self: Figure, file: BinaryIO, **_: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    figure = drawn("pareto", synthetic.build())
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        _style.save(figure, tmp_path, "pareto")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("pareto.png", "old")]


def test_each_of_sixteen_arms_looks_different() -> None:
    looks = _style.looks(arm_labels(synthetic.build(num_arms=16, trials_per_arm=1)))
    assert len({(look.colour, look.marker) for look in looks.values()}) == 16
    assert len({look.colour for look in list(looks.values())[:8]}) == 8
    assert len({look.marker for look in list(looks.values())[:8]}) == 8


@pytest.mark.parametrize(
    "seen",
    [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ],
    ids=["protanopia", "deuteranopia"],
)
def test_colours_differ_for_colour_blind_eyes(seen: list[list[float]]) -> None:
    """Machado, Oliveira and Fernandes (2009), table 1, severity 1, on linear RGB; a difference of 10 shows at a glance."""

    def lab(colour: str) -> np.ndarray:
        gamma = np.asarray(matplotlib.colors.to_rgb(colour))
        linear = np.where(gamma <= 0.04045, gamma / 12.92, ((gamma + 0.055) / 1.055) ** 2.4)
        to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
        xyz = np.asarray(to_xyz) @ np.clip(np.asarray(seen) @ linear, 0, 1) / [0.9505, 1.0, 1.089]
        root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])

    pairs = itertools.combinations(_style.COLOURS, 2)
    assert min(float(np.linalg.norm(lab(one) - lab(other))) for one, other in pairs) > 15


def test_numbers_and_labels() -> None:
    assert [_quantities.short(value) for value in (950, 12_500, 999_600, 3_210_000, 2e9)] == ["950", "12.5k", "1M", "3.21M", "2G"]
    assert _quantities.number("val_accuracy", 0.9776) == "97.8 %"
    assert _quantities.number("parameters", 12_500) == "12.5k"
    assert _quantities.number("val_loss", float("nan")) == "–"
    assert _quantities.label("val_accuracy") == "validation accuracy (%)"
    assert _quantities.label("parameters") == "trainable parameters (count)"
    assert _quantities.label("latency_ms") == "latency of one image (ms)"


@pytest.mark.parametrize(("low", "high"), [(5, 5), (3_100_000, 3_400_000), (1_000, 90_000_000), (0, 10)])
def test_counts_always_have_ticks(low: float, high: float) -> None:
    axes = _style.figure(width=4, height=3).add_subplot()
    _quantities.scale(axes, "x", "parameters", [low, high])
    assert axes.get_xscale() == ("log" if low else "linear")
    left, right = axes.get_xlim()
    assert left < low and high < right
    assert sum(left <= tick <= right for tick in axes.get_xticks()) >= 2


def test_importing_the_packages_loads_no_matplotlib() -> None:
    code = "import sys, sweeper.analysis, sweeper.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=False).returncode == 0
