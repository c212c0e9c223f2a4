"""Replay: the search of a study on learning curves that were recorded before, on a clock that costs no time."""
