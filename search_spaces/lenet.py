"""Search space of LeNet: its sizes, and the activation and pooling that its successors changed, for images from 8x8."""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

lenet = Space(
    architecture="lenet",
    model={
        "widths": Choice("6-16", "12-32", "16-32-64", default="6-16"),
        "dense_units": Choice("84", "120-84", "240-120", default="120-84"),
        "activation": Choice("tanh", "relu", "elu", "swish"),
        "pooling": Choice("average", "max"),
    },
    training=CONVOLUTIONAL,
)
