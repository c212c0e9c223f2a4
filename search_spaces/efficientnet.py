"""Search space of EfficientNet: small networks for images of 8x8 to 48x48.

Every size is a knob here, and knobs override a variant. The networks of the paper are in the space `efficientnet_published`.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Float, Space

efficientnet = Space(
    architecture="efficientnet",
    model={
        "width_coefficient": Choice(0.25, 0.35, 0.5, 0.7, default=0.35),
        "depth_coefficient": Choice(0.3, 0.5, 1.0, default=0.5),
        "attention": Choice("se", "none"),
        "squeeze_ratio": Choice(2, 4, 8, default=4).when(attention="se"),
        "dropout": Float(low=0.0, high=0.5, default=0.2),
        "stochastic_depth_rate": Float(low=0.0, high=0.3, default=0.1),
    },
    training=CONVOLUTIONAL,
)
