"""Search space of the EfficientNet of a guide to facial expressions, and its training.

The only knob of the network is `variant`, which has one value; what is searched is how it is trained.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

efficientnet_guide = Space(architecture="efficientnet", model={"variant": Choice("fer_guide")}, training=CONVOLUTIONAL)
