"""Search space of LeNet: its sizes and what its successors changed, activation and pooling, for images of 8x8 and more."""

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
