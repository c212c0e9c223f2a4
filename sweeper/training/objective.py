"""What is minimised and what is measured, from what a program's model gives.

The model takes [images, targets] and gives (batch, 2 x classes): logits, then the targets to compare them with, which differ from
those given where augmentation mixes them. The logits of auxiliary heads follow, if the network has any.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import losses, metrics, ops

from sweeper.training.recipe import Recipe

AUXILIARY_WEIGHT = 0.3
"""Weight of the loss of each auxiliary head: Szegedy et al., Going Deeper with Convolutions, arXiv:1409.4842, section 5."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Smoothing:
    """Label smoothing as the two numbers it works with, so that a compiled program can be given others.

    Args:
        kept: What a target is multiplied by.
        spread: What every class gets in addition.
    """

    kept: Any
    spread: Any

    @classmethod
    def of(cls, recipe: Recipe, num_classes: int) -> Smoothing:
        """That of a recipe; 1 and 0 without smoothing, which changes no bit."""
        return cls(kept=1.0 - recipe.label_smoothing, spread=recipe.label_smoothing / num_classes)


def minimised(packed: Any, class_counts: tuple[int, ...], smoothing: Smoothing, *, is_balanced: bool) -> Any:
    """The loss of each image, (batch,): cross-entropy, smoothed, and weighted if asked for.

    The cross-entropy of each auxiliary head is added, with `AUXILIARY_WEIGHT` and otherwise alike.

    Balanced weights are (images / classes) / (images of the class), so they are 1 on average over the training images; an image
    with mixed labels has the weights mixed in the same shares.

    Args:
        packed: What the model gives.
        class_counts: Training images of each class.
        smoothing: Of the labels.
        is_balanced: Whether every class weighs the same however few images it has.
    """
    logits, targets, *auxiliary = _unpacked(packed, len(class_counts))
    smooth = targets * smoothing.kept + smoothing.spread
    entropy = losses.categorical_crossentropy(smooth, logits, from_logits=True)
    for others in auxiliary:
        entropy = entropy + AUXILIARY_WEIGHT * losses.categorical_crossentropy(smooth, others, from_logits=True)
    if not is_balanced:
        return entropy
    balanced = [sum(class_counts) / len(class_counts) / max(count, 1) for count in class_counts]
    return entropy * ops.sum(targets * ops.convert_to_tensor(balanced, "float32"), axis=-1)


def accuracy(packed: Any, num_classes: int) -> Any:
    """Whether the largest logit of each image is that of its (largest) target: 0 or 1, (batch,)."""
    logits, targets, *_ = _unpacked(packed, num_classes)
    return metrics.categorical_accuracy(targets, logits)


def cross_entropy(packed: Any, num_classes: int) -> Any:
    """Cross-entropy of each image, in nats, neither smoothed nor weighted nor with auxiliary heads, (batch,)."""
    logits, targets, *_ = _unpacked(packed, num_classes)
    return losses.categorical_crossentropy(targets, logits, from_logits=True)


def _unpacked(packed: Any, num_classes: int) -> list[Any]:
    """What a program gives: logits, targets, logits of auxiliary heads, each (batch, classes)."""
    return list(ops.split(packed, packed.shape[-1] // num_classes, axis=-1))
