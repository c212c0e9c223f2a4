"""Single layers: normalisation, pooling, stochastic depth and layer scale."""

from __future__ import annotations

from typing import Any

import keras


def fan_out() -> keras.initializers.Initializer:
    """Initialiser of depthwise kernels, a new one for each layer: layers that share one start with equal weights.

    It scales by the fan-out. Keras counts the channels of a depthwise kernel as summed inputs, so scaling by the fan-in would
    make the initial weights many times too small.
    """
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")


def batch_normalization(x: Any, *, momentum: float = 0.9, epsilon: float = 1e-5) -> Any:
    """Batch normalisation whose running statistics settle within tens of steps.

    Keras's default momentum of 0.99 needs hundreds of steps. On a small dataset that is several epochs of misleading validation
    results. Epsilon is 1e-5, as in the reference implementations of most published networks.
    """
    return keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon)(x)


def layer_norm(x: Any, *, epsilon: float = 1e-6) -> Any:
    """Layer normalisation: each position by itself, over its channels, with the epsilon of most published transformers."""
    return keras.layers.LayerNormalization(epsilon=epsilon)(x)


def pooled(x: Any, window: int, *, strides: int = 2, kind: str = "max") -> Any:
    """Pooling without padding that takes images of any size: the window is never larger than the map.

    A side of 1 stays 1. A map of a single pixel is returned as it is.

    Args:
        x: Feature map (batch, height, width, channels).
        window: Side of the window in pixels; the side of the map where that is smaller.
        strides: Pixels from one window to the next.
        kind: ``max`` or ``average``.
    """
    sides = tuple(min(window, side) for side in x.shape[1:3])
    if max(sides) == 1:
        return x
    layer = keras.layers.MaxPooling2D if kind == "max" else keras.layers.AveragePooling2D
    return layer(sides, strides=strides)(x)


def halving_pool(x: Any) -> Any:
    """3x3 max pooling with stride 2. The padding keeps at least one position, however small the map is."""
    return keras.layers.MaxPooling2D(3, strides=2)(keras.layers.ZeroPadding2D(1)(x))


def depth_rates(rate: float, num_layers: int) -> list[float]:
    """The rate of stochastic depth of each layer: from 0 in the first, rising linearly to `rate` in the last or only one."""
    return [rate * (layer / (num_layers - 1) if num_layers > 1 else 1.0) for layer in range(num_layers)]


def stochastic_depth(x: Any, rate: float) -> Any:
    """A residual branch that is dropped as a whole for some images of a batch while training.

    Where the branch is kept, it is scaled up by ``1 / (1 - rate)``, so inference needs no scaling.

    Args:
        x: Output of the branch (batch, height, width, channels), before it is added to the shortcut.
        rate: Probability that the branch is dropped for an image, 0 to below 1; with 0 there is no layer.

    Source: Huang et al., Deep Networks with Stochastic Depth, arXiv:1603.09382, section 3.
    """
    if rate == 0:
        return x
    # One random number for each image: the dropout mask is the same for all positions and channels.
    return keras.layers.Dropout(rate, noise_shape=(None,) + (1,) * (len(x.shape) - 1))(x)


@keras.saving.register_keras_serializable(package="architectures")
class LayerScale(keras.layers.Layer):  # type: ignore[misc]
    """Multiplies a residual branch by learned factors: (..., channels) to the same shape.

    Small factors make a deep network start close to its shortcuts alone. Factors of zero would too, but then no gradient
    reaches the branch at first.

    Args:
        initial: Initial value of each factor.
        is_shared: Whether all channels share one factor (SkipInit) instead of having one each.
        options: Options of any Keras layer, such as its name.

    Source: Touvron et al., Going deeper with Image Transformers, arXiv:2103.17239, section 2.1; the shared factor: De and Smith,
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
        """The arguments."""
        return {**super().get_config(), "initial": self.initial, "is_shared": self.is_shared}
