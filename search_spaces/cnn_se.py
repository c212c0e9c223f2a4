"""Search space of the light convolutional network with squeeze-and-excitation."""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Float, Int, Space

cnn_se = Space(
    architecture="cnn_se",
    model={
        "widths": Choice("16-32-64", "32-64-128", "32-64-128-128", "32-64-128-256", default="32-64-128-128"),
        "convolutions_per_block": Int(low=1, high=2, default=1),
        "kernel_size": Choice(3, 5),
        "attention": Choice("se", "none"),
        "squeeze_ratio": Choice(4, 8, 16, default=8).when(attention="se"),
        "dropout": Float(low=0.0, high=0.4, default=0.1),
        "head_dropout": Float(low=0.0, high=0.6, default=0.3),
    },
    training=CONVOLUTIONAL,
)
