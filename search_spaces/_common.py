"""Training knobs that several search spaces share."""

from __future__ import annotations

from collections.abc import Mapping

from sweeper.study.space import COMMON, Choice, Float, Int, Knob

CONVOLUTIONAL: Mapping[str, Knob] = COMMON
"""For CNNs that have normalisation or few layers: they train with any optimizer."""

UNNORMALISED: Mapping[str, Knob] = {
    **CONVOLUTIONAL,
    "learning_rate": Float(low=1e-5, high=1e-2, log=True, default=1e-4),
    "clip_norm": Choice(1.0, 0.0),
}
"""For deep published networks without normalisation: low learning rates, and gradient clipping."""

TRANSFORMER: Mapping[str, Knob] = {
    "optimizer": Choice("adamw", "adam"),
    "learning_rate": Float(low=1e-4, high=1e-2, log=True, default=1e-3),
    "schedule": Choice("cosine", "constant"),
    "warmup_epochs": Int(low=0, high=5, default=0).when(schedule=("cosine", "constant")),
    "batch_size": Choice(32, 64, 128),
    "weight_decay": Float(low=1e-4, high=3e-1, log=True, default=5e-2).when(optimizer="adamw"),
    "label_smoothing": Float(low=0.0, high=0.2, default=0.0),
    "clip_norm": Choice(1.0, 0.0),
}
"""For transformers: adaptive optimizers, with warm-up and gradient clipping."""
