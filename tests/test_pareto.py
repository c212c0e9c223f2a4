"""The Pareto front against its definition, word for word."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.analysis.pareto import front, non_dominated, trials_front
from sweeper.analysis.results import at_stage
from sweeper.errors import InputError, UnknownNameError
from tests import synthetic

VALUE = st.one_of(st.integers(-3, 3).map(float), st.floats(allow_nan=True, allow_infinity=True), st.just(-0.0))
"""Few distinct whole numbers, so that ties are common, among every float there is."""


def by_definition(rows: list[tuple[float, ...]], goals: list[str]) -> list[bool]:
    """Not dominated: no comparable row is at least as good in all and better in one."""

    def is_comparable(row: tuple[float, ...]) -> bool:
        return all(np.isfinite(row))

    def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        pairs = list(zip(one, other, goals, strict=True))
        at_least_as_good = all(a >= b if goal == "max" else a <= b for a, b, goal in pairs)
        return at_least_as_good and any(a > b if goal == "max" else a < b for a, b, goal in pairs)

    comparable = [row for row in rows if is_comparable(row)]
    return [is_comparable(row) and not any(dominates(other, row) for other in comparable) for row in rows]


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda size: st.tuples(
            st.lists(st.tuples(*[VALUE] * size), max_size=25),
            st.lists(st.sampled_from(["max", "min"]), min_size=size, max_size=size),
        )
    )
)
def test_the_mask_is_the_definition(case: tuple[list[tuple[float, ...]], list[str]]) -> None:
    rows, goals = case
    mask = non_dominated(np.asarray(rows, dtype=float).reshape(-1, len(goals)), goals)
    assert mask.tolist() == by_definition(rows, goals)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(VALUE, VALUE), max_size=25), st.sampled_from(["max", "min"]), st.sampled_from(["max", "min"]))
def test_the_frame_keeps_comparable_rows_and_counts_the_rest(rows: list[tuple[float, float]], x_goal: str, y_goal: str) -> None:
    table = pd.DataFrame(rows, columns=["size", "score"], index=np.arange(len(rows)) * 10, dtype=float)
    result = front(table, x="size", y="score", x_goal=x_goal, y_goal=y_goal)
    expected = table.assign(is_on_front=by_definition(rows, [x_goal, y_goal]))
    expected = expected[np.isfinite(table).all(axis=1)]
    pd.testing.assert_frame_equal(result, expected, check_dtype=len(rows) > 0)
    assert result.attrs["num_excluded"] == len(rows) - len(result)


@given(st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=20), st.randoms())
def test_the_order_of_rows_does_not_matter(rows: list[tuple[float, float]], random: object) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    mask = non_dominated(rows, ["min", "max"])
    assert non_dominated([rows[i] for i in order], ["min", "max"]).tolist() == mask[order].tolist()


def test_identical_rows_all_stay() -> None:
    assert non_dominated([[1, 5], [1, 5], [2, 5], [1, 4]], ["min", "max"]).tolist() == [True, True, False, False]


def test_missing_values_of_any_kind_are_excluded() -> None:
    table = pd.DataFrame({"size": pd.array([1, None, 3], dtype="Int64"), "score": [0.5, 0.9, None]})
    result = front(table, x="size", y="score")
    assert result.index.tolist() == [0]
    assert result.attrs["num_excluded"] == 2


def test_a_hundred_thousand_rows_on_the_front_are_compared_at_all() -> None:
    line = np.linspace(0.0, 1.0, 100_000)  # each with each would take hours
    assert non_dominated(np.stack([line, line], axis=1), ["min", "max"]).all()


@pytest.mark.parametrize(
    ("values", "goals"), [([[1.0, 2.0]], ["min"]), ([[1.0]], ["up"]), ([1.0, 2.0], ["min"]), ([], ["min", "max"])]
)
def test_goals_must_fit(values: list[object], goals: list[str]) -> None:
    with pytest.raises(InputError):
        non_dominated(values, goals)  # type: ignore[arg-type]


def test_stopped_trials_are_shown_and_never_win() -> None:
    results = synthetic.build()
    trials = results.trials.copy()
    stopped = trials.index[trials["status"] == "stopped"][0]
    trials.loc[stopped, ["parameters", "val_accuracy"]] = [1, 1.0]
    shown = trials_front(dataclasses.replace(results, trials=trials)).set_index("trial")
    assert not shown.loc[trials.loc[stopped, "trial"], "is_on_front"]
    assert shown["is_on_front"].sum() == trials_front(results)["is_on_front"].sum()


def test_the_front_of_the_digits_study() -> None:
    shown = trials_front(synthetic.build())
    assert list(shown.columns) == ["trial", "arm", "status", "epoch", "parameters", "val_accuracy", "is_on_front"]
    assert shown["status"].value_counts().to_dict() == {"completed": 17, "stopped": 6}
    winners = shown[shown["is_on_front"]]
    assert winners["trial"].to_list() == ["cnn-00002", "cnn-00004", "cnn-00000", "resnet-00006", "resnet-00004"]
    assert winners["val_accuracy"].is_monotonic_increasing
    assert shown.attrs["num_excluded"] == 0


def test_trials_without_a_value_are_counted() -> None:
    results = synthetic.build()
    trials = results.trials.copy()
    trials.loc[trials["trial"].isin(["cnn-00000", "cnn-00006"]), "macs"] = None
    shown = trials_front(dataclasses.replace(results, trials=trials), x="macs")
    assert shown.attrs["num_excluded"] == 2
    assert not shown["trial"].isin(["cnn-00000", "cnn-00006"]).any()


def test_a_column_without_data_names_those_that_have() -> None:
    results = synthetic.build(confirm_seeds=2)
    with pytest.raises(InputError, match=r"no values of test_loss .*Columns with data: val_accuracy, .*parameters"):
        trials_front(at_stage(results, "search"), x="test_loss")
    with pytest.raises(InputError, match="no latencies to show"):
        trials_front(at_stage(results, "search"), x="latency_ms")
    assert len(trials_front(at_stage(results, "confirm"), x="latency_ms")) == 6


def test_columns_must_be_known_and_different() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'parameters'"):
        trials_front(synthetic.build(), x="parameter")
    with pytest.raises(InputError, match="two different columns"):
        trials_front(synthetic.build(), x="macs", y="macs")
    with pytest.raises(InputError, match="Columns with data: none"):
        trials_front(synthetic.empty())
