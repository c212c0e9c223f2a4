"""Search space of the densely connected network: small networks for images of 8x8 to 48x48.

Every size is a knob here, and knobs override a variant. The networks of the paper are in the space `densenet_published`.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Float, Space

densenet = Space(
    architecture="densenet",
    model={
        "blocks_per_stage": Choice("2-2", "2-2-2", "4-4-4", "6-6-6", "3-3-3-3", default="4-4-4"),
        "growth_rate": Choice(8, 12, 16, default=12),
        "bottleneck": Choice(True, False),
        "compression": Choice(0.5, 0.75, 1.0),
        "stem_width": Choice(16, 24, 32, default=24),
        "dropout": Float(low=0.0, high=0.3, default=0.0),
    },
    training=CONVOLUTIONAL,
)
