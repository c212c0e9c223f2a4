"""The front with doubt: membership, knee and hypervolume by hand and by definition, and their drawings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.analysis.doubt import best_within, hypervolume, hypervolumes, knee, membership, scaled, seeds_front
from sweeper.analysis.pareto import trials_front
from sweeper.analysis.results import at_stage
from sweeper.errors import InputError, NoDataError, UnknownNameError
from sweeper.plots import hypervolume as hypervolume_module
from sweeper.plots import pareto as pareto_module
from sweeper.plots import pareto_seeds as seeds_module
from tests import synthetic
from tests.test_plots import check_text, words

GOALS = ("min", "max")


def over_seeds(scores: list[list[float]], sizes: list[float]) -> Any:
    return np.stack([np.broadcast_to(np.asarray(sizes)[:, None], np.shape(scores)), np.asarray(scores)], axis=2)


def test_membership_is_certain_where_seeds_agree() -> None:
    values = over_seeds([[0.9, 0.91, 0.92], [0.95, 0.96, 0.97], [0.8, 0.81, 0.82]], [10, 20, 30])
    assert membership(values, GOALS).tolist() == [1.0, 1.0, 0.0]


@pytest.mark.long
def test_membership_is_the_share_of_draws() -> None:
    """The second one is larger, and better with one of two seeds by more: it is on the front unless only seed 1 is drawn."""
    chances = membership(over_seeds([[0.8, 0.8], [0.7, 0.95]], [10, 20]), GOALS, draws=20_000)
    assert chances[0] == 1.0 and chances[1] == pytest.approx(0.75, abs=0.01)
    np.testing.assert_array_equal(membership(over_seeds([[0.8, 0.8], [0.7, 0.95]], [10, 20]), GOALS, draws=20_000), chances)


def test_seeds_are_drawn_for_all_alike() -> None:
    """What a seed does to both is no doubt: the larger one is ahead with every seed, however far the seeds are apart."""
    shared = np.array([0.1, 0.5, 0.9, 0.3])
    assert membership(over_seeds([shared, shared + 0.01], [10, 20]), GOALS).tolist() == [1.0, 1.0]
    assert membership(over_seeds([shared, shared - 0.01], [10, 20]), GOALS).tolist() == [1.0, 0.0]


@pytest.mark.long
def test_a_seed_that_failed_is_left_out() -> None:
    nan = float("nan")
    chances = membership(over_seeds([[0.8, 0.9], [nan, 0.95]], [10, 20]), GOALS, draws=20_000)
    assert chances[1] == pytest.approx(0.75, abs=0.01), "with seed 1 alone it has no value"
    assert membership(np.full((2, 3, 2), np.nan), GOALS).tolist() == [0.0, 0.0]
    with pytest.raises(InputError):
        membership(np.zeros((2, 3, 2)), ("min",))


def test_the_knee_by_hand() -> None:
    assert knee([1, 2, 10], [0.5, 0.9, 1.0], GOALS) == 1
    assert knee([1, 2, 3], [0.1, 0.2, 0.3], GOALS) is None, "a straight line bends nowhere"
    assert knee([1, 9, 10], [0.5, 0.55, 1.0], GOALS) is None, "it bends the other way"
    assert knee([1, 2], [0.5, 0.9], GOALS) is None
    assert knee([1, 1, 1], [0.5, 0.5, 0.5], GOALS) is None
    assert knee([1, 2, 10], [0.5, 0.1, 0.05], ("min", "min")) == 1
    assert knee(scaled([1e3, 1e4, 1e6], "parameters"), [0.0, 0.5, 1.0], GOALS) == 1, "by size it is much nearer the small end"
    assert knee(scaled([1e3, 1e5, 1e6], "parameters"), [0.0, 0.5, 1.0], GOALS) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=8))
def test_the_hypervolume_is_the_share_of_cells_below_a_point(points: list[tuple[int, int]]) -> None:
    cells = np.zeros((20, 20), dtype=bool)
    for across, up in points:
        cells[:across, :up] = True
    assert hypervolume(np.asarray(points, dtype=float).reshape(-1, 2) / 20) == pytest.approx(cells.mean())


def test_the_front_grows_with_every_trial_and_its_arms_lie_below_it() -> None:
    results = synthetic.build(num_arms=4, trials_per_arm=12)
    table = hypervolumes(at_stage(results, "search"))
    assert table["completed"].tolist() == list(range(1, len(table) + 1))
    assert (table["hypervolume"].diff().dropna() >= 0).all() and (table["seconds"].diff().dropna() >= 0).all()
    assert (table["arm_hypervolume"] <= table["hypervolume"] + 1e-12).all()
    trials = results.trials.set_index("trial").loc[table["trial"]]
    sides = [-np.log(trials["parameters"].to_numpy(float)), trials["val_accuracy"].to_numpy(float)]
    points = np.stack([(side - side.min()) / np.ptp(side) for side in sides], axis=1)
    for count in (1, 7, len(points)):
        assert table["hypervolume"].iloc[count - 1] == pytest.approx(hypervolume(points[:count]))
    own = points[(trials["arm"] == "vit").to_numpy()]
    assert table.loc[table["arm"] == "vit", "arm_hypervolume"].iloc[-1] == pytest.approx(hypervolume(own))


def test_the_frame_of_seeds_holds_means_and_their_front() -> None:
    results = synthetic.build(num_arms=4, confirm_seeds=4)
    table = seeds_front(results)
    confirmed = results.trials.query("stage == 'confirm'").groupby("parent")
    expected = confirmed["val_accuracy"].mean()
    assert dict(zip(table["parent"], table["y"], strict=True)) == pytest.approx(expected.to_dict())
    assert table["x"].is_monotonic_increasing and (table["x_low"].isna()).all(), "sizes do not vary over seeds"
    assert (table["y_low"] < table["y"]).all() and (table["y"] < table["y_high"]).all()
    front = table[table["is_on_front"]]
    assert front["y"].is_monotonic_increasing and (front["chance"] > 0).all()
    assert table.loc[table["x"].idxmin(), "chance"] == 1.0, "the smallest one is always unbeaten"


def test_of_two_seeds_no_chance_is_told() -> None:
    results = synthetic.build(confirm_seeds=2)
    assert seeds_front(results)["chance"].isna().all()
    figure = seeds_module.pareto_seeds(results)
    check_text(figure)
    assert "on the front, but too few seeds (2) to say how surely" in words(figure) and "drawn again" not in words(figure)


@pytest.mark.long
@pytest.mark.parametrize("arms", [2, 16])
def test_the_drawings(arms: int) -> None:
    results = synthetic.build(num_arms=arms, trials_per_arm=6, confirm_seeds=3)
    for figure in (
        seeds_module.pareto_seeds(results),
        seeds_module.pareto_seeds(results, x="latency_ms"),
        hypervolume_module.hypervolume(results),
    ):
        check_text(figure)
    assert "Stage confirm" in words(seeds_module.pareto_seeds(results))


def test_the_knee_is_ringed_and_told() -> None:
    figure = pareto_module.pareto(synthetic.build())
    rings = [line for line in figure.axes[0].lines if line.get_markersize() == pareto_module.RING["markersize"]]
    front = trials_front(synthetic.build()).query("is_on_front")
    ((across, up),) = [tuple(float(value[0]) for value in line.get_data()) for line in rings]
    (ringed,) = front[(front["parameters"] == across) & (front["val_accuracy"] == up)]["trial"]
    assert f"Knee: {ringed}, the point of the front" in words(figure)


def test_a_third_column_is_the_size_of_the_markers() -> None:
    results = synthetic.build(num_arms=4, trials_per_arm=12)
    figure = pareto_module.pareto(results, x="train_s", z="parameters", is_zoomed=False)
    check_text(figure)
    assert "Size: trainable parameters; it does not count for the front." in words(figure)
    sizes = {float(size) for drawn in figure.axes[0].collections for size in drawn.get_sizes()}  # type: ignore[attr-defined]
    assert {pareto_module.SMALLEST, pareto_module.LARGEST} <= sizes and len(sizes) > 20
    with pytest.raises(UnknownNameError, match="unknown column 'size'"):
        pareto_module.pareto(results, z="size")
    with pytest.raises(NoDataError, match=r"no latencies to show"):
        pareto_module.pareto(results, z="latency_ms")


def test_limits_are_shaded_and_the_best_trial_within_is_told() -> None:
    results = synthetic.build()
    trials = results.trials[(results.trials["status"] == "completed") & (results.trials["parameters"] <= 50_000)]
    expected = trials.sort_values("val_accuracy")["trial"].iloc[-1]
    assert best_within(results, {"parameters": 5e4}) == expected
    figure = pareto_module.pareto(results, limits={"parameters": 5e4})
    check_text(figure)
    (shade,) = figure.axes[0].patches
    assert shade.get_x() == 5e4  # type: ignore[attr-defined]
    assert f"Best with parameters <= 50,000: {expected}, validation accuracy" in words(figure)
    assert "No completed trial has parameters <= 1." in words(pareto_module.pareto(results, limits={"parameters": 1}))
    tighter = pareto_module.pareto(dataclasses.replace(results, limits={"parameters": 40_000}), limits={"parameters": 5e4})
    assert tighter.axes[0].patches[0].get_x() == 40_000  # type: ignore[attr-defined]
    with pytest.raises(UnknownNameError, match="Did you mean 'parameters'"):
        best_within(results, {"parameter": 1})


def test_without_data_the_errors_say_what_to_do() -> None:
    with pytest.raises(NoDataError, match=r"sweeper ablate digits --seeds 3$"):
        seeds_module.frame(synthetic.build())
    with pytest.raises(InputError, match=r"no latencies to show"):
        hypervolume_module.frame(synthetic.build(), x="latency_ms")
    with pytest.raises(InputError, match="no values of parameters"):
        hypervolume_module.frame(synthetic.empty())
