"""Search space of the published light network with squeeze-and-excitation, and its training.

The only knob of the network is `variant`.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

cnn_se_published = Space(architecture="cnn_se", model={"variant": Choice("fer_guide")}, training=CONVOLUTIONAL)
