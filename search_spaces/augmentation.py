"""Augmentation of photographs that may be mirrored, for every arm: `search: {recipe: augmentation}` in a study file.

Its defaults are mild, and part of trial 0 of every arm. Do not use it for letters, digits or anything else that a mirror turns
into something different: fix `flip: none` in the arms, or write a recipe of your own.
"""

from __future__ import annotations

from sweeper.study.space import Choice, Float, Space

augmentation = Space(
    architecture=None,
    training={
        "flip": Choice("horizontal", "none"),
        "shift": Float(low=0.0, high=0.2, default=0.1),
        "rotation_degrees": Float(low=0.0, high=20.0, default=10.0),
        "brightness": Float(low=0.0, high=0.3, default=0.0),
        "cutout": Float(low=0.0, high=0.4, default=0.0),
        "mix": Choice("none", "mixup", "cutmix"),
        "mix_alpha": Float(low=0.1, high=1.0, default=0.2).when(mix=("mixup", "cutmix")),
        "class_weights": Choice("none", "balanced"),
    },
)
