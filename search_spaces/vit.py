"""Search space of the vision transformer: miniatures for images whose sides are multiples of 4.

Every size is a knob here, and knobs win over a variant. Patches of 2 pixels are for images of up to about 16x16: the number of
tokens grows fourfold, and the cost of attention sixteenfold.
"""

from __future__ import annotations

from sweeper.space import Choice, Float, Int, Space

vit = Space(
    architecture="vit",
    model={
        "patch_size": Choice(2, 4, default=4),
        "width": Choice(32, 64, 96, default=64),
        "depth": Int(low=2, high=6, default=4),
        "num_heads": Choice(2, 4, 8, default=4),
        "mlp_ratio": Choice(1.0, 2.0, 4.0, default=2.0),
        "pooling": Choice("class_token", "mean"),
        "head": Choice("linear", "hidden"),
        "head_units": Choice(32, 64, 128, default=64).when(head="hidden"),
        "dropout": Float(low=0.0, high=0.4, default=0.1),
    },
    training={
        "optimizer": Choice("adamw", "adam"),
        "learning_rate": Float(low=1e-4, high=1e-2, log=True, default=1e-3),
        "schedule": Choice("cosine", "constant"),
        "warmup_epochs": Int(low=0, high=5, default=0),
        "batch_size": Choice(32, 64, 128),
        "weight_decay": Float(low=1e-4, high=3e-1, log=True, default=5e-2).when(optimizer="adamw"),
        "label_smoothing": Float(low=0.0, high=0.2, default=0.0),
        "clip_norm": Choice(1.0, 0.0),
    },
)
