"""Hierarchical transformer with attention inside windows, which are shifted from layer to layer.

Its cost grows linearly with the number of patches, not with its square, and its map shrinks from stage to stage as in a CNN. The
defaults are a small network for images of 8x8 to 48x48; ``variant`` gives the networks of the paper.
"""

from __future__ import annotations

from typing import Any

import keras

from architectures._blocks import (
    CUSTOM,
    check_flag,
    check_heads,
    check_image_and_classes,
    check_number,
    check_option,
    check_whole,
    depth_rates,
    encoder_layer,
    layer_norm,
    logits,
    of_imagenet,
    variants,
    whole_numbers,
)
from sweeper.catalog import architecture
from sweeper.errors import KnobError

EPSILON = 1e-5
"""Epsilon of layer normalisation, as in the reference implementation."""

HIDDEN = -3e4
"""Added to the attention score of a masked token: softmax then gives exactly 0, and float16 can hold the number."""


def _sizes(depths: str, width: int, num_heads: str, stochastic_depth_rate: float) -> dict[str, str | int | float | bool]:
    return {
        "patch_size": 4,
        "window_size": 7,
        "shift_windows": True,
        "relative_position_bias": True,
        "merging": "concatenation",
        "depths": depths,
        "width": width,
        "num_heads": num_heads,
        "mlp_ratio": 4.0,
        "dropout": 0.0,
        "stochastic_depth_rate": stochastic_depth_rate,
    }


VARIANTS = {
    "tiny": _sizes("2-2-6-2", 96, "3-6-12-24", 0.2),
    "small": _sizes("2-2-18-2", 96, "3-6-12-24", 0.3),
    "base": _sizes("2-2-18-2", 128, "4-8-16-32", 0.5),
}
"""Section 3.3 of the paper: every head has 32 channels; stochastic depth as in its appendix A2.1."""


_SOURCE = (
    "parameters as listed for the ImageNet models of torchvision; multiply-accumulates from table 1 of the paper, "
    "which counts both products of attention"
)


@architecture(
    paper="Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, arXiv:2103.14030",
    tiny={
        "patch_size": 2,
        "window_size": 2,
        "depths": "1-2-1",
        "width": 8,
        "num_heads": "1-2-4",
        "dropout": 0.0,
        "stochastic_depth_rate": 0.0,
    },
    rates=("dropout", "stochastic_depth_rate"),
    published=(
        of_imagenet("tiny", 28_288_354, 4_500_000_000, source=_SOURCE),
        of_imagenet("small", 49_606_258, 8_700_000_000, source=_SOURCE),
        of_imagenet("base", 87_768_224, 15_400_000_000, source=_SOURCE),
    ),
)
@variants(VARIANTS)
def swin(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    patch_size: int = 2,
    window_size: int = 4,
    shift_windows: bool = True,
    relative_position_bias: bool = True,
    merging: str = "concatenation",
    depths: str = "2-2-2",
    width: int = 24,
    num_heads: str = "2-4-8",
    mlp_ratio: float = 2.0,
    dropout: float = 0.0,
    stochastic_depth_rate: float = 0.1,
) -> keras.Model:
    """A Swin transformer; about 223 thousand parameters with its defaults on 32x32x3.

    Images of any size from one patch fit. Sides that are no multiple of a patch, a window or two tokens are padded at the bottom
    and on the right, and no token attends to padding. A window is never larger than the map. A side that one window covers is
    not shifted. A side of 1 stays 1 from stage to stage.

    Args:
        input_shape: (height, width, channels) of a standardised float image; both sides at least `patch_size`.
        num_classes: Number of classes.
        variant: ``tiny``, ``small`` or ``base`` for the sizes of the paper, or ``custom`` for none. Other knobs override the
            variant.
        patch_size: Side of a patch in pixels, from 1.
        window_size: Side of a window in tokens, from 1.
        shift_windows: Whether the windows of every second layer of a stage are shifted by half their side. Without it only
            merging brings tokens of different windows together.
        relative_position_bias: Whether attention knows the distance of two tokens in rows and columns. Without it no token knows
            its position in its window.
        merging: How 2x2 tokens become one between two stages: ``concatenation`` of their channels, or ``average``. Normalisation
            and a dense layer to twice the channels follow.
        depths: Layers of each stage, joined by hyphens, for example ``2-2-6-2``.
        width: Channels of the first stage, from 1; they double from stage to stage.
        num_heads: Attention heads of each stage, joined by hyphens, as many numbers as in `depths`; each divides the channels of
            its stage.
        mlp_ratio: Hidden units of the perceptron per channel, from 0.1.
        dropout: Share of values dropped after the patch embedding and after every dense layer except those of merging and the
            projections to queries, keys and values, 0 to below 1.
        stochastic_depth_rate: Probability that a branch of the last layer is dropped for an image while training, 0 to below 1.
            It rises linearly from 0 in the first layer.

    Raises:
        KnobError: A knob has a value that is not allowed, the image is smaller than a patch, or the heads do not fit the stages.

    Source: arXiv:2103.14030, section 3, and its reference implementation, which refuses the sides that are padded here.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    check_whole("patch_size", patch_size, low=1)
    check_whole("window_size", window_size, low=1)
    check_flag("shift_windows", shift_windows)
    check_flag("relative_position_bias", relative_position_bias)
    check_option("merging", merging, ("concatenation", "average"))
    stages = whole_numbers("depths", depths, each="stage")
    check_whole("width", width, low=1)
    heads = whole_numbers("num_heads", num_heads, each="stage")
    check_number("mlp_ratio", mlp_ratio, low=0.1)
    check_number("dropout", dropout, low=0, below=1)
    check_number("stochastic_depth_rate", stochastic_depth_rate, low=0, below=1)
    _check_stages(depths, stages, num_heads, heads, width)
    _check_image(input_shape, patch_size)

    image = keras.Input(input_shape)
    x = _embed_patches(image, patch_size, width)
    x = keras.layers.Dropout(dropout)(x)
    drop_rates = iter(depth_rates(stochastic_depth_rate, sum(stages)))
    for stage, (num_layers, stage_heads) in enumerate(zip(stages, heads, strict=True)):
        if stage > 0:
            x = _merge(x, merging)
        for layer in range(num_layers):
            x = encoder_layer(
                x,
                WindowAttention(
                    stage_heads, window_size, shift=shift_windows and layer % 2 == 1, has_position_bias=relative_position_bias
                ),
                mlp_units=max(1, round(x.shape[-1] * mlp_ratio)),
                dropout=dropout,
                drop_rate=next(drop_rates),
                epsilon=EPSILON,
            )
    x = keras.layers.GlobalAveragePooling2D()(layer_norm(x, epsilon=EPSILON))
    return keras.Model(image, logits(x, num_classes), name="swin")


def _embed_patches(image: keras.KerasTensor, patch_size: int, width: int) -> keras.KerasTensor:
    """One token for each patch; sides that are no multiple of the patch size are padded at the bottom and on the right."""
    padding = [(0, -side % patch_size) for side in image.shape[1:3]]
    if padding != [(0, 0), (0, 0)]:
        image = keras.layers.ZeroPadding2D(padding)(image)
    return layer_norm(keras.layers.Conv2D(width, patch_size, strides=patch_size)(image), epsilon=EPSILON)


def _merge(x: keras.KerasTensor, merging: str) -> keras.KerasTensor:
    """Patch merging: half the height and width, twice the channels."""
    channels = x.shape[-1]
    # At the border of an odd map, Keras averages only over the positions inside the map, not over padding.
    x = MergePatches()(x) if merging == "concatenation" else keras.layers.AveragePooling2D(2, padding="same")(x)
    return keras.layers.Dense(2 * channels, use_bias=False)(layer_norm(x, epsilon=EPSILON))


def _check_stages(depths: str, stages: list[int], num_heads: str, heads: list[int], width: int) -> None:
    if len(heads) != len(stages):
        raise KnobError(
            f"'num_heads' is {num_heads!r} and 'depths' is {depths!r}; allowed: as many numbers in each, one for each stage. "
            f"Change one of them."
        )
    for stage, stage_heads in enumerate(heads):
        check_heads(width * 2**stage, stage_heads, where=f" in stage {stage + 1} of {num_heads!r}")


def _check_image(input_shape: tuple[int, int, int], patch_size: int) -> None:
    height, width, _ = input_shape
    if min(height, width) < patch_size:
        raise KnobError(
            f"'patch_size' is {patch_size}, and an image of {height}x{width} pixels is smaller than one patch; allowed for this "
            f"image: 1 to {min(height, width)}. Change 'patch_size', or make the images at least {patch_size}x{patch_size}."
        )


@keras.saving.register_keras_serializable(package="architectures")
class WindowAttention(keras.layers.Layer):  # type: ignore[misc]
    """Self-attention within windows of a map: (batch, height, width, channels) to the same shape.

    The map is cut into windows, and a token attends to the tokens of its own window. With a shift, the windows lie half a window
    further down and right. This is computed by rolling the map up and left. Windows at the border then hold tokens from opposite
    edges, which do not attend to each other. Sides that are no multiple of the window are padded at the bottom and on the right,
    and no token attends to padding. A window is never larger than the map. A side that one window covers is not shifted.

    Args:
        num_heads: Attention heads; they must divide the channels.
        window_size: Side of a window in tokens.
        shift: Whether windows are shifted by half their side.
        has_position_bias: Whether each head adds a learned number to the scores for each distance in rows and columns.
        options: Options of any Keras layer, such as its name.

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
        """Whether any side of the map is shifted; known once the layer is built."""
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
        # The scale is that of `self_attention`. Each layer has its own initialiser: with a shared one they start equal.
        first, last = (keras.initializers.TruncatedNormal(stddev=channels**-0.5) for _ in range(2))
        rows, columns = self.window
        # A window of one token needs no attention weights, so no queries and keys.
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

    def attention_map(self, tokens: Any) -> Any:
        """How much attention each token gets, the sum over its window: (batch, height, width, heads), 1 for an equal share."""
        if not self.has_company:
            return keras.ops.ones((*tokens.shape[:3], self.num_heads))
        queries, keys, _ = self._heads(self.projections(self._partition(tokens)))
        return self._join(keras.ops.swapaxes(keras.ops.sum(self._weights(queries, keys), axis=3), 2, 3), *tokens.shape[1:3])

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
        """The map from its windows: the inverse of `_partition`."""
        (rows, columns), (down, across) = self.window, self.num_windows
        channels = windows.shape[-1]
        tokens = keras.ops.reshape(windows, (-1, down, across, rows, columns, channels))
        tokens = keras.ops.reshape(keras.ops.transpose(tokens, (0, 1, 3, 2, 4, 5)), (-1, down * rows, across * columns, channels))
        if self.is_shifted:
            tokens = keras.ops.roll(tokens, list(self.shifts), axis=[1, 2])
        return tokens[:, :height, :width]

    def _heads(self, projected: Any) -> list[Any]:
        """Queries, keys and values of each head: three tensors (batch, windows, heads, tokens, size)."""
        _, windows, tokens, width = projected.shape
        part = width // 3
        shape = (-1, windows, tokens, self.num_heads, part // self.num_heads)
        parts = (projected[..., place * part : (place + 1) * part] for place in range(3))
        return [keras.ops.transpose(keras.ops.reshape(own, shape), (0, 1, 3, 2, 4)) for own in parts]

    def _weights(self, queries: Any, keys: Any) -> Any:
        """Attention weights between the tokens of each window: (batch, windows, heads, tokens, tokens)."""
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
        """A number for each token of each window: tokens of equal numbers attend to each other. None if all of a window do."""
        padded = [size * number for size, number in zip(self.window, self.num_windows, strict=True)]
        if not self.is_shifted and tuple(padded) == sides:
            return None

        def region(row: int, column: int) -> int:
            """For a position of the rolled map: which of its coordinates were rolled over the edge, or -1 for padding."""
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
    """For each pair of tokens of a window, the row of the bias table for their distance."""
    places = [(row, column) for row in range(rows) for column in range(columns)]

    def distance(place: tuple[int, int], other: tuple[int, int]) -> int:
        down, across = place[0] - other[0], place[1] - other[1]
        return (down + rows - 1) * (2 * columns - 1) + across + columns - 1

    return tuple(tuple(distance(place, other) for other in places) for place in places)


@keras.saving.register_keras_serializable(package="architectures")
class MergePatches(keras.layers.Layer):  # type: ignore[misc]
    """Concatenates 2x2 tokens: (batch, height, width, channels) to (batch, height / 2, width / 2, 4 * channels).

    An odd side is padded with zeros first, so a side of 1 stays 1.

    Source: Liu et al., arXiv:2103.14030, section 3.1; the order of the four tokens (down, then across) as in the reference
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
