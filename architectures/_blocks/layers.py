"""Single layers: normalisation, pooling, stochastic depth and layer scale."""

from __future__ import annotations

from typing import Any

import keras


def batch_normalization(x: Any, *, momentum: float = 0.9, epsilon: float = 1e-5) -> Any:
    """Batch normalisation whose running statistics settle within tens of steps.

    Keras's default momentum of 0.99 needs hundreds of steps, which on a small data set is several epochs of misleading
    validation results. Epsilon 1e-5 as in the reference implementations of most published networks.
    """
    return keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon)(x)


def layer_norm(x: Any, *, epsilon: float = 1e-6) -> Any:
    """Normalisation of each position by itself, over its channels, with the epsilon of most published transformers."""
    return keras.layers.LayerNormalization(epsilon=epsilon)(x)


def pooled(x: Any, window: int, *, strides: int = 2, kind: str = "max") -> Any:
    """Pooling without padding whose window shrinks to a map smaller than it, so that images of any size fit.

    A side of one pixel stays one; a map of a single pixel is passed on.

    Args:
        x: Feature map (batch, height, width, channels).
        window: Side of the window in pixels; where the map is smaller, the side of the map.
        strides: Pixels from one window to the next.
        kind: ``max`` or ``average``.
    """
    sides = tuple(min(window, side) for side in x.shape[1:3])
    if max(sides) == 1:
        return x
    layer = keras.layers.MaxPooling2D if kind == "max" else keras.layers.AveragePooling2D
    return layer(sides, strides=strides)(x)


def halving_pool(x: Any) -> Any:
    """3x3 max pooling with stride 2; the padding keeps at least one position however small the map is."""
    return keras.layers.MaxPooling2D(3, strides=2)(keras.layers.ZeroPadding2D(1)(x))


def depth_rates(rate: float, num_layers: int) -> list[float]:
    """Rates of stochastic depth of all layers: none in the first, `rate` in the last or only one, evenly rising between."""
    return [rate * (layer / (num_layers - 1) if num_layers > 1 else 1.0) for layer in range(num_layers)]


def stochastic_depth(x: Any, rate: float) -> Any:
    """A residual branch that is dropped as a whole for some images of a batch while training.

    What is kept is scaled up, so that the branch is itself at inference.

    Args:
        x: What the branch gives (batch, height, width, channels), before it is added to the shortcut.
        rate: Share of images for which it is dropped, 0 to below 1; with 0 there is no layer.

    Source: Huang et al., Deep Networks with Stochastic Depth, arXiv:1603.09382, section 3.
    """
    if rate == 0:
        return x
    # One random number for each image: dropout whose mask is the same over all positions and channels.
    return keras.layers.Dropout(rate, noise_shape=(None,) + (1,) * (len(x.shape) - 1))(x)


@keras.saving.register_keras_serializable(package="architectures")
class LayerScale(keras.layers.Layer):  # type: ignore[misc]
    """A residual branch times factors that are learned: (..., channels) to the same shape.

    Small factors at the end of branches let a deep network begin as hardly more than its shortcuts. Factors that start at zero
    would do so as well, but no gradient would reach the branch at first.

    Args:
        initial: What every factor starts as.
        is_shared: Whether there is one factor for all channels (SkipInit) instead of one for each.
        options: Those of every layer, such as its name.

    Source: Touvron et al., Going deeper with Image Transformers, arXiv:2103.17239, section 2.1; a shared one as in De and Smith,
        Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep Networks, arXiv:2002.10444.
    """

    def __init__(self, initial: float, *, is_shared: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.initial = initial
        self.is_shared = is_shared

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the factors."""
        shape = () if self.is_shared else (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer=keras.initializers.Constant(self.initial))

    def call(self, x: Any) -> Any:
        """Multiply."""
        return x * self.gamma

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape does not change."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Its arguments."""
        return {**super().get_config(), "initial": self.initial, "is_shared": self.is_shared}
