"""Search space of the vision transformer: miniatures for images whose sides are multiples of 4.

Every size is a knob here, and knobs override a variant. The published sizes are in the space `vit_published`. Patches of
2x2 pixels are for images of up to about 16x16: they give four times the tokens of 4x4, at sixteen times the cost of attention.
"""

from __future__ import annotations

from search_spaces._common import TRANSFORMER
from sweeper.study.space import Choice, Float, Int, Space

vit = Space(
    architecture="vit",
    model={
        "patch_size": Choice(2, 4, default=4),
        "width": Choice(32, 64, 96, default=64),
        "depth": Int(low=2, high=6, default=4),
        "num_heads": Choice(2, 4, 8, default=4),
        "mlp_ratio": Choice(1.0, 2.0, 4.0, default=2.0),
        "positions": Choice("learned", "sincos", "none"),
        "pooling": Choice("class_token", "mean"),
        "head": Choice("linear", "hidden"),
        "head_units": Choice(32, 64, 128, default=64).when(head="hidden"),
        "dropout": Float(low=0.0, high=0.4, default=0.1),
        "stochastic_depth_rate": Float(low=0.0, high=0.3, default=0.0),
    },
    # Of 20 recorded draws below 5e-4 fourteen were below 30 % after nine epochs (benchmarks/search/own_curves.parquet).
    training={**TRANSFORMER, "learning_rate": Float(low=5e-4, high=1e-2, log=True, default=1e-3)},
)
