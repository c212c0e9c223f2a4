"""Search space of the Swin transformer: small networks for images of 8x8 to 48x48.

Every size is a knob here, and knobs override a variant. The networks of the paper are in the space `swin_published`. All
networks have three stages, because `num_heads` has one number for each stage.
"""

from __future__ import annotations

from search_spaces._common import TRANSFORMER
from sweeper.study.space import Choice, Float, Space

swin = Space(
    architecture="swin",
    model={
        "patch_size": Choice(2, 4),
        "window_size": Choice(2, 4, 7, default=4),
        "shift_windows": Choice(True, False),
        "relative_position_bias": Choice(True, False),
        "merging": Choice("concatenation", "average"),
        "depths": Choice("1-1-1", "2-2-2", "2-2-4", default="2-2-2"),
        "width": Choice(16, 24, 32, default=24),
        "num_heads": Choice("1-2-4", "2-4-8", default="2-4-8"),
        "mlp_ratio": Choice(1.0, 2.0, 4.0, default=2.0),
        "dropout": Float(low=0.0, high=0.4, default=0.0),
        "stochastic_depth_rate": Float(low=0.0, high=0.3, default=0.1),
    },
    training=TRANSFORMER,
)
