"""Search space of VGG: small networks for images of 8x8 to 48x48.

Every size is a knob here, and knobs override a variant. The networks of the paper are in the space `vgg_published`.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Float, Space

vgg = Space(
    architecture="vgg",
    model={
        "convolutions_per_stage": Choice("1-1", "1-1-2", "2-2-2", "2-2-3", "1-1-2-2", default="1-1-2"),
        "width": Choice(8, 16, 24, 32, default=24),
        "batch_norm": Choice(True, False),
        "head": Choice("average", "dense"),
        "dense_units": Choice("128", "128-128", default="128").when(head="dense"),
        "dropout": Float(low=0.0, high=0.6, default=0.5),
    },
    training=CONVOLUTIONAL,
)
