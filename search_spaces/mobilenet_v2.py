"""Search space of MobileNetV2: small networks for images of 8x8 to 48x48.

Every size is a knob here, and knobs override a variant. The networks of the paper are in the space `mobilenet_v2_published`.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Float, Space

mobilenet_v2 = Space(
    architecture="mobilenet_v2",
    model={
        "width_multiplier": Choice(0.35, 0.5, 0.75, 1.0, default=0.75),
        "blocks_per_stage": Choice("1-2-3", "1-2-2-2", "1-2-3-4", "1-2-3-4-3-3-1"),
        "expansion": Choice(2, 4, 6, default=6),
        "head_filters": Choice(160, 320, 640, default=320),
        "dropout": Float(low=0.0, high=0.5, default=0.2),
        "stem": Choice("small", "large"),
    },
    training=CONVOLUTIONAL,
)
