"""Search space of the published plain convolutional network, and its training.

The only knob of the network is `variant`. ``fer_guide`` has no padding, so images must be at least 18x18 pixels.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

cnn_published = Space(architecture="cnn", model={"variant": Choice("fer_guide")}, training=CONVOLUTIONAL)
