"""Search space for the training of LeNet-5, the network of the paper; for images from 14x14."""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

lenet_published = Space(architecture="lenet", model={"variant": Choice("5")}, training=CONVOLUTIONAL)
