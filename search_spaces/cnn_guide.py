"""Search space of the small CNN of a guide to facial expressions, and its training.

The only knob of the network is `variant`, which has one value; what is searched is how it is trained. It has no padding, so
images must be at least 18x18 pixels.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

cnn_guide = Space(architecture="cnn", model={"variant": Choice("fer_guide")}, training=CONVOLUTIONAL)
