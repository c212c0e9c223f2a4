"""Layers and blocks that several families share: convolutions, normalisation, pooling and the head."""

from __future__ import annotations

from typing import Any

import keras

from architectures._attention import squeeze_excitation


def batch_normalization(x: Any, *, momentum: float = 0.9, epsilon: float = 1e-5) -> Any:
    """Batch normalisation whose running statistics settle within tens of steps.

    Keras's default momentum of 0.99 needs hundreds of steps, which on a small data set is several epochs of misleading
    validation results. Epsilon 1e-5 as in the reference implementations of most published networks.
    """
    return keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon)(x)


def convolution(x: Any, filters: int, kernel_size: int, *, strides: int = 1, use_bias: bool = False) -> Any:
    """Convolution padded by the same amount on all sides, without bias unless no normalisation follows.

    ``padding="same"`` pads one side more than the other when the stride is 2, unlike the published networks that use this
    function, whose weights would then see the image shifted by a pixel.
    """
    x, padding = _padded(x, kernel_size, strides)
    return keras.layers.Conv2D(
        filters, kernel_size, strides=strides, padding=padding, use_bias=use_bias, kernel_initializer="he_normal"
    )(x)


def depthwise_convolution(x: Any, kernel_size: int, *, strides: int = 1, use_bias: bool = False) -> Any:
    """Convolution of each channel on its own, otherwise as `convolution`."""
    x, padding = _padded(x, kernel_size, strides)
    return keras.layers.DepthwiseConv2D(
        kernel_size, strides=strides, padding=padding, use_bias=use_bias, depthwise_initializer=fan_out()
    )(x)


def _padded(x: Any, kernel_size: int, strides: int) -> tuple[Any, str]:
    """What a convolution gets, and the padding it does itself."""
    if strides > 1 and kernel_size > 1:
        return keras.layers.ZeroPadding2D(kernel_size // 2)(x), "valid"
    return x, "same"


def large_stem(image: Any, width: int) -> Any:
    """The first layers of networks for large images: 7x7 convolution and 3x3 max pooling, each with stride 2."""
    return halving_pool(keras.layers.ReLU()(batch_normalization(convolution(image, width, 7, strides=2))))


def halving_pool(x: Any) -> Any:
    """3x3 max pooling with stride 2; the padding keeps at least one position however small the map is."""
    return keras.layers.MaxPooling2D(3, strides=2)(keras.layers.ZeroPadding2D(1)(x))


def plain_block(
    x: Any,
    filters: int,
    *,
    convolutions: int,
    kernel_size: int,
    is_normalised: bool = True,
    squeeze_ratio: int | None = None,
    dropout: float = 0.0,
) -> Any:
    """Convolutions with rectifiers, then attention, 2x2 max pooling and dropout.

    It pools only while both sides of the map are at least 2, so images of any size fit any number of blocks: the map ends at
    one pixel high or wide, and further blocks keep it there.

    Args:
        x: Feature map (batch, height, width, channels).
        filters: Channels it gives.
        convolutions: How many convolutions.
        kernel_size: Side of their window in pixels.
        is_normalised: Whether each is followed by batch normalisation; only without it they have biases, which normalisation
            would remove.
        squeeze_ratio: As for `squeeze_excitation`; None for none.
        dropout: Share of values dropped at the end.
    """
    for _ in range(convolutions):
        x = keras.layers.Conv2D(filters, kernel_size, padding="same", use_bias=not is_normalised, kernel_initializer="he_normal")(
            x
        )
        x = keras.layers.ReLU()(batch_normalization(x) if is_normalised else x)
    if squeeze_ratio is not None:
        x = squeeze_excitation(x, ratio=squeeze_ratio)
    if min(x.shape[1:3]) >= 2:
        x = keras.layers.MaxPooling2D(2)(x)
    return keras.layers.Dropout(dropout)(x)


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
class BranchScale(keras.layers.Layer):  # type: ignore[misc]
    """A learned number that scales all that a residual branch gives, for networks without normalisation (SkipInit).

    With one over the square root of the number of blocks to start with, all branches together add about as much as one. Zero
    would do as well, but no gradient would reach the branch at first.

    Args:
        start: The number to start with.
        options: As for every layer.

    Source: De and Smith, Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep Networks,
        arXiv:2002.10444.
    """

    def __init__(self, start: float, **options: Any):
        super().__init__(**options)
        self.start = start

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the number."""
        self.scale = self.add_weight(name="scale", shape=(), initializer=keras.initializers.Constant(self.start))

    def call(self, branch: Any) -> Any:
        """Scale the branch."""
        return branch * self.scale

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape does not change."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "start": self.start}


def logits(x: Any, num_classes: int) -> Any:
    """One unnormalised score per class, in float32 whatever the dtype policy, so that the loss does not overflow."""
    return keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)


def fan_out() -> keras.initializers.Initializer:
    """A new one for each layer, since layers that share one start alike.

    Scaled by what goes out of a kernel, because Keras takes the channels of a depthwise kernel for channels that are summed,
    and would start it many times too small.
    """
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")


def scaled(channels: int, factor: float) -> int:
    """Channels times a factor, as the nearest multiple of 8 that takes away no more than a tenth."""
    wanted = channels * factor
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded
