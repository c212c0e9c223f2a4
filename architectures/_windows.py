"""Attention within windows of a map, and what joins four tokens to one: the layers of the Swin transformer."""

from __future__ import annotations

from typing import Any

import keras

HIDDEN = -3e4
"""Added to the score of a token that must not be seen: softmax makes it exactly 0, and half precision can hold it."""


@keras.saving.register_keras_serializable(package="architectures")
class WindowAttention(keras.layers.Layer):  # type: ignore[misc]
    """Self-attention within windows of a map: (batch, height, width, channels) to the same shape.

    The map is cut into windows, and a token sees the tokens of its own window. With a shift the cuts lie half a window further
    down and right, which is computed by rolling the map up and left: windows at the border then hold tokens from opposite edges,
    which do not see each other. A map that no whole number of windows fills is padded below and on the right, and no token sees
    the padding. A window is never larger than the map, and along a side that one window covers there is no shift.

    Args:
        num_heads: Heads, which divide the channels.
        window_size: Side of a window in tokens.
        shift: Whether windows are shifted by half their side.
        has_position_bias: Whether each head adds a learned number to a score for each distance in rows and columns.

    Source: Liu et al., arXiv:2103.14030, section 3.2.
    """

    def __init__(self, num_heads: int, window_size: int, *, shift: bool = False, has_position_bias: bool = True, **options: Any):
        super().__init__(**options)
        self.num_heads = num_heads
        self.window_size = window_size
        self.shift = shift
        self.has_position_bias = has_position_bias

    @property
    def is_shifted(self) -> bool:
        """Whether windows of the map it was built for are really shifted."""
        return any(self.shifts)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Lay out windows for this size of map, and create the weights."""
        _, height, width, channels = input_shape
        assert height is not None and width is not None and channels is not None
        sides = (height, width)
        self.window = tuple(min(self.window_size, side) for side in sides)
        self.shifts = tuple(size // 2 if self.shift and size < side else 0 for size, side in zip(self.window, sides, strict=True))
        self.num_windows = tuple(-(-side // size) for size, side in zip(self.window, sides, strict=True))
        self.regions = self._regions(sides)
        # As in the encoder layers of other transformers here; a new one for each layer, since layers that share one start alike.
        first, last = (keras.initializers.TruncatedNormal(stddev=channels**-0.5) for _ in range(2))
        rows, columns = self.window
        # A window of one token has nothing to weigh, so it needs no queries and keys.
        self.has_company = rows * columns > 1
        width = 3 * channels if self.has_company else channels
        self.projections = keras.layers.Dense(width, kernel_initializer=first, dtype=self.dtype_policy, name="projections")
        self.projections.build(input_shape)
        self.output_projection = keras.layers.Dense(channels, kernel_initializer=last, dtype=self.dtype_policy, name="output")
        self.output_projection.build(input_shape)
        if self.has_position_bias and self.has_company:
            shape = ((2 * rows - 1) * (2 * columns - 1), self.num_heads)
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
            self.position_bias = self.add_weight(name="position_bias", shape=shape, initializer=initializer)
            self.distances = _distances(rows, columns)

    def call(self, tokens: Any) -> Any:
        """Attend within each window."""
        _, height, width, _ = tokens.shape
        windows = self._partition(tokens)
        found = self.projections(windows)
        if self.has_company:
            queries, keys, values = self._heads(found)
            found = keras.ops.swapaxes(keras.ops.matmul(self._weights(queries, keys), values), 2, 3)
            found = keras.ops.reshape(found, (-1, *windows.shape[1:]))
        return self._join(self.output_projection(found), height, width)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape does not change."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "window_size": self.window_size,
            "shift": self.shift,
            "has_position_bias": self.has_position_bias,
        }

    def _partition(self, tokens: Any) -> Any:
        """The tokens of each window: (batch, windows, tokens, channels)."""
        (rows, columns), (down, across) = self.window, self.num_windows
        _, height, width, channels = tokens.shape
        padding = ((0, 0), (0, down * rows - height), (0, across * columns - width), (0, 0))
        if any(after for _, after in padding):
            tokens = keras.ops.pad(tokens, padding)
        if self.is_shifted:
            tokens = keras.ops.roll(tokens, [-shift for shift in self.shifts], axis=[1, 2])
        tokens = keras.ops.reshape(tokens, (-1, down, rows, across, columns, channels))
        return keras.ops.reshape(keras.ops.transpose(tokens, (0, 1, 3, 2, 4, 5)), (-1, down * across, rows * columns, channels))

    def _join(self, windows: Any, height: int, width: int) -> Any:
        """The map from its windows: `_partition` backwards."""
        (rows, columns), (down, across) = self.window, self.num_windows
        channels = windows.shape[-1]
        tokens = keras.ops.reshape(windows, (-1, down, across, rows, columns, channels))
        tokens = keras.ops.reshape(keras.ops.transpose(tokens, (0, 1, 3, 2, 4, 5)), (-1, down * rows, across * columns, channels))
        if self.is_shifted:
            tokens = keras.ops.roll(tokens, list(self.shifts), axis=[1, 2])
        return tokens[:, :height, :width]

    def _heads(self, projected: Any) -> list[Any]:
        """Queries, keys and values of each head: three times (batch, windows, heads, tokens, size)."""
        _, windows, tokens, width = projected.shape
        shape = (-1, windows, tokens, 3, self.num_heads, width // (3 * self.num_heads))
        separate = keras.ops.transpose(keras.ops.reshape(projected, shape), (3, 0, 1, 4, 2, 5))
        return [separate[place] for place in range(3)]

    def _weights(self, queries: Any, keys: Any) -> Any:
        """How much each token takes from each token of its window: (batch, windows, heads, tokens, tokens)."""
        scores = keras.ops.matmul(queries * queries.shape[-1] ** -0.5, keras.ops.swapaxes(keys, -1, -2))
        if self.has_position_bias:
            bias = keras.ops.take(self.position_bias, keras.ops.convert_to_tensor(self.distances, dtype="int32"), axis=0)
            scores = scores + keras.ops.transpose(bias, (2, 0, 1))
        if self.regions is not None:
            regions = keras.ops.convert_to_tensor(self.regions, dtype="int32")
            is_hidden = keras.ops.not_equal(regions[:, :, None], regions[:, None, :])
            scores = scores + HIDDEN * keras.ops.cast(is_hidden, scores.dtype)[:, None]
        return keras.ops.softmax(scores)

    def _regions(self, sides: tuple[int, int]) -> tuple[tuple[int, ...], ...] | None:
        """For each window a number for each of its tokens: equal ones see each other; None where all tokens of a window do."""
        padded = [size * number for size, number in zip(self.window, self.num_windows, strict=True)]
        if not self.is_shifted and tuple(padded) == sides:
            return None

        def region(row: int, column: int) -> int:
            """Of a place of the rolled map: which of its coordinates were rolled over the edge, or -1 for padding."""
            places = [place + shift for place, shift in zip((row, column), self.shifts, strict=True)]
            is_rolled = [place >= whole for place, whole in zip(places, padded, strict=True)]
            is_padding = any(place % whole >= side for place, whole, side in zip(places, padded, sides, strict=True))
            return -1 if is_padding else 2 * is_rolled[0] + is_rolled[1]

        (rows, columns), (down, across) = self.window, self.num_windows
        return tuple(
            tuple(region(top * rows + row, left * columns + column) for row in range(rows) for column in range(columns))
            for top in range(down)
            for left in range(across)
        )


def _distances(rows: int, columns: int) -> tuple[tuple[int, ...], ...]:
    """For each pair of tokens of a window the row of the table of biases that belongs to their distance."""
    places = [(row, column) for row in range(rows) for column in range(columns)]

    def distance(place: tuple[int, int], other: tuple[int, int]) -> int:
        down, across = place[0] - other[0], place[1] - other[1]
        return (down + rows - 1) * (2 * columns - 1) + across + columns - 1

    return tuple(tuple(distance(place, other) for other in places) for place in places)


@keras.saving.register_keras_serializable(package="architectures")
class MergePatches(keras.layers.Layer):  # type: ignore[misc]
    """The channels of 2x2 tokens behind each other: (batch, height, width, channels) to (batch, height/2, width/2, 4 channels).

    An odd side is padded with zeros first, so a side of 1 stays 1.

    Source: Liu et al., arXiv:2103.14030, section 3.1; the order of the four (down, then across) as in its reference
        implementation.
    """

    def call(self, tokens: Any) -> Any:
        """Pad and rearrange."""
        _, height, width, channels = tokens.shape
        if height % 2 or width % 2:
            tokens = keras.ops.pad(tokens, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
        down, across = (height + 1) // 2, (width + 1) // 2
        pairs = keras.ops.reshape(tokens, (-1, down, 2, across, 2, channels))
        return keras.ops.reshape(keras.ops.transpose(pairs, (0, 1, 3, 4, 2, 5)), (-1, down, across, 4 * channels))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Half the sides, four times the channels."""
        batch, height, width, channels = input_shape
        assert height is not None and width is not None and channels is not None
        return (batch, (height + 1) // 2, (width + 1) // 2, 4 * channels)
