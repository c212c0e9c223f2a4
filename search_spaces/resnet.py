"""Search space of the residual network: small networks for images of 8x8 to 48x48.

Every size is a knob here, and knobs override a variant. The networks of the paper are in the space `resnet_published`. The
stem for large images is not part of this space.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Float, Space

resnet = Space(
    architecture="resnet",
    model={
        "block": Choice("basic", "bottleneck"),
        "stride_on": Choice("conv3x3", "conv1x1").when(block="bottleneck"),
        "blocks_per_stage": Choice("1-1", "1-1-1", "2-2-2", "3-3-3", "1-1-1-1", default="2-2-2"),
        "width": Choice(8, 16, 24, 32, default=16),
        "kernel": Choice("3x3", "7x7_depthwise"),
        "norm": Choice("batch", "layer", "none"),
        "activation": Choice("relu", "gelu", "swish"),
        "attention": Choice("none", "se", "eca", "cbam", "bam"),
        "squeeze_ratio": Choice(4, 8, 16, default=8).when(attention=("se", "cbam", "bam")),
        "skip": Choice(True, False),
        "stochastic_depth_rate": Float(low=0.0, high=0.3, default=0.0).when(skip=True),
        "dropout": Float(low=0.0, high=0.5, default=0.0),
    },
    training=CONVOLUTIONAL,
)
