"""Search space of LeNet-5 of the paper, with only its training searched; for images of 14x14 and more."""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

lenet_published = Space(architecture="lenet", model={"variant": Choice("5")}, training=CONVOLUTIONAL)
