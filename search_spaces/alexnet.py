"""Search space of AlexNet: small networks for images of 8x8 to 48x48.

Every size is a knob here, and knobs override a variant. The published network is in the space `alexnet_published`.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Float, Space

alexnet = Space(
    architecture="alexnet",
    model={
        "width_multiplier": Choice(0.125, 0.25, 0.5, default=0.25),
        "dense_units": Choice("128", "128-128", "256-256", default="128-128"),
        "batch_norm": Choice(True, False),
        "dropout": Float(low=0.0, high=0.6, default=0.5),
    },
    training=CONVOLUTIONAL,
)
