"""Search space of the small convolutional network."""

from __future__ import annotations

from sweeper.study.space import Choice, Float, Int, Space

cnn = Space(
    architecture="cnn",
    model={
        "num_blocks": Int(low=2, high=4, default=3),
        "width": Choice(16, 32, 48, default=32),
        "convolutions_per_block": Int(low=1, high=2, default=2),
        "kernel_size": Choice(3, 5),
        "batch_norm": Choice(True, False),
        "attention": Choice("none", "se"),
        "squeeze_ratio": Choice(4, 8, 16, default=8).when(attention="se"),
        "dropout": Float(low=0.0, high=0.5, default=0.25),
        "head": Choice("flatten", "average"),
        "dense_units": Choice(64, 128, 256, default=128).when(head="flatten"),
        "dense_dropout": Float(low=0.0, high=0.6, default=0.5).when(head="flatten"),
    },
    training={
        "optimizer": Choice("adam", "adamw", "sgd"),
        "learning_rate": Float(low=1e-4, high=3e-2, log=True, default=1e-3),
        "schedule": Choice("constant", "cosine"),
        "batch_size": Choice(32, 64, 128),
        "momentum": Float(low=0.8, high=0.99, default=0.9).when(optimizer="sgd"),
        "weight_decay": Float(low=1e-5, high=1e-1, log=True, default=1e-3).when(optimizer="adamw"),
        "label_smoothing": Float(low=0.0, high=0.2, default=0.0),
    },
)
