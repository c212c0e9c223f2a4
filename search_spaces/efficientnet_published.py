"""Search space of the EfficientNets of the paper: B0 to B7, with only their training searched.

Fix `variant` for one of them; then nothing of the network is searched. Each was made for images of its own size, from 224x224 for
B0 to 600x600 for B7, whose cost grows a hundredfold on the way. A knob fixed beside it, such as ``stem: small`` for small images,
changes the published network in that one respect. On a CPU they are slow even with small images.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

efficientnet_published = Space(
    architecture="efficientnet", model={"variant": Choice("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7")}, training=CONVOLUTIONAL
)
