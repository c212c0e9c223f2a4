"""Search space of light networks: all below a million parameters, up to 96x96 pixels and a hundred classes.

Every size is a knob here, and knobs override a variant. Mini-Xception is in the space `light_cnn_published`.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Float, Int, Space

light_cnn = Space(
    architecture="light_cnn",
    model={
        "widths": Choice("16-32-64", "8-16-32-64", "16-32-64-128", "32-64-128-256", default="16-32-64-128"),
        "convolutions": Int(low=2, high=3, default=2),
        "kernel_size": Choice(3, 5),
        "residual": Choice(True, False),
        "width_multiplier": Choice(0.5, 0.75, 1.0, 1.25, default=1.0),
        "attention": Choice("none", "se"),
        "squeeze_ratio": Choice(4, 8, 16, default=8).when(attention="se"),
        "stem": Choice("small", "large"),
        "stem_width": Choice(8, 16, default=8),
        "head": Choice("dense", "convolution"),
        "dropout": Float(low=0.0, high=0.5, default=0.0),
    },
    training=CONVOLUTIONAL,
)
