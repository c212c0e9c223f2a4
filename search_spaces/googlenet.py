"""Search space of GoogLeNet: small networks for images of 8x8 to 48x48.

Every size is a knob here, and knobs override a variant. The network of the paper is in the space `googlenet_published`.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Float, Space

googlenet = Space(
    architecture="googlenet",
    model={
        "blocks_per_stage": Choice("1-1-1", "1-3-1", "2-5-2", default="1-3-1"),
        "width_multiplier": Choice(0.125, 0.25, 0.375, default=0.25),
        "batch_norm": Choice(True, False),
        "wide_kernel": Choice(5, 3),
        "auxiliary_heads": Choice(False, True),
        "dropout": Float(low=0.0, high=0.6, default=0.4),
    },
    training=CONVOLUTIONAL,
)
