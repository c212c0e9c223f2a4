"""Images of any size, brought to one size by Keras' own operations, as `sweeper.datasets` brings files to it.

Pillow's bilinear filter, which datasets use, averages over the area that becomes one pixel, along one side after the other, and
rounds after each. Written as two products with matrices this is the same to within one step of 255, which up to one value in
twenty of pure noise is apart because Pillow computes with integers; an image that has the size stays as it is, bit for bit.
`keras.layers.Resizing` crops at whole pixels, and so differs by up to half the range.

Source: Pillow, src/libImaging/Resample.c.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops


def resized(images: Any, size: tuple[int, int], *, fit: str, is_rounded: bool) -> Any:
    """Images of a functional model, float32 (batch, height, width, channels) of the size.

    Args:
        images: Symbolic tensor (batch, any height, any width, channels).
        size: Height and width.
        fit: What becomes of an image of another shape than the size: ``crop`` keeps its centre, ``pad`` lays black beside it,
            ``stretch`` distorts it.
        is_rounded: Whether values are whole numbers, and stay so.
    """
    places = [_places(images, axis) for axis in (1, 2)]
    sides = [ops.max(line, axis=1, keepdims=True) + 1.0 for line in places]
    scales = [side / whole for side, whole in zip(sides, size, strict=True)]
    x = ops.cast(images, "float32")
    # Across first, as Pillow does: it rounds in between.
    for axis, product in ((1, "bhwc,vw->bhvc"), (0, "bhwc,uh->buwc")):
        shares = _shares(places[axis], sides[axis], size[axis], _scale(scales, axis, fit), is_padded=fit == "pad")
        x = ops.einsum(product, x, shares)
        x = ops.floor(x + 0.5) if is_rounded else x
    return x


def _places(images: Any, axis: int) -> Any:
    """0, 1, 2, ... along a side of the images, (1, side): a side whose length is known only when the model is used."""
    line = images[:1, :, :1, :1] if axis == 1 else images[:1, :1, :, :1]
    return ops.cumsum(ops.reshape(ops.ones_like(line, dtype="float32"), (1, -1)), axis=1) - 1.0


def _scale(scales: list[Any], axis: int, fit: str) -> Any:
    """How many pixels of a side become one, (1, 1)."""
    if fit == "stretch":
        return scales[axis]
    return (ops.minimum if fit == "crop" else ops.maximum)(*scales)


def _shares(places: Any, side: Any, whole: int, scale: Any, *, is_padded: bool) -> Any:
    """What each pixel of a side adds to each that is made, (made, side); of those made in the padding nothing.

    Args:
        places: As of `_places`.
        side: Its length, (1, 1).
        whole: How many pixels are made.
        scale: As of `_scale`.
        is_padded: Whether the image covers a part of the pixels that are made, instead of the pixels a part of the image.
    """
    made = np.arange(whole, dtype="float32")[:, None]
    if is_padded:
        covered = ops.maximum(ops.round(side / scale), 1.0)
        before = ops.floor((float(whole) - covered) / 2.0)
        scale = side / covered
        inside = ops.subtract(made, before)
        centre = (inside + 0.5) * scale
        is_covered = ops.cast(ops.logical_and(inside >= 0.0, inside < covered), "float32")
    else:
        centre = ops.multiply(scale, made + 0.5) + (side - scale * float(whole)) / 2.0
        is_covered = 1.0
    shares = ops.relu(1.0 - ops.abs(places + 0.5 - centre) / ops.maximum(scale, 1.0)) * is_covered
    return shares / ops.maximum(ops.sum(shares, axis=1, keepdims=True), 1e-6)
