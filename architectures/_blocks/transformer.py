"""Transformer encoders: self-attention, encoder layers, the class token, positions, and pooling of tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras

from architectures._blocks.layers import depth_rates, layer_norm, stochastic_depth

POSITIONS = ("learned", "sincos", "random", "none")
"""Kinds of position embedding: a learned vector for each token, fixed sines and cosines of row and column, fixed random, none."""


def self_attention(x: Any, num_heads: int, head_size: int | None = None) -> Any:
    """Multi-head self-attention: every token attends to all tokens (batch, tokens, width), same shape.

    Args:
        x: Tokens.
        num_heads: Attention heads; without `head_size` they must divide the width.
        head_size: Length of the queries, keys and values of a head; None for its part of the width.
    """
    width = x.shape[-1]
    # Keras's default initialiser treats the (width, heads, size) kernels of attention as convolutions, and makes the initial
    # weights several times too small. This is the usual Glorot scale of these square projections.
    initializer = keras.initializers.TruncatedNormal(stddev=width**-0.5)
    return keras.layers.MultiHeadAttention(num_heads, head_size or width // num_heads, kernel_initializer=initializer)(x, x)


def encoder_layer(
    x: Any,
    attend: Callable[[Any], Any],
    *,
    mlp_units: int,
    dropout: float,
    drop_rate: float = 0.0,
    epsilon: float = 1e-6,
    norm_first: bool = True,
    activation: str = "gelu",
) -> Any:
    """An encoder layer: attention mixes the tokens, then a perceptron transforms each; both are residual branches.

    Args:
        x: Tokens (batch, tokens, width), or a map of tokens (batch, height, width, channels).
        attend: Attention: takes normalised tokens and returns the same shape.
        mlp_units: Hidden units of the perceptron.
        dropout: Share of values dropped after attention and after both layers of the perceptron.
        drop_rate: Rate of `stochastic_depth` of each branch.
        epsilon: Epsilon of both layer normalisations.
        norm_first: Whether normalisation comes before each branch (pre-norm), or after the sum (post-norm, arXiv:1706.03762).
        activation: Of the perceptron.
    """
    width = x.shape[-1]

    def normalised(tokens: Any, *, if_first: bool) -> Any:
        return layer_norm(tokens, epsilon=epsilon) if norm_first == if_first else tokens

    attended = keras.layers.Dropout(dropout)(attend(normalised(x, if_first=True)))
    x = normalised(keras.layers.Add()([x, stochastic_depth(attended, drop_rate)]), if_first=False)
    hidden = keras.layers.Dense(mlp_units, activation=activation)(normalised(x, if_first=True))
    hidden = keras.layers.Dense(width)(keras.layers.Dropout(dropout)(hidden))
    hidden = keras.layers.Dropout(dropout)(hidden)
    return normalised(keras.layers.Add()([x, stochastic_depth(hidden, drop_rate)]), if_first=False)


def encoder(
    x: Any,
    *,
    depth: int,
    num_heads: int,
    mlp_ratio: float,
    positions: str,
    pooling: str,
    dropout: float,
    stochastic_depth_rate: float,
    head_size: int | None = None,
    norm_first: bool = True,
    activation: str = "gelu",
) -> Any:
    """A transformer encoder: a map of tokens (batch, height, width, channels) to one vector (batch, channels).

    Args:
        x: The map of tokens.
        depth: Number of encoder layers.
        num_heads: Attention heads.
        mlp_ratio: Hidden units of each layer's perceptron per channel.
        positions: One of `POSITIONS`. A class token has a learned position or none.
        pooling: ``class_token``, ``mean``, or ``sequence`` for a mean whose weights depend on the tokens.
        dropout: As in `encoder_layer`, and after the positions.
        stochastic_depth_rate: Rate of stochastic depth of the last layer, see `architectures._blocks.depth_rates`.
        head_size: As in `self_attention`.
        norm_first: As in `encoder_layer`; without it none follows the last layer.
        activation: As in `encoder_layer`.
    """
    width = x.shape[-1]
    if positions == "sincos":
        x = SinCosPositions()(x)
    x = keras.layers.Reshape((x.shape[1] * x.shape[2], width))(x)
    if pooling == "class_token":
        x = ClassToken()(x)
    if positions in ("learned", "random"):
        x = LearnedPositions(is_learned=positions == "learned")(x)
    x = keras.layers.Dropout(dropout)(x)
    for drop_rate in depth_rates(stochastic_depth_rate, depth):
        x = encoder_layer(
            x,
            lambda tokens: self_attention(tokens, num_heads, head_size),
            mlp_units=max(1, round(width * mlp_ratio)),
            dropout=dropout,
            drop_rate=drop_rate,
            norm_first=norm_first,
            activation=activation,
        )
    x = layer_norm(x) if norm_first else x
    if pooling == "class_token":
        return x[:, 0]
    # A single token needs no weights.
    has_weights = pooling == "sequence" and x.shape[1] > 1
    return SequencePooling()(x) if has_weights else keras.layers.GlobalAveragePooling1D()(x)


@keras.saving.register_keras_serializable(package="architectures")
class ClassToken(keras.layers.Layer):  # type: ignore[misc]
    """A learned token in front of the tokens of every image: (batch, tokens, width) to (batch, 1 + tokens, width)."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the token."""
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.token = self.add_weight(name="token", shape=(1, 1, input_shape[-1]), initializer=initializer)

    def call(self, tokens: Any) -> Any:
        """Put the token in front."""
        batch = keras.ops.shape(tokens)[0]
        if batch is None:  # written out as operations, for images of any number
            token = self.token + keras.ops.zeros_like(tokens[:, :1])
        else:
            token = keras.ops.broadcast_to(self.token, (batch, 1, tokens.shape[-1]))
        return keras.ops.concatenate([token, tokens], axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """One token more."""
        batch, tokens, width = input_shape
        return (batch, None if tokens is None else tokens + 1, width)


@keras.saving.register_keras_serializable(package="architectures")
class LearnedPositions(keras.layers.Layer):  # type: ignore[misc]
    """A learned vector added to every position: (batch, tokens, width) to the same shape.

    Args:
        is_learned: Whether it is; else the vectors stay as they were drawn, as uniformly as Keras draws an embedding.
        options: Options of any Keras layer, such as its name.
    """

    def __init__(self, is_learned: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.is_learned = is_learned

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create one vector for each position."""
        kinds = keras.initializers
        initializer = kinds.TruncatedNormal(stddev=0.02) if self.is_learned else kinds.RandomUniform(-0.05, 0.05)
        shape = (1, *input_shape[1:])
        self.positions = self.add_weight(name="positions", shape=shape, initializer=initializer, trainable=self.is_learned)

    def call(self, tokens: Any) -> Any:
        """Add the vectors."""
        return tokens + self.positions

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape does not change."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "is_learned": self.is_learned}


@keras.saving.register_keras_serializable(package="architectures")
class SinCosPositions(keras.layers.Layer):  # type: ignore[misc]
    """Sines and cosines of column and row, added to a map of tokens (batch, height, width, channels).

    The first half of the channels encodes the column, the second half the row. The frequencies fall from 1 towards 1/10000.
    There are no weights.

    Source: the code of Chen et al. (MoCo v3), arXiv:2104.02057. arXiv:2205.01580 shows that it works as well as learned
        positions.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Compute the values of each row and of each column."""
        _, height, width, channels = input_shape
        assert height is not None and width is not None and channels is not None
        self.rows, self.columns = (tuple(_waves(place, channels // 4) for place in range(side)) for side in (height, width))

    def call(self, tokens: Any) -> Any:
        """Add the values."""
        _, height, width, channels = tokens.shape
        rows, columns = (keras.ops.convert_to_tensor(values, dtype=tokens.dtype) for values in (self.rows, self.columns))
        shape = (1, height, width, channels // 2)
        across = keras.ops.broadcast_to(columns[None, None], shape)
        down = keras.ops.broadcast_to(rows[None, :, None], shape)
        return tokens + keras.ops.concatenate([across, down], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape does not change."""
        return input_shape


def _waves(place: int, num_frequencies: int) -> tuple[float, ...]:
    """Sines, then cosines, of a position at all frequencies."""
    angles = [place / 10_000 ** (frequency / num_frequencies) for frequency in range(num_frequencies)]
    return (*map(math.sin, angles), *map(math.cos, angles))


@keras.saving.register_keras_serializable(package="architectures")
class SequencePooling(keras.layers.Layer):  # type: ignore[misc]
    """Weighted mean of all tokens; each token's weight is computed from itself: (batch, tokens, width) to (batch, width).

    Source: Hassani et al., arXiv:2104.05704, section 3.1, without the bias of the scores, which softmax ignores.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel that scores a token."""
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 1), initializer="glorot_uniform")

    def call(self, tokens: Any) -> Any:
        """Score the tokens and average them."""
        return keras.ops.matmul(keras.ops.swapaxes(self._weights(tokens), 1, 2), tokens)[:, 0]

    def attention_map(self, tokens: Any) -> Any:
        """The weight of each token: (batch, tokens, 1), 1 for an equal share."""
        return self._weights(tokens) * tokens.shape[1]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """One vector."""
        batch, _, width = input_shape
        return (batch, width)

    def _weights(self, tokens: Any) -> Any:
        return keras.ops.softmax(keras.ops.matmul(tokens, self.kernel), axis=1)
