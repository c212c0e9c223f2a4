"""Search space of the transformer behind convolutions: small networks for images of 8x8 to 48x48.

Each convolution of the stem leaves a quarter of the tokens. With one convolution a large image has many tokens, and attention is
slow.
"""

from __future__ import annotations

from search_spaces._common import TRANSFORMER
from sweeper.study.space import Choice, Float, Int, Space

hybrid = Space(
    architecture="hybrid",
    model={
        "stem_depth": Int(low=1, high=3, default=2),
        "stem_width": Choice(16, 24, 32, default=24),
        "width": Choice(32, 64, 96, default=64),
        "depth": Int(low=2, high=6, default=3),
        "num_heads": Choice(2, 4, 8, default=4),
        "mlp_ratio": Choice(1.0, 2.0, 4.0, default=2.0),
        "positions": Choice("learned", "sincos", "none"),
        "pooling": Choice("sequence", "mean", "class_token"),
        "dropout": Float(low=0.0, high=0.4, default=0.1),
        "stochastic_depth_rate": Float(low=0.0, high=0.3, default=0.0),
    },
    training=TRANSFORMER,
)
