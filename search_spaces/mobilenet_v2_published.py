"""Search space of the MobileNetV2 networks of the paper, by their width multiplier, with only their training searched.

Fix `variant` for one of them; then nothing of the network is searched. They were made for images of 224x224. A knob fixed beside
it, such as ``stem: small`` for small images, changes the published network in that one respect.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

mobilenet_v2_published = Space(
    architecture="mobilenet_v2", model={"variant": Choice("1.0", "0.75", "0.5", "0.35", "1.4")}, training=CONVOLUTIONAL
)
