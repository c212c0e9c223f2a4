"""What hypothesis draws for a knob."""

from __future__ import annotations

from hypothesis import strategies as st

from sweeper.study.space import Choice, Float, Int, Knob, Value


def values_of(knob: Knob) -> st.SearchStrategy[Value]:
    """Any option of a choice, anything within the bounds of a number."""
    if isinstance(knob, Choice):
        return st.sampled_from(knob.options)
    if isinstance(knob, Int):
        return st.integers(knob.low, knob.high)
    assert isinstance(knob, Float)
    return st.floats(knob.low, knob.high)
