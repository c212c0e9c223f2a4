"""Search space of ConvNeXt: small networks for images of 8x8 to 48x48.

Every size is a knob here, and knobs override a variant. The networks of the paper are in the space `convnext_published`.
All depths and widths have three stages, so they can be combined freely.
"""

from __future__ import annotations

from search_spaces._common import TRANSFORMER
from sweeper.study.space import Choice, Float, Space

convnext = Space(
    architecture="convnext",
    model={
        "depths": Choice("1-1-1", "2-2-2", "1-1-3", "2-2-6", default="2-2-2"),
        "widths": Choice("16-32-64", "24-48-96", "32-64-128", default="24-48-96"),
        "kernel_size": Choice(3, 5, 7, 9, default=7),
        "layer_scale": Choice(0.0, 1e-6, 0.1),
        "stochastic_depth_rate": Float(low=0.0, high=0.3, default=0.0),
        "stem": Choice("small", "patch2", default="patch2"),
    },
    training=TRANSFORMER,
)
