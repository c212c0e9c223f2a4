"""What the transformers share: encoder layers, class tokens and positions."""

from __future__ import annotations

from typing import Any

import keras

from sweeper.errors import KnobError


def check_heads(width: int, num_heads: int) -> None:
    """Raise `KnobError` unless the heads of attention divide the width of a token."""
    if width % num_heads:
        raise KnobError(
            f"'num_heads' is {num_heads}, which does not divide a 'width' of {width}; allowed: divisors of 'width'. "
            f"Change 'num_heads', or take a 'width' that is a multiple of {num_heads}."
        )


def layer_norm(x: Any) -> Any:
    """Normalisation of each token by itself, with the epsilon of published transformers."""
    return keras.layers.LayerNormalization(epsilon=1e-6)(x)


def encoder_layer(x: Any, *, num_heads: int, mlp_units: int, dropout: float) -> Any:
    """Tokens mixed by self-attention, then each token by itself; both are added to what came in."""
    width = x.shape[-1]
    # Keras takes the (width, heads, size) kernels of attention for convolutions when it scales its default initialiser, and
    # starts several times too small; for these square projections this is the usual Glorot scale.
    initializer = keras.initializers.TruncatedNormal(stddev=width**-0.5)
    attended = layer_norm(x)
    attended = keras.layers.MultiHeadAttention(num_heads, width // num_heads, kernel_initializer=initializer)(attended, attended)
    x = keras.layers.Add()([x, keras.layers.Dropout(dropout)(attended)])
    hidden = keras.layers.Dense(mlp_units, activation="gelu")(layer_norm(x))
    hidden = keras.layers.Dense(width)(keras.layers.Dropout(dropout)(hidden))
    return keras.layers.Add()([x, keras.layers.Dropout(dropout)(hidden)])


@keras.saving.register_keras_serializable(package="architectures")
class ClassToken(keras.layers.Layer):  # type: ignore[misc]
    """A learned token in front of the tokens of every image: (batch, tokens, width) to (batch, 1 + tokens, width)."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the token."""
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.token = self.add_weight(name="token", shape=(1, 1, input_shape[-1]), initializer=initializer)

    def call(self, tokens: Any) -> Any:
        """Put the token in front."""
        token = keras.ops.broadcast_to(self.token, (keras.ops.shape(tokens)[0], 1, tokens.shape[-1]))
        return keras.ops.concatenate([token, tokens], axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """One token more."""
        batch, tokens, width = input_shape
        return (batch, None if tokens is None else tokens + 1, width)


@keras.saving.register_keras_serializable(package="architectures")
class LearnedPositions(keras.layers.Layer):  # type: ignore[misc]
    """A learned vector added to every position: (batch, tokens, width) to the same shape."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create one vector for each position."""
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.positions = self.add_weight(name="positions", shape=(1, *input_shape[1:]), initializer=initializer)

    def call(self, tokens: Any) -> Any:
        """Add the vectors."""
        return tokens + self.positions

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape does not change."""
        return input_shape
