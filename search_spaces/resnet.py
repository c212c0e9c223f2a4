"""Search space of the residual network: small ones without a variant, for images of 8x8 to 48x48.

Every size is a knob here, and knobs win over a variant. To train a network of the paper, fix the sizes as well as the variant.
"""

from __future__ import annotations

from sweeper.space import Choice, Float, Space

resnet = Space(
    architecture="resnet",
    model={
        "block": Choice("basic", "bottleneck"),
        "blocks_per_stage": Choice("1-1", "1-1-1", "2-2-2", "3-3-3", "1-1-1-1", default="2-2-2"),
        "width": Choice(8, 16, 24, 32, default=16),
        "attention": Choice("none", "se"),
        "squeeze_ratio": Choice(4, 8, 16, default=8).when(attention="se"),
        "dropout": Float(low=0.0, high=0.5, default=0.0),
    },
    training={
        "optimizer": Choice("adam", "adamw", "sgd"),
        "learning_rate": Float(low=1e-4, high=1e-1, log=True, default=1e-3),
        "schedule": Choice("cosine", "constant"),
        "batch_size": Choice(32, 64, 128),
        "momentum": Float(low=0.8, high=0.99, default=0.9).when(optimizer="sgd"),
        "weight_decay": Float(low=1e-5, high=1e-1, log=True, default=1e-3).when(optimizer="adamw"),
        "label_smoothing": Float(low=0.0, high=0.2, default=0.0),
    },
)
