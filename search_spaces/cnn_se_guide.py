"""Search space of the CNN with squeeze-and-excitation of a guide to facial expressions, and its training.

The only knob of the network is `variant`, which has one value; what is searched is how it is trained.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

cnn_se_guide = Space(architecture="cnn_se", model={"variant": Choice("fer_guide")}, training=CONVOLUTIONAL)
