"""Augmentation: random changes of the training images, made inside the model by Keras's own layers.

Inside the model, their seeds are variables like all others: a checkpoint holds them and a reused program is given new ones. Each
layer has a seed of its own, named by what it does, so switching one on never changes what another draws. No seed depends on the
arm, so trials with the same seed see the same changes in every architecture. Draws are made batch by batch, so this holds for
trials with the same batch size and the same augmentation; for others, only the order of the images is the same.

    images (batch, height, width, channels), targets (batch, classes)
      -> flip -> shift -> rotation -> brightness -> RandAugment -> cutout -> MixUp or CutMix
      -> images as float32 on the scale of the data, targets mixed if the images are

Validation passes through unchanged.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import layers, ops

from sweeper.errors import KnobError
from sweeper.streams import seed_of
from sweeper.training.recipe import Recipe

RAND_AUGMENT_OPERATIONS = 2
"""Operations applied to each batch, as in the paper."""


class _Centred(layers.Layer):  # type: ignore[misc]
    """Lets a layer that cuts out boxes compare their corners with the centres of pixels.

    Keras compares with the pixels' numbers, so a box that begins at the edge misses the first row and column: of an image of 8x8
    pixels that is swapped whole, 15 of 64 pixels would stay.
    """

    def _compute_crop_bounds(self, *arguments: Any) -> tuple[Any, Any]:
        start, end = super()._compute_crop_bounds(*arguments)
        return start - 0.5, end - 0.5


@keras.saving.register_keras_serializable("sweeper")
class Cutout(_Centred, layers.RandomErasing):  # type: ignore[misc]
    """`keras.layers.RandomErasing` over all pixels alike."""

    def _get_fill_value(self, images: Any, images_shape: Any, seed: Any) -> Any:
        """As Keras's, with a tensor for the value of each channel: JAX takes no list."""
        if not isinstance(self.fill_value, (list, tuple)):
            return super()._get_fill_value(images, images_shape, seed)
        return ops.zeros_like(images) + ops.convert_to_tensor([*self.fill_value], self.compute_dtype)


@keras.saving.register_keras_serializable("sweeper")
class ExactCutMix(_Centred, layers.CutMix):  # type: ignore[misc]
    """`keras.layers.CutMix` over all pixels alike, labels mixed in the shares of the pixels that were really swapped."""

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        """As Keras's, the weight counted from the mask."""
        transformation = super().get_random_transformation(data, training=training, seed=seed)
        if transformation is None:
            return None
        swapped = ops.mean(ops.cast(transformation["batch_masks"], self.compute_dtype), axis=(1, 2, 3))
        return {**transformation, "mix_weight": 1.0 - swapped}


def augment(images: Any, targets: Any, recipe: Recipe, *, mean: tuple[float, ...], largest: float, seed: int) -> tuple[Any, Any]:
    """Images and targets of a functional model, augmented as the recipe says; the same objects when it says nothing.

    `flip` mirrors half of the images, ``both`` in both directions independently. `shift` moves by up to this share of each side,
    `rotation_degrees` turns by up to this angle, both filling up with the nearest pixels. `brightness` adds up to this share of
    the whole range, up or down. `cutout` covers a square of this share of each side with the mean of the training images (unless
    they have three channels, of all channels together). `mix` blends images and their labels in pairs, with shares from
    Beta(`mix_alpha`, `mix_alpha`).

    `rand_augment` is the strength of Keras's layer, which applies two of eleven operations, chosen anew for each batch and not
    for each image: shear and shift up to this share of a side, rotation up to this share of a full turn, each in one direction
    only, brightness (upwards only), contrast, colour, sharpness, posterisation (the fewer bits the smaller the strength: one bit
    up to 0.2), solarisation, automatic contrast, equalisation. So strengths above 0.2 are rarely what one wants.

    Args:
        images: Symbolic tensor (batch, height, width, channels), of any type, from 0 to `largest`.
        targets: Symbolic tensor (batch, classes), shares that sum to 1.
        recipe: What to do.
        mean: Of the training images, per channel, as a share of `largest`.
        largest: Largest value of an image, 255 or 1.
        seed: Of all layers.

    Raises:
        KnobError: RandAugment on images that are neither grey nor in colour.

    Source: cutout arXiv:1708.04552, RandAugment arXiv:1909.13719, MixUp arXiv:1710.09412, CutMix arXiv:1905.04899.
    """

    def options(name: str) -> dict[str, Any]:
        return {"seed": seed_of(seed, name), "dtype": "float32", "name": name}

    steps = []
    # One layer for each direction: Keras's own mode for both draws once for the two of them.
    for direction in ("horizontal", "vertical") if recipe.flip == "both" else (recipe.flip,):
        if direction != "none":
            steps.append(layers.RandomFlip(direction, **options(f"flip_{direction}")))
    if recipe.shift:
        steps.append(layers.RandomTranslation(recipe.shift, recipe.shift, fill_mode="nearest", **options("shift")))
    if recipe.rotation_degrees:
        steps.append(layers.RandomRotation(recipe.rotation_degrees / 360, fill_mode="nearest", **options("rotation")))
    if recipe.brightness:
        steps.append(layers.RandomBrightness(recipe.brightness, value_range=(0, largest), **options("brightness")))
    if recipe.rand_augment:
        if len(mean) not in (1, 3):
            raise KnobError(f"rand_augment is for images of 1 or 3 channels; these have {len(mean)}. Leave it at 0.")
        layer = layers.RandAugment(
            value_range=(0, largest),
            num_ops=RAND_AUGMENT_OPERATIONS,
            factor=recipe.rand_augment,
            **options("rand_augment"),
        )
        steps.append(layer if len(mean) == 3 else functools.partial(_on_grey, layer))
    if recipe.cutout:
        fill = [share * largest for share in mean]
        steps.append(
            Cutout(
                factor=(1.0, 1.0),
                scale=(recipe.cutout**2, recipe.cutout**2),  # of the area
                fill_value=fill if len(fill) == 3 else sum(fill) / len(fill),
                value_range=(0, largest),
                **options("cutout"),
            )
        )
    if steps or recipe.mix != "none":
        images = layers.Rescaling(1.0, dtype="float32", name="as_float")(images)
    for step in steps:
        images = step(images)
    if recipe.mix != "none":
        alpha = recipe.mix_alpha
        mix = layers.MixUp(alpha, **options("mix")) if recipe.mix == "mixup" else ExactCutMix((alpha, alpha), **options("mix"))
        if keras.backend.backend() == "tensorflow":
            mix.supports_jit = False  # XLA has no kernel for draws from a Beta distribution
        mixed = mix({"images": images, "labels": targets})
        images, targets = mixed["images"], mixed["labels"]
    return images, targets


def _on_grey(layer: Any, images: Any) -> Any:
    """A layer for colour images on grey ones: three equal channels in, one of them out."""
    return layer(layers.Concatenate(dtype="float32")([images] * 3))[..., :1]
